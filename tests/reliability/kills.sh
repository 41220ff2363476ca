#!/usr/bin/env bash
# Kills training runs and comparisons at random moments, resumes them, and compares bits with those that were left alone.
#
#     tests/reliability/kills.sh PROGRAM [RUNS [KILLS_OF_A_COMPARISON [SEED]]]
# shellcheck source=tests/reliability/tiny.sh
. "$(dirname "$0")/tiny.sh"
runs=${2:-200} kills=${3:-20} RANDOM=${4:-1}
variants=("lora --rank 4" "adalora --orth-reg-weight 0.1" "lora2 --rank 4" "sora" "molora" "full")

# starts COMMAND...: in the background and without its messages; $started is the process
starts() {
    "$peft" "$@" > /dev/null 2>&1 &
    started=$!
}

# kills_soon MILLISECONDS SIGNAL: waits at random up to so long; false: the process had ended before
kills_soon() {
    sleep "$(printf '0.%03d' $((RANDOM % $1)))"
    kill "-$2" "$started" 2> /dev/null || { wait "$started" || true; return 1; }
    wait "$started" 2> /dev/null || true
}

killed=0 resumed=0 different=0
train=(train "${data[@]}" --batch-size 8 --steps 40 --eval-every 3 --checkpoint-every 1 --keep best --threads 1)
for ((i = 0; i < ${#variants[@]}; i++)); do
    # shellcheck disable=SC2086 # a variant and its settings
    "$peft" "${train[@]}" --variant ${variants[i]} --output "whole$i" --quiet > /dev/null
done
for ((n = 0; n < runs; n++)); do
    i=$((n % ${#variants[@]}))
    rm -rf cut
    signals=(KILL KILL TERM INT HUP)
    for ((k = 0; k < 3; k++)); do
        # shellcheck disable=SC2086
        starts "${train[@]}" --variant ${variants[i]} --output cut --resume
        kills_soon 300 "${signals[RANDOM % 5]}" || break
        killed=$((killed + 1))
    done
    # shellcheck disable=SC2086
    "$peft" "${train[@]}" --variant ${variants[i]} --output cut --resume --quiet > /dev/null
    resumed=$((resumed + 1))
    if ! same_run "whole$i" cut || [ -n "$(find cut -name '.peft-*')" ]; then
        different=$((different + 1))
        echo "run $n (${variants[i]}): other files after the kills"
    fi
done
echo "training: $killed kills of $resumed runs, $different with other bits"

compare=(compare --model model --train train.csv --dev dev.csv --variants "head,lora:rank=2,adalora:tfinal=2" --seeds 0,1,2
    --learning-rates 1e-3,1e-2 --no-yardsticks --batch-size 8 --steps 40 --checkpoint-every 1 --threads 2 --jobs 2)
"$peft" "${compare[@]}" --output table --quiet > /dev/null
for ((n = 0; n < kills; n++)); do
    starts "${compare[@]}" --output cut-table --resume
    kills_soon 500 KILL || break
    sleep 0.1 # the children end with it
done
"$peft" "${compare[@]}" --output cut-table --resume --quiet > /dev/null
# what is measured differs: seconds and memory
table() {
    awk -F, 'NR == 1 { for (k = 1; k <= NF; k++) if ($k !~ /seconds|tokens_per|memory|folder/) keep[k] = 1 }
        { line = ""; for (k = 1; k <= NF; k++) if (keep[k]) line = line "," $k; print line }' "$1"
}
bad=0
for name in results summary differences; do
    cmp <(table "table/$name.csv") <(table "cut-table/$name.csv") || bad=$((bad + 1))
done
echo "comparison: $n kills, $bad of 3 tables differ"
[ $((different + bad)) -eq 0 ]
