#!/usr/bin/env bash
# The study of README.md beside this file, on one or two processor cores, from examples/litemedsam.
#
#     DATA=folder-of-prepared-sets OUT=folder-for-runs JOBS=2 bash ../../docs/study/run.sh
#
# otu2d, dsb2018, hc18, busi and usgra in the prepared form that `python -m litemedsam prepare` writes.
set -euo pipefail
export DATA OUT OMP_NUM_THREADS=1
lite="python -m litemedsam"
mkdir -p "$OUT"

$lite train "$DATA/otu2d" "$DATA/dsb2018" --out "$OUT/base" --config strided --sas none \
  --most-cases 1000 --epochs 4 --clicks 2 --learning-rate 5e-4 --workers 0 --seed 0 > "$OUT/base.log" 2>&1

fine_tune() {  # name, prompt, then options
  name=$1 prompt=$2
  shift 2
  python -m litemedsam train "$DATA/hc18" --out "$OUT/$name" --config strided --weights "$OUT/base/best.pt" \
    --most-cases 200 --epochs 3 --clicks 3 --prompt "$prompt" --workers 0 "$@"
  python -m litemedsam evaluate "$OUT/$name" "$DATA/busi" "$DATA/usgra" --out "$OUT/scores/$name" \
    --most-cases 120 --clicks 8 --prompt "$prompt" --workers 0
}
export -f fine_tune

xargs -P "${JOBS:-2}" -I{} bash -c 'set -- {}; fine_tune "$@" > "$OUT/$1.log" 2>&1' <<'RUNS'
sas-0 click --sas both --seed 0
none-0 click --sas none --seed 0
sas-1 click --sas both --seed 1
none-1 click --sas none --seed 1
frozen-0 click --sas both --seed 0 --freeze-encoder
box-0 box --sas both --seed 0
RUNS
$lite evaluate "$OUT/base" "$DATA/busi" "$DATA/usgra" --out "$OUT/scores/base" --most-cases 120 \
  --clicks 8 --workers 0 >> "$OUT/base.log" 2>&1

for seed in 0 1; do
  $lite figures "SAS=$OUT/scores/sas-$seed" "no SAS=$OUT/scores/none-$seed" "base=$OUT/scores/base" \
    --out "$OUT/report-$seed"
done
$lite figures "frozen encoder=$OUT/scores/frozen-0" "full=$OUT/scores/sas-0" --out "$OUT/report-frozen"
# clicks and a box in one picture: each by the model that was trained for it
mkdir -p "$OUT/scores/prompts"
cp "$OUT"/scores/sas-0/*_click.csv "$OUT"/scores/box-0/*_box.csv "$OUT/scores/prompts"
$lite figures "SAS=$OUT/scores/prompts" --out "$OUT/report-prompts"
