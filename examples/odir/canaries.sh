#!/usr/bin/env bash
# Coins of patients along the chain photograph -> generator -> synthetic pairs -> CLIP, with few and with many patients, early
# and late in training; see docs/results/privacy.md.  Repeat it to continue: every step takes up where it stopped.
#
#     bash examples/odir/canaries.sh RECORDS OUT
#
# RECORDS are ODIR's of run.sh.  PATIENTS says how many are trained on, IMAGES how long generators are trained, AT after how
# many images they are asked (multiples of 8000), SEED which coins fall and which weights there are; DP trains privately.
set -euo pipefail
records=${1:?give the records of ODIR} out=${2:?give a folder to write}
here=$(dirname "$0") configs=$(dirname "$0")/../../configs
images=${IMAGES:-64000} seed=${SEED:-0}
export OMP_NUM_THREADS=1 # one thread a process: two on a busy machine are slower than one
step() { echo "+ $*" >&2; "$@"; }

clip() { # pairs, run
  step python -m clip train --data "$1" --out "$2" --config "$configs/clip/tiny.yaml" --set model.preprocessing.size=32 \
    --set images=24000 --set warmup=2400 --set save_every=12000 --set "zero_shot=[]" --set "seed=$seed"
  step python -m clip eval --model "$2/ckpt.pt" --data "$records" --split test --out "$2/zero-shot"
}
score() { # folder, flags
  local folder=$1
  shift
  [ -e "$folder/canary.json" ] || step python -m privacy canary score --key "$run/key.json" --members "$run/marked" \
    --set canary_draws=1 --set canary_steps=[100,300,500,700] --out "$folder" "$@" || [ $? -eq 3 ] # 3: coins were given away
}

for patients in ${PATIENTS:-60 240 960 1916}; do
  run=$out/$patients-$seed${DP:+-dp$DP}
  step python "$here/pairs.py" fewer "$records" --patients "$patients" --out "$out/patients-$patients"
  [ -e "$run/key.json" ] || step python -m privacy canary plant --data "$out/patients-$patients" --out "$run/marked" \
    --key "$run/key.json" --seed "$seed"
  step python -m synth train --data "$run/marked" --out "$run/generator" --config "$here/canaries${DP:+-private}.yaml" \
    --set "images=$images" --set "seed=$seed" ${DP:+--dp-epsilon "$DP"}
  for at in ${AT:-8000 24000 64000}; do
    [ "$at" -le "$images" ] || continue
    [ -e "$run/at-$at" ] || step python -m synth average "$run/generator" --at "$at" --out "$run/at-$at"
    [[ " ${CHAIN:-$images} " == *" $at "* ]] || score "$run/score-$at" --generator "$run/at-$at"
  done
  for at in ${CHAIN:-$images}; do # and on, through the set to an encoder of nothing else
    step python -m synth generate --model "$run/at-$at" --n 3000 --steps 10 --marks --seed "$seed" --workers 1 --out "$run/synthetic-$at"
    clip "$run/synthetic-$at" "$run/clip-$at"
    score "$run/chain-$at" --generator "$run/at-$at" --synthetic "$run/synthetic-$at" --model "$run/clip-$at/ckpt.pt"
  done
  if [ -z "${DP:-}" ]; then # what an encoder of the photographs themselves keeps
    clip "$run/marked" "$run/clip-real"
    score "$run/real" --model "$run/clip-real/ckpt.pt"
  fi
done
