#!/usr/bin/env bash
# All variants on the same tasks at the same size: about 0.5 % of MiniLM's parameters (the six linear layers of each
# block), some at 0.1 % too (of the upper three blocks). 2,000 training rows, 3 epochs, 3 seeds; each variant's learning
# rate is chosen among four on 1,000 rows that are neither trained on nor reported.
#
#     bench/family.sh MODEL DATA OUTPUT [OPTION...]
#
# DATA holds CoLA in GLUE's layout, wn-entail and wn-sense (peft tasks --build-wordnet DATA). Started again it goes on
# where it was. OPTIONs go to `peft compare` (--jobs 2, --dtype f32). Some two hours on two cores. ONLY is a regular
# expression: variants that it does not match are left out. RATES are the learning rates (3e-4,1e-3,4e-3,1e-2).
set -euo pipefail
(($# >= 3)) || { sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2; }
model=$1 data=$2 output=$3
shift 3

half_percent=(
    head
    lora:rank=3:alpha=8 rslora:rank=3:alpha=8 dora:rank=3:alpha=8
    adalora:rank=4:target-rank=3:alpha=8 sora:rank=3:alpha=8 lora2:k=4:rank=4:target-rank=3:alpha=8
    molora:num-experts=2:rank=1:alpha=4 mola:allocation=2-2-3:rank=1:alpha=4
    mor1e:num-experts=2:alpha=4 mor1e:num-experts=2:alpha=4:gate=sequence:gate-size=2 trex:r1=1:r2=2:alpha=4
    mov:num-experts=3 loha:rank=1 lokr:rank=12:decompose-factor=4
    vera:rank=256 ia3 # cannot be made larger, or not by much
)
small='rank=2:target-rank=1:alpha=4:layers-to-transform=[3,4,5]'
tenth_percent=(
    lora:rank=1:alpha=4:layers-to-transform='[3,4,5]' sora:rank=1:alpha=4:layers-to-transform='[3,4,5]'
    "adalora:$small" "lora2:k=2:$small"
)
variants=$(printf '%s\n' "${half_percent[@]}" "${tenth_percent[@]}" |
    jq -Rnc --arg only "${ONLY:-}" '[inputs | select(test($only))]')

resume=()
[ ! -e "$output" ] || resume=(--resume)
exec "${PEFT:-build/peft/cli/peft}" compare --model "$model" --data "$data" --output "$output" \
    --tasks cola,wn-entail,wn-sense --variants "$variants" --seeds 0,1,2 --learning-rates "${RATES:-3e-4,1e-3,4e-3,1e-2}" \
    --target-modules query,key,value,attention.output.dense,intermediate.dense,output.dense \
    --max-train 2000 --hold-out 1000 --epochs 3 --batch-size 8 --dtype bf16 "${resume[@]}" "$@"
