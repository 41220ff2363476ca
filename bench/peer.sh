#!/usr/bin/env bash
# libpeft beside Hugging Face PEFT: the same work on the same machine, one after the other in turn, medians of several.
#
#     bench/peer.sh MODEL_DIR DATA_DIR [ROUNDS]       DATA_DIR as of `peft train --data`; ROUNDS: 3
#
# Sets up the peer in a virtual environment (PEER_VENV, default /tmp/peft-peer: about 6 GB) unless it is there. Prints a
# table in Markdown; every figure seen goes to bench-peer.jsonl in the current folder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
model=${1:?MODEL_DIR is missing} data=${2:?DATA_DIR is missing} rounds=${3:-3}
venv=${PEER_VENV:-/tmp/peft-peer} threads=${THREADS:-2} build=$here/../build
linears=query,key,value,attention.output.dense,intermediate.dense,output.dense
steps=60

[ -f "$build/build.ninja" ] || meson setup "$build" "$here/.." > /dev/null
ninja -C "$build" peft/cli/peft > /dev/null
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import peft, transformers' 2> /dev/null ||
    "$venv/bin/pip" install -q torch==2.15.0 transformers==5.23.0 peft==0.21.2 scipy
export CUDA_VISIBLE_DEVICES='' THREADS=$threads
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
out=bench-peer.jsonl
: > "$out"

# note WORK WHO JSON: keeps what is compared
note() {
    jq -c --arg work "$1" --arg who "$2" '{work: $work, who: $who, tokens_per_second, peak_memory_bytes}' <<< "$3" >> "$out"
}

step() { # WORK SEQUENCES LENGTH TARGETS
    note "$1" libpeft "$("$build/peft/cli/peft" bench step --json --quiet --model "$model" --sequences "$2" --length "$3" \
        --target-modules "$4" --rank 8 --steps 6 --threads "$threads" | jq '.tokens_per_second = (.tokens_per_second_best | round)')"
    note "$1" peer "$("$venv/bin/python" "$here/peer_step.py" "$model" "$2" "$3" "$4" 8 6 "$threads" 2> /dev/null)"
}

# The time of the steps alone, as the peer's: without what comes before the first and after the last.
text() { # TASK
    local json
    json=$("$build/peft/cli/peft" train --json --quiet --force --model "$model" --task "$1" --data "$data" \
        --target-modules "$linears" --steps $steps --eval-every 100000 --threads "$threads" --output "$scratch/run")
    rate=$(jq -s 'map(select(.loss)) | (map(.tokens) | add) / (map(.seconds) | add) | floor' "$scratch/run/log.jsonl")
    note "$1, as it is, $steps steps" libpeft "$(jq --argjson rate "$rate" '.tokens_per_second = $rate' <<< "$json")"
    note "$1, as it is, $steps steps" peer "$("$venv/bin/python" "$here/peer_glue.py" "$model" "$data" "$1" 0 3 $steps 2> /dev/null)"
}

for round in $(seq "$rounds"); do
    echo "round $round of $rounds" >&2
    step "32 x 128, query+value" 32 128 query,value
    step "32 x 128, six linears" 32 128 "$linears"
    for task in cola mrpc; do text $task; done
done

sed -n 's/^model name.*: /CPU: /p' /proc/cpuinfo | head -n 1
echo "threads: $threads, rounds: $rounds"
echo
echo "| work | libpeft tok/s | PEFT tok/s | speed | libpeft MB | PEFT MB | memory |"
echo "| --- | --- | --- | --- | --- | --- | --- |"
jq -rs 'def median: sort | .[length / 2 | floor];
    def of(who): map(select(.who == who));
    group_by(.work)[] | . as $rows | .[0].work as $work
    | ($rows | of("libpeft") | map(.tokens_per_second) | median) as $ours | (of("peer") | map(.tokens_per_second) | median) as $theirs
    | (of("libpeft") | map(.peak_memory_bytes) | median / 1e6) as $mine | (of("peer") | map(.peak_memory_bytes) | median / 1e6) as $other
    | [range(of("libpeft") | length)] | map(($rows | of("libpeft"))[.].tokens_per_second / ($rows | of("peer"))[.].tokens_per_second)
    | "| \($work) | \($ours | floor) | \($theirs | floor) | \(median * 100 | round / 100) x (\(min * 100 | round / 100)-\(max * 100 | round / 100)) | \($mine | floor) | \($other | floor) | 1/\($other / $mine * 10 | round / 10) |"' "$out"
