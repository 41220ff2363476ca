# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # bats sets status, output, stderr; tests use the paths
# A random BERT of 32 features with 120 word pieces, and a LoRA of it whose outputs are known.
fixtures=$BATS_TEST_DIRNAME/../fixtures
lora=$fixtures/goldens/models/bert/adapter

# tiny_model DIR: the model's folder, whose vocabulary is w0 to w119 ([CLS] and [SEP] stand where the known sequence
# has them).
tiny_model() {
    mkdir -p "$1"
    cp "$fixtures"/goldens/models/bert/{config.json,model.safetensors} "$fixtures"/tiny-bert/* "$1"
    chmod -R u+w "$1"
}

# works WORD...: runs the program, which has to succeed.
works() {
    peft "$@"
    [ "$status" -eq 0 ] || { echo "exit code $status, stderr: $stderr"; return 1; }
}

# holds FILTER: what --json printed has this property (jq).
holds() {
    jq -e "$1" <<< "$output" > /dev/null || { echo "$output"; return 1; }
}
