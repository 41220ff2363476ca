#!/usr/bin/env bash
# How a training step grows: with tokens, with layers, with the rank, and what a second thread gains. The runs of a
# comparison take turns, each counts by its fastest step, which other work on the machine disturbs least; medians over
# the rounds, and their range.
#
#     bench/scaling.sh [ROUNDS]
#
# BERT-base's shape with random weights, LoRA on all linear layers, full batches of 128 tokens. PEFT is the program
# (default build/peft/cli/peft).
set -euo pipefail
[[ $# -le 1 && ${1:-3} =~ ^[1-9][0-9]*$ ]] || { sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2; }
rounds=${1:-3} peft=${PEFT:-build/peft/cli/peft}
export LC_ALL=C
seen=$(mktemp)
trap 'rm -f "$seen"' EXIT

# step KEY OPTION...: seconds of the fastest step, for this round
step() {
    "$peft" bench step --json --quiet --shape bert-base --target-modules all-linear --length 128 --dtype "$dtype" "${@:2}" |
        jq -c --arg key "$1" --argjson round "$round" '{key: $key, round: $round, seconds: .step_seconds_best}' >> "$seen"
}

for ((round = 1; round <= rounds; round++)); do
    for dtype in f32 bf16; do
        for sequences in 4 8 16 32; do
            step "$dtype $sequences sequences" --sequences $sequences --steps $((64 / sequences))
        done
        for layers in 3 6 12; do
            step "$dtype $layers layers" --layers $layers --sequences 16 --steps $((48 / layers))
        done
        step "$dtype rank 8" --rank 8 --sequences 16 --steps 4
        step "$dtype rank 64" --rank 64 --sequences 16 --steps 4
        step "$dtype 1 thread" --threads 1 --sequences 8 --steps 4
        step "$dtype 2 threads" --threads 2 --sequences 8 --steps 4
    done
    echo "round $round of $rounds" >&2
done

sed -n 's/^model name.*: /CPU: /p' /proc/cpuinfo | head -n 1
echo "threads: $(nproc), rounds: $rounds"
echo
echo "| BERT-base, six linears | f32 | bf16 |"
echo "| --- | --- | --- |"
jq -rs 'def hundredths: . * 100 | round / 100;
    def spread: sort | "\(.[length / 2 | floor] | hundredths) (\(first | hundredths)–\(last | hundredths))";
    # seconds of one by seconds of the other, in each round
    def over(one; other): group_by(.round) | map((map({key, value: .seconds}) | from_entries) | .[one] / .[other]) | spread;
    def row(name; one; other): "| \(name) | \(over("f32 " + one; "f32 " + other)) | \(over("bf16 " + one; "bf16 " + other)) |";
    row("1024 tokens / 512"; "8 sequences"; "4 sequences"), row("2048 tokens / 1024"; "16 sequences"; "8 sequences"),
    row("4096 tokens / 2048"; "32 sequences"; "16 sequences"), row("6 layers / 3"; "6 layers"; "3 layers"),
    row("12 layers / 6"; "12 layers"; "6 layers"), row("rank 64 / rank 8"; "rank 64"; "rank 8"),
    row("1 thread / 2 threads"; "1 thread"; "2 threads")' "$seen"
