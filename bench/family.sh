#!/usr/bin/env bash
# All variants on the same tasks at the same size: about 0.5 % of MiniLM's parameters (query and value adapted), some at
# 0.1 % too. 2,000 training rows, 3 epochs, 3 seeds; each variant's learning rate is chosen among three on 1,000 rows
# that are neither trained on nor reported.
#
#     bench/family.sh MODEL DATA OUTPUT [OPTION...]
#
# DATA holds CoLA in GLUE's layout, wn-entail and wn-sense (peft tasks --build-wordnet DATA). Started again it goes on
# where it was. OPTIONs go to `peft compare` (--jobs 2). Some five hours on two cores.
set -euo pipefail
(($# >= 3)) || { sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2; }
model=$1 data=$2 output=$3
shift 3

half_percent=(
    head
    lora:rank=12 rslora:rank=12 dora:rank=12
    adalora:rank=18:target-rank=12 sora:rank=12 lora2:k=12:rank=12
    molora:num-experts=5:rank=2 mola:rank=2
    mor1e:num-experts=8 mor1e:num-experts=8:gate=sequence:gate-size=8:alpha=16 trex:r1=4:r2=4
    loha:rank=6 lokr:rank=64:decompose-factor=4
    mov:num-experts=10 vera:rank=1024 ia3 # cannot be made larger, or not by much
)
tenth_percent=(lora:rank=2 adalora:rank=3:target-rank=2 sora:rank=2 lora2:k=2:rank=2)
variants=$(IFS=,; echo "${half_percent[*]},${tenth_percent[*]}")

resume=()
[ ! -e "$output" ] || resume=(--resume)
exec "${PEFT:-build/peft/cli/peft}" compare --model "$model" --data "$data" --output "$output" --tasks cola,wn-entail,wn-sense \
    --variants "$variants" --seeds 0,1,2 --learning-rates 5e-4,2e-3,8e-3 --max-train 2000 --hold-out 1000 --epochs 3 \
    "${resume[@]}" "$@"
