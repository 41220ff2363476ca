#!/usr/bin/env bash
# What a training step of each variant costs beside plain LoRA of as many parameters (query and value of MiniLM, about
# 0.5 %): medians over the steps of short runs that take turns, and the most memory a run held.
#
#     bench/cost.sh MODEL DATA [ROUNDS]
#
# DATA holds wn-entail (peft tasks --build-wordnet DATA). A ratio is of two runs of the same round; the table has the
# median of the rounds and their range.
set -euo pipefail
(($# == 2 || $# == 3)) || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
model=$1 data=$2 rounds=${3:-5}
peft=${PEFT:-build/peft/cli/peft}
export LC_ALL=C
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

runs=("lora --rank 12" "rslora --rank 12" "dora --rank 12" "adalora --rank 12" "sora --rank 12" "lora2 --k 12 --rank 12"
    "molora --num-experts 5 --rank 2" "mola --rank 2" "mor1e --num-experts 8" "mor1e --num-experts 8 --gate sequence --gate-size 8"
    "trex --r1 4 --r2 4" "mov --num-experts 10" "vera --rank 1024" "ia3" "loha --rank 6" "lokr --rank 64 --decompose-factor 4")

# middle FILE: its smallest, middle and largest number
middle() {
    sort -g "$1" | awk '{ v[NR] = $1 } END { print v[1], v[int((NR + 1) / 2)], v[NR] }'
}

# step OPTION...: seconds of a step and bytes of the run
step() {
    "$peft" train --model "$model" --data "$data" --task wn-entail --max-train 1280 --epochs 1 --output "$dir/run" --force \
        --quiet --json --variant "$@" > "$dir/run.json"
    jq -r 'select(.seconds and .step > 5) | .seconds' "$dir/run/log.jsonl" > "$dir/seconds"
    echo "$(middle "$dir/seconds" | cut -d' ' -f2) $(jq .peak_anonymous_bytes "$dir/run.json")"
}

for ((round = 1; round <= rounds; round++)); do
    for ((k = 0; k < ${#runs[@]}; k++)); do
        # shellcheck disable=SC2086 # the words of a run are options
        read -r seconds bytes <<< "$(step ${runs[k]})"
        ((k)) || { base_seconds=$seconds base_bytes=$bytes; }
        awk "BEGIN { print $seconds / $base_seconds }" >> "$dir/time-$k"
        awk "BEGIN { print $bytes / $base_bytes }" >> "$dir/memory-$k"
        jq .trainable_parameters "$dir/run.json" > "$dir/parameters-$k"
        echo "round $round: ${runs[k]}: $seconds s a step" >&2
    done
done

echo "| variant | trainable | step / LoRA's | memory / LoRA's |"
echo "| --- | --- | --- | --- |"
for ((k = 0; k < ${#runs[@]}; k++)); do
    read -r low time high <<< "$(middle "$dir/time-$k")"
    printf '| %s | %d | %.2f (%.2f–%.2f) | %.2f |\n' "${runs[k]}" "$(< "$dir/parameters-$k")" "$time" "$low" "$high" \
        "$(middle "$dir/memory-$k" | cut -d' ' -f2)"
done
