#!/usr/bin/env bash
# Real photographs -> generator -> 10,000 synthetic pairs -> CLIP -> zero-shot and audit; see README.md.
# Repeat it to continue: every step takes up where it stopped.
#
#     bash examples/odir/run.sh DATA OUT
#
# DATA holds odir5k/, idrid/, hygd/, hei-med/ in their public layouts.  IMAGES says how long the generator trains.
set -euo pipefail
data=${1:?give the folder that holds odir5k/, idrid/, hygd/ and hei-med/} out=${2:?give a folder to write}
here=$(dirname "$0") configs=$(dirname "$0")/../../configs
export OMP_NUM_THREADS=1 # one thread a process: two on a busy machine are slower than one
step() { echo "+ $*" >&2; "$@"; }

step synth import odir5k --root "$data/odir5k" --split 7:1:2 --out "$out/records/odir"
step synth import idrid --root "$data/idrid" --split 0:0:1 --out "$out/records/idrid"
step synth import hygd --root "$data/hygd" --split 0:0:1 --out "$out/records/hygd"
step synth import hei-med --root "$data/hei-med" --split 0:0:1 --out "$out/records/hei-med"

step torchrun --nproc_per_node "${PROCESSES:-2}" -m synth train --data "$out/records/odir" --out "$out/generator" \
  --config "$configs/synth/odir64.yaml" --set "images=${IMAGES:-160000}"
step synth generate --model "$out/generator" --n 10000 --labels "$here/labels.yaml" \
  --steps "${STEPS:-20}" --guidance 3 \
  --seed 1 --out "$out/synthetic"
step synth verify "$out/synthetic"
step synth preview "$out/synthetic" --out "$out/synthetic.png"

# The same budget for the encoder that sees synthetic pairs only and for the reference that sees the real ones.
for pairs in synthetic real; do
  folder=$out/synthetic
  [ $pairs = real ] && folder=$out/records/odir
  step clip train --data "$folder" --out "$out/clip-$pairs" --config "$configs/clip/tiny.yaml" &
done
wait

for pairs in synthetic real; do
  for set in odir idrid hygd; do
    step clip eval --model "$out/clip-$pairs/ckpt.pt" --data "$out/records/$set" --split test --lang both \
      --out "$out/eval/$pairs-$set"
  done
  step privacy audit --model "$out/clip-$pairs/ckpt.pt" --attackers "$out/records/odir" --split test \
    --attributes age,sex --out "$out/audit/$pairs-odir"
  step privacy audit --model "$out/clip-$pairs/ckpt.pt" --attackers "$out/records/hei-med" \
    --attributes race --out "$out/audit/$pairs-hei-med"
done
