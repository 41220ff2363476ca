# shellcheck shell=bash
# shellcheck disable=SC2034 # those who read this file use them
# What the scripts of this folder share: a tiny model and data in a scratch folder, which becomes the working directory.
#
#     tests/reliability/NAME.sh PROGRAM [...]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -ge 1 ] || { echo "usage: $0 PROGRAM [...]"; exit 2; }
peft=$(realpath "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

mkdir model
cp "$here"/../fixtures/goldens/models/bert/{config.json,model.safetensors} "$here"/../fixtures/tiny-bert/* model
chmod -R u+w model
awk 'BEGIN {
    print "text,label" > "train.csv"; print "text,label" > "dev.csv"
    for (i = 0; i < 80; i++)
        print "w" (i % 2 ? 7 : 8) " w" (9 + i % 7) (i % 3 ? " w" (20 + i % 11) : "") "," (i % 2 ? "yes" : "no") > (i < 64 ? "train.csv" : "dev.csv")
}'
data=(--model model --train train.csv --dev dev.csv)

# same_run A B: the same adapter or model, the same log but for the seconds
same_run() {
    local file
    for file in adapter_model.safetensors adapter_config.json model.safetensors observations.jsonl; do
        [ ! -e "$1/$file" ] || cmp "$1/$file" "$2/$file" || return 1
    done
    cmp <(jq -c 'del(.seconds)' "$1/log.jsonl") <(jq -c 'del(.seconds)' "$2/log.jsonl")
}
