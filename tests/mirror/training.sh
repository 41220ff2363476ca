#!/usr/bin/env bash
# Whole runs of `peft train`, on a device whose memory nobody can reach and on the host: the same bits, in the files of the
# adapter, in what is observed and in every loss and score.
#
#     tests/mirror/training.sh PROGRAM        (the program with the mirror and the portable backend)
# shellcheck source=tests/reliability/tiny.sh
. "$(dirname "$0")/../reliability/tiny.sh"
runs=("lora --rank 4 --dropout 0.1 --gradient-accumulation 2" "lora --init lora_ga" "lora --init eva" "lora --checkpoint-layers"
    "dora" "adalora --orth-reg-weight 0.1" "lora2 --rank 4" "molora" "mor1e" "trex" "vera" "loha" "full" "head")
differ=0
for ((i = 0; i < ${#runs[@]}; i++)); do
    for backend in mirror portable; do
        # shellcheck disable=SC2086 # a variant and its settings
        "$peft" train "${data[@]}" --batch-size 8 --steps 12 --eval-every 4 --threads 2 --variant ${runs[i]} \
            --backend "$backend" --output "$backend$i" --quiet > /dev/null
        grep -q "\"$backend\"" "$backend$i/run.json"
    done
    same_run "mirror$i" "portable$i" || { echo "other bits: ${runs[i]}"; differ=$((differ + 1)); }
done
echo "${#runs[@]} runs, $differ differ"
[ "$differ" -eq 0 ]
