#!/usr/bin/env bash
# Damages each file of a run, an adapter and a model, one at a time: a flipped bit, a byte that is gone, an end that is cut
# off, a stretch of zeros. What is read from the damaged file is then refused, or a note is given, or the answer is the
# same to the last digit; everything else is a silent change. Files of text have no checksum, so that people can edit
# them: what changes silently there is counted apart, and is no fault.
#
#     tests/reliability/damage.sh PROGRAM [DAMAGES_OF_A_FILE [SEED]]
# shellcheck source=tests/reliability/tiny.sh
. "$(dirname "$0")/tiny.sh"
times=${2:-40} RANDOM=${3:-1}
train=(train "${data[@]}" --variant adalora --batch-size 8 --steps 6 --checkpoint-every 1 --eval-every 2 --threads 1 --quiet)
"$peft" "${train[@]}" --output run > /dev/null
"$peft" merge --model model --adapter run --output merged --quiet > /dev/null

# at_random N: below N
at_random() { echo $(((RANDOM * 32768 + RANDOM) % $1)); }

# flip, drop, cut or blank FILE: where, at random
flip() {
    local at byte
    at=$(at_random "$(stat -c %s "$1")")
    byte=$(od -An -tu1 -j "$at" -N 1 "$1")
    # shellcheck disable=SC2059 # the format is the byte
    printf "\\x$(printf %02x $((byte ^ (1 << (RANDOM % 8)))))" | dd of="$1" bs=1 seek="$at" conv=notrunc status=none
}
drop() {
    local at
    at=$(at_random "$(stat -c %s "$1")")
    { head -c "$at" "$1"; tail -c +$((at + 2)) "$1"; } > "$1.new" && mv "$1.new" "$1"
}
cut() { truncate -s "$(at_random "$(stat -c %s "$1")")" "$1"; }
blank() {
    dd if=/dev/zero of="$1" bs=1 seek="$(at_random "$(stat -c %s "$1")")" count=16 conv=notrunc status=none
}

# answers FOLDER...: what is read from it
predict_adapter() { "$peft" predict --model model --adapter "$1" --input dev.csv --json; }
predict_merged() { "$peft" predict --model "$1" --input dev.csv --json; }
resume() { "$peft" "${train[@]}" --output "$1" --resume > /dev/null && sha256sum < "$1/adapter_model.safetensors"; }

kinds=(flip flip drop cut blank)
refused=0 noted=0 same=0 silent=0 text=0 crashed=0 done=0
# damages FOLDER READER FILE...: counts what came of it
damages() {
    local folder=$1 reader=$2 file n kind code
    shift 2
    $reader "$folder" > expected 2> expected-messages
    for file; do
        for ((n = 0; n < times; n++)); do
            kind=${kinds[RANDOM % 5]}
            rm -rf damaged
            cp -r "$folder" damaged
            $kind "damaged/$file"
            ! cmp -s "$folder/$file" "damaged/$file" || continue
            done=$((done + 1))
            code=0
            $reader damaged > found 2> messages || code=$?
            sed -i "s/damaged/$folder/g" messages
            if [ $code -ge 128 ]; then
                crashed=$((crashed + 1)) && echo "$folder/$file, $kind: exit code $code"
            elif [ $code -ne 0 ]; then
                refused=$((refused + 1))
            elif cmp -s expected found; then
                same=$((same + 1))
            elif ! cmp -s expected-messages messages; then
                noted=$((noted + 1))
            elif [[ "$file" != *.safetensors ]]; then
                text=$((text + 1))
            else
                silent=$((silent + 1)) && echo "$folder/$file, $kind: another answer without a word"
            fi
        done
    done
}
damages run predict_adapter adapter_model.safetensors adapter_config.json run.json
damages run resume checkpoint/checkpoint.safetensors log.jsonl observations.jsonl
damages merged predict_merged config.json model.safetensors vocab.txt tokenizer_config.json
echo "damage: $done files, $refused refused, $noted noted, $same the same answers, $silent silent changes of numbers, $text of text, $crashed crashes"
[ $((silent + crashed)) -eq 0 ]
