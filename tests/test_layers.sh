#!/usr/bin/env bash
# Reads all #include "..." lines of the tree and fails on an arrow in the wrong direction:
#
#     ops <- io <- variants <- models <- tasks, generators <- peft <- cli, examples, bench, tests
#
# A file includes its own folder and those to the left, by the path from the root, so that the arrow can be seen. No
# folder but variants and tests includes the header of a particular variant, one whose .c file ends in a variant's table.
#
# Within ops, backends are folders: what describes and plans graphs (ops/describe, ops/engine) includes nothing of theirs,
# and cpu nothing of onednn's. What lies in a folder below ops is for ops and tests alone. So is what a frozen weight is
# stored as.
#
#     tests/test_layers.sh [ROOT]
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

declare -A sees=(
    [ops]="ops"
    [io]="ops io"
    [variants]="ops io variants"
    [models]="ops io variants models"
    [tasks]="ops io variants models tasks"
    [generators]="ops io variants models generators"
    [peft]="ops io variants models tasks generators peft"
    [cli]="ops io variants models tasks generators peft cli"
    [examples]="ops io variants models tasks generators peft"
    [bench]="ops io variants models tasks generators peft cli bench"
    [tests]="ops io variants models tasks generators peft cli bench tests"
)

# layer PATH: sets `layer`; peft/cli/train.c is of cli, peft/train.c of peft
layer() {
    case $1 in peft/cli/*) layer=cli ;; *) layer=${1%%/*} ;; esac
}

# knows_backend FILE INCLUDED: a file of the engine, or of another backend, names one
knows_backend() {
    case $2 in
        ops/cpu/*) [[ $1 == ops/engine/* || $1 == ops/describe/* ]] ;;
        ops/onednn/*) [[ $1 == ops/engine/* || $1 == ops/describe/* || $1 == ops/cpu/* ]] ;;
        *) return 1 ;;
    esac
}

# is_allowed FROM TO INCLUDED FILE
is_allowed() {
    [[ " ${sees[$1]} " == *" $2 "* ]] || return 1
    [[ -f $3 || -f $3.in ]] || return 1
    [[ $3 != ops/*/* || $1 == ops || $1 == tests ]] || return 1
    ! knows_backend "$4" "$3" || return 1
    [[ $2 != variants || $1 == variants || $1 == tests ]] || ! grep -qs '^const peft_variant peft_variant_' "${3%.h}.c"
}

includes() {
    find "${!sees[@]}" -name '*.[ch]' -exec grep -noHE '^ *# *include *"[^"]+"' {} + 2> /dev/null |
        sed -E 's/^([^:]+):([0-9]+):.*"([^"]+)"$/\1:\2:\3/'
}

wrong=0 seen=0
while IFS=: read -r file line included; do
    seen=$((seen + 1))
    layer "$file" && from=$layer
    layer "$included" && to=$layer
    is_allowed "$from" "$to" "$included" "$file" && continue
    echo "$file:$line: $from must not include \"$included\"; it sees: ${sees[$from]}"
    wrong=$((wrong + 1))
done < <(includes)

# What a frozen weight is stored as is for ops, and for those who say where its bytes are.
while IFS= read -r place; do
    echo "$place: asks what a weight is stored as; take its numbers by peft_weight_read or peft_weight_values"
    wrong=$((wrong + 1))
done < <(grep -rnoE '(->|[]a-z]\.)stored\.(data|format)' io variants models tasks generators peft examples bench \
    --include='*.[ch]' 2> /dev/null | grep -vE '^models/(load_weights|model)\.c:')

echo "$seen includes, $wrong wrong"
[ "$wrong" -eq 0 ] && [ "$seen" -gt 0 ]
