#!/usr/bin/env bash
# Real photographs -> a generator of 256 pixels and its student -> synthetic pairs -> CLIPs on synthetic, real and both pairs ->
# zero-shot, linear probe, classifiers, audit; see README.md.  Repeat it to continue: every step takes up where it stopped.
#
#     bash examples/fundus256/run.sh DATA OUT
#     bash examples/fundus256/run.sh rehearse OUT    # drawn phantoms for every set, every length cut: some minutes
#
# DATA holds odir5k/, idrid/, hygd/, palm/, grape/, hei-med/ in their public layouts.
set -euo pipefail
data=${1:?give the folder that holds odir5k/, idrid/, hygd/, palm/, grape/ and hei-med/, or the word rehearse} out=${2:?give a folder to write}
export OMP_NUM_THREADS=1 # one thread a process: two on a busy machine are slower than one
step() { echo "+ $*" >&2; "$@"; }

judged=(odir5k idrid hygd palm) # GRAPE, whose eyes all have glaucoma, teaches only
generator=(images="${IMAGES:-64000}") student=(images="${STUDENT:-3200}" cooldown=0.5 'split=[5,9,12,14]' save_every=800)
pairs=${PAIRS:-10000} encoder=(images="${CLIP_IMAGES:-24000}" warmup="${WARMUP:-2400}" save_every="${SAVE_EVERY:-4800}" 'zero_shot=[]')
if [ -n "${TOWER:-}" ]; then # begins with weights of timm, of photographs of other things
  encoder+=(model.image.name="$TOWER" initial.image="${TOWER_WEIGHTS:?give the file of weights of $TOWER}")
fi
classifier=(classifier.architecture=mobilenetv4_conv_small classifier.images=30720)
eval=() audit=()
if [ "$data" = rehearse ]; then
  generator=(images=32 save_every=32 autoencoder.images=32 autoencoder.save_every=32)
  student=(images=16 batch=16 save_every=16 'split=[5,9,12,14]')
  SEEDS=${SEEDS:-0} pairs=60 encoder=(images=64 batch=16 warmup=16 save_every=64 'zero_shot=[]')
  classifier=(classifier.architecture=mobilenetv4_conv_small classifier.images=64 classifier.batch=16 classifier.least=1 reported=1 headline=1)
  eval=(min_count=1) audit=(--config quick)
fi
set_() { for value in "$@"; do printf -- '--set\n%s\n' "$value"; done; }
mapfile -t generator < <(set_ "${generator[@]}" ${PRECISION:+precision="$PRECISION"})
mapfile -t student < <(set_ "${student[@]}" ${PRECISION:+precision="$PRECISION"})
mapfile -t encoder < <(set_ "${encoder[@]}" ${PRECISION:+precision="$PRECISION"})
mapfile -t classifier < <(set_ "${classifier[@]}")
mapfile -t eval < <(set_ "${eval[@]}")

people=1
records() { # set, split
  if [ "$data" = rehearse ]; then
    step synth phantom --n 120 --size 256 --seed $((people++)) --out "$out/records/$1"
  else
    step synth import "$1" --root "$data/$1" --split "$2" --size 256 --out "$out/records/$1"
  fi
}
learnt=()
for name in "${judged[@]}" grape; do
  records "$name" 7:1:2
  learnt+=(--data "$out/records/$name")
done
records hei-med 0:0:1

step synth train "${learnt[@]}" --out "$out/generator" --config fundus256-small --start fundus256 "${generator[@]}"
step synth distill --model "$out/generator" --start fundus256-4 "${learnt[@]}" --out "$out/student" "${student[@]}"
step synth generate --model "$out/student" --n "$pairs" --labels balanced --seed 1 --out "$out/synthetic"
step synth verify "$out/synthetic"
step synth preview "$out/synthetic" --out "$out/synthetic.png"
step synth evaluate --data "$out/synthetic" --real "$out/records/odir5k" --size 256 --out "$out/teaches" "${classifier[@]}"

# The same budget for each: an encoder that sees synthetic pairs only, the real ones, or both.
models=()
for seed in ${SEEDS:-0 1 2}; do
  for arm in synthetic real both; do
    seen=()
    [ $arm = real ] || seen+=(--data "$out/synthetic")
    [ $arm = synthetic ] || seen+=("${learnt[@]}")
    step clip train "${seen[@]}" --out "$out/clip/$arm-$seed" --config visionclip-small "${encoder[@]}" --set seed="$seed"
    models+=(--model "$out/clip/$arm-$seed/ckpt.pt")
  done
done
tested=()
for name in "${judged[@]}"; do
  tested+=(--data "$out/records/$name")
  for task in zero-shot linear; do
    step clip eval "${models[@]}" --data "$out/records/$name" --split test --task $task --out "$out/eval/$name-$task" "${eval[@]}"
  done
done
# All seeds of an arm beside all of another, by patient and seed; phantoms of a rehearsal are too few.
[ "$data" = rehearse ] || step python "$(dirname "$0")/../odir/compare.py" "$out/clip" "${tested[@]}" \
  --tasks odir,cataract,myopia,is_gc,is_amd,dr,dr5 --compare synthetic:real --compare both:real | tee "$out/compared.txt"
first=$out/clip/synthetic-${SEEDS:-0}
first=${first%% *}
step privacy audit --model "$first/ckpt.pt" --generator "$out/generator" --synthetic "$out/synthetic" --members "$out/records/odir5k" \
  --nonmembers "$out/records/odir5k" --attackers "$out/records/hei-med" --attributes age,sex,race "${audit[@]}" --out "$out/audit" || [ $? -ge 3 ]
