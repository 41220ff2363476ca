#!/usr/bin/env bats
# The programs of examples/ do what they say, and what the docs quote of them stands in them.
# shellcheck disable=SC2154 # bats sets status, output and stderr; meson the paths of the programs

load helpers
load tiny

setup() {
    cd "$BATS_TEST_TMPDIR" || return
}

@test "one linear layer: the loss falls to nothing, merging keeps it, the adapter is saved" {
    run --separate-stderr "$EXAMPLE_LINEAR" adapter
    [ "$status" -eq 0 ]
    [[ "$output" == *"merged     loss 0.00"* ]]
    jq -e '.peft_type == "LORA" and .r == 2' adapter/adapter_config.json
    works inspect adapter
}

@test "an encoder on own tables: metrics, adapter and run folder" {
    tiny_model model
    awk 'BEGIN { print "text,label"; for (i = 0; i < 40; i++) print "w" (i % 2 ? 7 : 8) " w" (9 + i % 5) "," (i % 2 ? "yes" : "no") }' > train.csv
    cp train.csv dev.csv
    run --separate-stderr "$EXAMPLE_TRAIN" model train.csv dev.csv out
    [ "$status" -eq 0 ] || { echo "$stderr"; return 1; }
    [[ "$output" == *'"accuracy":'* ]]
    [ -s out/run.json ]
    run --separate-stderr "$EXAMPLE_TRAIN" nowhere train.csv dev.csv out
    [ "$status" -eq 1 ]
    [[ "$stderr" == *nowhere/config.json* ]]
}

@test "a generator of adapters: the loss falls, and an unseen description gets its adapter" {
    run --separate-stderr "$EXAMPLE_GENERATE" adapter
    [ "$status" -eq 0 ] || { echo "$output $stderr"; return 1; }
    [[ "$output" == "layer.lora_A.weight  24 numbers"* ]]
    works inspect adapter
}

@test "Text-to-LoRA: a library, a generator, the adapter of an unseen description" {
    run --separate-stderr "$EXAMPLE_TEXT_TO_LORA" out
    [ "$status" -eq 0 ] || { echo "$output $stderr"; return 1; }
    [[ "$output" == *"unseen     error 0.0"* ]]
    works inspect out/adapter
    jq -n '{embeddings: [[0.5, -0.6, 1]]}' > d.json
    works generate --generator out/generator --vectors d.json --output again
    cmp out/adapter/adapter_model.safetensors again/adapter_model.safetensors
}

# Lines of C that the docs show stand in an example or a variant, whatever their indentation.
@test "docs quote code as it is" {
    root=$BATS_TEST_DIRNAME/../..
    for page in "$root"/README.md "$root"/docs/*.md; do
        [ -e "$page" ] || continue
        awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on { sub(/^ +/, ""); if ($0 != "") print }' "$page" |
            while IFS= read -r line; do
                sed 's/^ *//' "$root"/examples/*.c "$root"/variants/*.c | grep -qxF -- "$line" || { echo "$page quotes: $line"; return 1; }
            done
    done
}
