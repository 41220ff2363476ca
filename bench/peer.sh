#!/usr/bin/env bash
# libpeft beside Hugging Face PEFT, the same work on the same machine in turn: tokens per second, peak memory and the time
# to the first step, beside the goals and what the machine can do at most.
#
#     bench/peer.sh MINILM DATA [--write]
#
# MINILM is a model's folder (scripts/minilm.sh), DATA holds CoLA, MRPC and RTE as `peft train --data` reads them. The
# peer is set up in PEER_VENV (/tmp/peft-peer, 6 GB) unless it is there, with random weights of BERT-base's shape. Each
# run adds a line to OUT (bench-peer.jsonl); started again it goes on after the last of them. Prints tables in Markdown;
# --write puts them into docs/performance.md, and the plot into docs/pictures.
#
# PEFT is the program (build/peft/cli/peft, built first), THREADS how many threads (all), ROUNDS how many rounds (3),
# STEPS and TEXT_STEPS how many steps are timed on full batches (6 of BERT-base, four times as many of MiniLM) and on text
# (40). ONLY is a regular expression: runs "MODEL, WORK, TYPE, WHO" that it does not match are left out.
set -euo pipefail
(($# == 2)) || [[ $# == 3 && $3 == --write ]] || { sed -n '2,16s/^# \{0,1\}//p' "$0"; exit 2; }
minilm=$1 data=$2 write=${3:-}
here=$(cd "$(dirname "$0")" && pwd)
root=$here/.. venv=${PEER_VENV:-/tmp/peft-peer} out=${OUT:-bench-peer.jsonl}
threads=${THREADS:-$(nproc)} rounds=${ROUNDS:-3} steps=${STEPS:-6} text_steps=${TEXT_STEPS:-40} only=${ONLY:-}
export LC_ALL=C THREADS=$threads CUDA_VISIBLE_DEVICES='' PYTHONDONTWRITEBYTECODE=1 PYTHONWARNINGS=ignore
export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error TQDM_DISABLE=1

# ---- both sides are there ----

# shellcheck source=scripts/packages.sh
. "$root/scripts/packages.sh"
install_missing jq gnuplot-nox python3-venv
peft=${PEFT:-$root/build/peft/cli/peft}
if [ -z "${PEFT:-}" ]; then
    [ -f "$root/build/build.ninja" ] || meson setup "$root/build" "$root" > /dev/null
    ninja -C "$root/build" peft/cli/peft > /dev/null
fi
python=$venv/bin/python bert=$venv/bert-base
[ -x "$python" ] || python3 -m venv "$venv"
"$python" -c 'import peft, transformers' 2> /dev/null ||
    "$venv/bin/pip" install -q torch==2.15.0 transformers==5.23.0 peft==0.21.2 scipy
[ -f "$bert/model.safetensors" ] || "$python" -c 'import sys, torch, transformers as t; torch.manual_seed(0)
t.BertForSequenceClassification(t.BertConfig()).save_pretrained(sys.argv[1])' "$bert"

# list: lines as one, with commas
list() {
    paste -sd, | sed 's/,/, /g'
}

# What the figures of one file have in common is its first line.
settings=$(jq -nc --arg cpu "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | sort -u | list)" --arg threads "$threads" \
    --arg steps "$steps, $text_steps" --arg program "$(sha256sum < "$peft" | cut -c 1-12)" \
    --arg libpeft "lib$("$peft" --version --verbose | grep -E '^(peft|onednn|blis|compiler) ' | list)" \
    --arg PEFT "$("$venv/bin/pip" freeze | sed -n 's/^peft==/PEFT /p; s/^\(torch\|transformers\)==/\1 /p' | list)" \
    '{settings: $ARGS.named}')
[ -s "$out" ] || echo "$settings" > "$out"
[ "$(head -n 1 "$out")" = "$settings" ] || { echo "$out: of another program or other settings: move it away" >&2; exit 1; }

# ---- runs ----

six=query,key,value,attention.output.dense,intermediate.dense,output.dense

# run MODEL WORK TYPE WHO COMMAND...: adds the line of this round, unless it is there. Full batches are alike: there, the
# rate is that of the median step, on text that of all steps.
run() {
    local key name="$1, $2, $3, $4"
    [[ $name =~ $only ]] || return 0
    key=$(jq -nc --argjson round "$round" --arg model "$1" --arg work "$2" --arg dtype "$3" --arg who "$4" '$ARGS.named')
    shift 4
    ! grep -qF "${key%\}}," "$out" || return 0
    echo "round $round of $rounds: $name" >&2
    sleep 1 # until the system has taken back the memory of the run before
    "$@" | jq -c --argjson key "$key" --arg rate "$rate" '$key + {data, flops_per_token,
        peak_gflops: .limits.peak_gflops, peak_memory_bytes, tokens_per_second: .[$rate],
        start_seconds: .start_seconds.total,
        begin_seconds: (.start_seconds | if .first_step then .total - .first_step else null end)}' >> "$out"
}

# ours FOLDER TYPE OPTION...
ours() {
    "$peft" bench step --json --quiet --threads "$threads" --rank 8 --model "$1" --dtype "$2" "${@:3}"
}

# full MODEL FOLDER SEQUENCES LENGTH LAYERS TARGETS STEPS: full batches
full() {
    local rate=tokens_per_second work="$3 x $4, $5" dtype
    local options=(--sequences "$3" --length "$4" --target-modules "$6" --steps "$7")
    for dtype in f32 bf16; do
        run "$1" "$work" $dtype libpeft ours "$2" $dtype "${options[@]}"
        run "$1" "$work" $dtype PEFT "$python" "$here/peer_step.py" "$2" "$3" "$4" "$6" "$7" "$threads" $dtype
        run "$1" "$work" $dtype "layers again" ours "$2" $dtype "${options[@]}" --checkpoint-layers
    done
}

# text TASK NAME: real text as it is
text() {
    local rate=tokens_per_second_mean work="$2, six linears" dtype
    local options=(--task "$1" --data "$data" --target-modules "$six" --steps "$text_steps")
    for dtype in f32 bf16; do
        run MiniLM "$work" $dtype libpeft ours "$minilm" $dtype --sequences 32 --length 128 "${options[@]}"
        run MiniLM "$work" $dtype PEFT "$python" "$here/peer_glue.py" "$minilm" "$data" "$1" 0 3 "$text_steps" $dtype
    done
}

for ((round = 1; round <= rounds; round++)); do
    full BERT-base "$bert" 16 128 query+value query,value "$steps"
    full BERT-base "$bert" 16 128 "six linears" $six "$steps"
    full MiniLM "$minilm" 32 64 query+value query,value $((4 * steps))
    full MiniLM "$minilm" 32 64 "six linears" $six $((4 * steps))
    text cola CoLA
    text mrpc MRPC
    text rte RTE
done

# ---- tables and plot ----

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
jq -rs -L "$here" 'include "peer"; tables' "$out" > "$scratch/tables"
[ "$write" ] || { cat "$scratch/tables"; exit; }
jq -rs -L "$here" 'include "peer"; plot' "$out" > "$scratch/plot"
gnuplot -e "figures='$scratch/plot'; picture='$root/docs/pictures/peer.svg'" "$here/peer.gp"
# What stands between the marks gives way to the tables.
sed -i -e '/^<!-- peer.sh -->$/,/^<!-- end of peer.sh -->$/{//!d}' -e "/^<!-- peer.sh -->$/r $scratch/tables" \
    "$root/docs/performance.md"
