#!/usr/bin/env bash
# Training steps on full batches with each kind of matrix product: BLIS in f32 (backend avx512), oneDNN with packed
# weights in f32, and in bf16. They take turns; medians over the rounds, and the range of the speed-up within a round.
#
#     bench/products.sh MODEL [ROUNDS]
#
# PEFT is the program (default build/peft/cli/peft), THREADS how many threads (2).
set -euo pipefail
(($# == 1 || $# == 2)) || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
model=$1 rounds=${2:-5} peft=${PEFT:-build/peft/cli/peft} threads=${THREADS:-2}
export LC_ALL=C
seen=$(mktemp)
trap 'rm -f "$seen"' EXIT

kinds=("f32 avx512" "f32 onednn" "bf16 onednn")
shapes=("32 64 query,value" "32 64 all-linear" "16 128 query,value" "16 128 all-linear")

for ((round = 1; round <= rounds; round++)); do
    for shape in "${shapes[@]}"; do
        for kind in "${kinds[@]}"; do
            read -r sequences length targets <<< "$shape"
            read -r dtype backend <<< "$kind"
            "$peft" bench step --json --quiet --model "$model" --sequences "$sequences" --length "$length" --rank 8 \
                --target-modules "$targets" --steps 10 --threads "$threads" --dtype "$dtype" --backend "$backend" |
                jq -c --arg kind "$kind" --arg targets "$targets" '{kind: $kind, work: "\(.sequences) x \(.length), \($targets)",
                    tokens_per_second: (.tokens_per_second_best | round), peak_memory_bytes}' >> "$seen"
        done
    done
    echo "round $round of $rounds" >&2
done

sed -n 's/^model name.*: /CPU: /p' /proc/cpuinfo | head -n 1
echo "threads: $threads, rounds: $rounds"
echo
echo "| work | BLIS f32 tok/s | oneDNN f32 tok/s | speed | oneDNN bf16 tok/s | speed | peak MB |"
echo "| --- | --- | --- | --- | --- | --- | --- |"
jq -rs 'def median: sort | .[length / 2 | floor];
    def hundredths: . * 100 | round / 100;
    def of(kind): map(select(.kind == kind));
    def rate: map(.tokens_per_second);
    def over(base): [rate, (base | rate)] | transpose | map(.[0] / .[1])
        | "\(median | hundredths) x (\(min | hundredths)–\(max | hundredths))";
    def megabytes: map(.peak_memory_bytes / 1e6) | median | round;
    group_by(.work)[] | of("f32 avx512") as $blis | of("f32 onednn") as $f32 | of("bf16 onednn") as $bf16
    | "| \(.[0].work) | \($blis | rate | median) | \($f32 | rate | median) | \($f32 | over($blis)) | \($bf16 | rate | median)"
    + " | \($bf16 | over($blis)) | \([$blis, $f32, $bf16] | map(megabytes | tostring) | join(", ")) |"' "$seen"
