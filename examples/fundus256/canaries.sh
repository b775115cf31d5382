#!/usr/bin/env bash
# Canary bits of patients in a generator of 256 pixels and in what it releases; see docs/results/privacy.md.  Repeat it to continue:
# every step takes up where it stopped.
#
#     bash examples/fundus256/canaries.sh RECORDS OUT
#
# RECORDS are of 256 pixels, as run.sh imports them.  PATIENTS says how many are trained on, IMAGES for how long, AT after how many
# images the generator is asked (multiples of 12800), PICTURES how many it releases; SEED which canary bits fall.
set -euo pipefail
records=${1:?give records of 256 pixels} out=${2:?give a folder to write}
images=${IMAGES:-51200} seed=${SEED:-0}
export OMP_NUM_THREADS=1 # one thread a process: two on a busy machine are slower than one
step() { echo "+ $*" >&2; "$@"; }

score() { # folder, flags
  local folder=$1
  shift
  [ -e "$folder/canary.json" ] || step privacy canary score --key "$run/key.json" --members "$run/marked" \
    --set canary_draws=1 --set canary_steps=[100,300,500,700] --out "$folder" "$@" || [ $? -eq 3 ] # 3: canary bits were given away
}

for patients in ${PATIENTS:-240 1916}; do
  run=$out/$patients-$seed
  step python "$(dirname "$0")/../odir/pairs.py" fewer "$records" --patients "$patients" --out "$out/patients-$patients"
  [ -e "$run/key.json" ] || step privacy canary plant --data "$out/patients-$patients" --out "$run/marked" --key "$run/key.json" --seed "$seed"
  step synth train --data "$run/marked" --out "$run/generator" --config fundus256-small --start fundus256 --set "images=$images" \
    --set "seed=$seed" ${PRECISION:+--set "precision=$PRECISION"}
  for at in ${AT:-12800 $images}; do
    [ -e "$run/at-$at" ] || step synth average "$run/generator" --at "$at" --out "$run/at-$at"
    score "$run/score-$at" --generator "$run/at-$at"
  done
  step synth generate --model "$run/at-$images" --n "${PICTURES:-2000}" --steps 10 --marks --seed "$seed" --out "$run/synthetic"
  score "$run/chain" --generator "$run/at-$images" --synthetic "$run/synthetic"
done
