#!/usr/bin/env bash
# Encoders of several losses, captions, recipes and pairs, three seeds each; see docs/results/clip.md.
# Repeat it to continue: every step takes up where it stopped.
#
#     bash examples/odir/encoders.sh OUT
#
# OUT is the folder of run.sh: it holds records/odir and synthetic.  IMAGES says how long each encoder trains, ARMS which
# of them, SEEDS with which seeds; RUNS is where.
set -euo pipefail
out=${1:?give the folder that run.sh wrote}
here=$(dirname "$0") configs=$(dirname "$0")/../../configs/clip images=${IMAGES:-24000}
synthetic=${SYNTHETIC:-$out/synthetic} real=${REAL:-$out/records/odir}
export OMP_NUM_THREADS=1 # one thread a process: two on a busy machine are slower than one

python "$here/pairs.py" terse "$synthetic" --out "$out/terse"
python "$here/pairs.py" join "$real" "$synthetic" --out "$out/both"

arm() { # name, pairs, config, settings
  local name=$1 pairs=$2 config=$3
  shift 3
  [[ -z ${ARMS:-} || " $ARMS " == *" $name "* ]] || return 0
  python -m clip train --data "$pairs" --out "${RUNS:-$out/encoders}/$name-$seed" --config "$configs/$config.yaml" \
    --set "images=$images" --set "warmup=$((images / 10))" --set "save_every=$((images / 3))" --set "precision=${PRECISION:-auto}" \
    --set "zero_shot=[]" --set "seed=$seed" "$@"
}
for seed in ${SEEDS:-0 1 2}; do
  arm terse-infonce "$out/terse" tiny --set caption=zh --set loss=infonce
  arm terse-multi "$out/terse" tiny --set caption=zh
  arm synthetic-infonce "$synthetic" tiny --set loss=infonce
  arm synthetic-multi "$synthetic" tiny
  arm synthetic-zh "$synthetic" tiny --set caption=zh
  arm synthetic-plus "$synthetic" tiny-plus
  arm synthetic-visionclip "$synthetic" visionclip-tiny
  arm real-multi "$real" tiny
  arm real-visionclip "$real" visionclip-tiny
  arm both-multi "$out/both" tiny
done
for seed in ${SEEDS:-0 1 2}; do # its three losses see four pictures where the others see one
  arm synthetic-eyeclip "$synthetic" eyeclip-tiny
done
