#!/usr/bin/env bash
# The study of README.md beside this file, on two processor cores, from examples/litemedsam.
#
#     DATA=folder-of-prepared-sets OUT=folder-for-runs bash ../../docs/study/run.sh
#
# otu2d, dsb2018, hc18, busi and usgra in the prepared form that `python -m litemedsam prepare` writes.
set -euo pipefail
lite="python -m litemedsam"

OMP_NUM_THREADS=2 $lite train "$DATA/otu2d" "$DATA/dsb2018" --out "$OUT/base" --config strided \
  --sas none --most-cases 300 --epochs 2 --clicks 2 --learning-rate 5e-4 --workers 1 --seed 0

# two at a time, a core each
export OMP_NUM_THREADS=1
for seed in 0 1; do
  for sas in both none; do
    (
      $lite train "$DATA/hc18" --out "$OUT/$sas-$seed" --config strided --sas "$sas" --p 0.5 \
        --weights "$OUT/base/best.pt" --most-cases 160 --epochs 3 --clicks 3 \
        --learning-rate 2e-4 --workers 0 --seed "$seed"
      $lite evaluate "$OUT/$sas-$seed" "$DATA/busi" "$DATA/usgra" --out "$OUT/scores/$sas-$seed" \
        --most-cases 120 --clicks 8 --workers 0
    ) > "$OUT/$sas-$seed.log" 2>&1 &
  done
  wait
done
$lite evaluate "$OUT/base" "$DATA/busi" "$DATA/usgra" --out "$OUT/scores/base" --most-cases 120 \
  --clicks 8 --workers 0
