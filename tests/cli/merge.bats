#!/usr/bin/env bats
# merge: a model and its adapter as one model.
# shellcheck disable=SC2154 # bats sets output and stderr, tiny.bash the paths

load helpers
load tiny

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    tiny_model model
}

goldens=$BATS_TEST_DIRNAME/../fixtures/goldens/variants

@test "a merged model answers as model and adapter do, for every method that can be merged" {
    for variant in lora-all rslora adalora dora dora-rslora ia3 loha lokr vera; do
        works merge --model model --adapter "$goldens/$variant/adapter" --output "$variant" --verify --json
        holds '.dtype == "F32" and .verified.holds and .verified.difference <= 1e-4 * .verified.largest'
    done
    works predict --model model --adapter "$goldens/ia3/adapter" --text "w69 w25 w8"
    expected=$output
    works predict --model ia3 --text "w69 w25 w8"
    [ "$output" = "$expected" ]
}

@test "head, classes and tokenizer come along: eval needs no adapter" {
    works train --model model --task rte --data "$fixtures/glue" --output run --rank 2 --steps 3 --quiet
    works merge --model model --adapter run --output merged --verify
    [ "${lines[0]}" = "model: merged (F32)" ]
    [[ "${lines[1]}" == "verified: logits of 64 random sequences differ by "* ]]
    jq -e '.id2label == {"0": "entailment", "1": "not_entailment"}' merged/config.json
    works eval --model model --adapter run --task rte --data "$fixtures/glue" --json
    expected=$(jq .metrics <<< "$output")
    works eval --model merged --task rte --data "$fixtures/glue" --json
    [ "$(jq .metrics <<< "$output")" = "$expected" ]
    works inspect merged
}

@test "what is refused says that alone, not what would have been noted" {
    cp -r "$lora" adapter && chmod -R u+w adapter
    jq '.target_modules += ["q_proj"]' adapter/adapter_config.json > config.json && cp config.json adapter/adapter_config.json
    works merge --model model --adapter adapter --output merged
    [[ "$stderr" == *'"q_proj" matches no linear layer' ]]
    jq '.r = 5' config.json > adapter/adapter_config.json
    for verb in "merge --output again" "predict --text w1"; do
        # shellcheck disable=SC2086 # a verb and its settings
        peft $verb --model model --adapter adapter
        fails 3 "adapter_model.safetensors: "
    done
}

@test "a merged model carries a checksum, and is refused where it is damaged" {
    works merge --model model --adapter "$lora" --output merged
    works predict --model merged --text "w69 w25 w8"
    printf '\x55' | dd of=merged/model.safetensors bs=1 seek=20000 conv=notrunc status=none
    peft predict --model merged --text "w69 w25 w8"
    fails 3 "merged/model.safetensors: damaged: expected the checksum"
    peft merge --model merged --adapter "$lora" --output again
    fails 3 "merged/model.safetensors: damaged"
}

@test "the modules of a sentence encoder come along: embed gives the same vectors" {
    mkdir model/1_Pooling
    echo '{"pooling_mode_cls_token": true}' > model/1_Pooling/config.json
    module() { printf '{"path": "%s", "type": "sentence_transformers.models.%s"}' "$1" "$2"; }
    echo "[$(module "" Transformer), $(module 1_Pooling Pooling)]" > model/modules.json
    works merge --model model --adapter "$goldens/ia3/adapter" --output merged
    cmp model/1_Pooling/config.json merged/1_Pooling/config.json
    works embed --model model --text "w69 w25 w8" --json
    base=$(jq -c '[.embeddings[0][] | . * 1000 | round]' <<< "$output")
    works embed --model model --adapter "$goldens/ia3/adapter" --text "w69 w25 w8" --json
    expected=$(jq -c '[.embeddings[0][] | . * 1000 | round]' <<< "$output")
    [ "$expected" != "$base" ]
    works embed --model merged --text "w69 w25 w8" --json
    [ "$(jq -c '[.embeddings[0][] | . * 1000 | round]' <<< "$output")" = "$expected" ]
    echo "[$(module "" Transformer), $(module ../1_Pooling Pooling)]" > model/modules.json
    peft merge --model model --adapter "$goldens/ia3/adapter" --output elsewhere
    fails 1 "path ../1_Pooling: expected a folder of its own"
}

@test "transformers' class is kept where the base has the head, and named where the adapter brings it" {
    jq '.architectures = ["MyOwnClassifier"]' model/config.json > own.json && cp own.json model/config.json
    works merge --model model --adapter "$lora" --output merged
    jq -e '.architectures == ["MyOwnClassifier"]' merged/config.json
    LC_ALL=C sed -i 's/"classifier\./"classifie_./g' model/model.safetensors
    works merge --model model --adapter "$lora" --output headed
    jq -e '.architectures == ["BertForSequenceClassification"]' headed/config.json
}

@test "a check that does not hold is exit code 1: small updates do not survive few bits" {
    run --separate-stderr "$PEFT" merge --model model --adapter "$goldens/dora/adapter" --output half --dtype bf16 --verify
    [ "$status" -eq 1 ]
    [[ "$output" == *"not verified: "* ]]
    [[ "$stderr" == *"above 0.0001 of the largest logit"*"--dtype f32"* ]]
    works merge --model model --adapter "$goldens/dora/adapter" --output half --dtype bf16 --verify --tolerance 0.1 --force
    # The type of the base model's file is kept unless another is asked for.
    works merge --model half --adapter "$goldens/rslora/adapter" --output more --json --verify
    holds '.dtype == "BF16"'
    jq -e '.torch_dtype == "bfloat16"' more/config.json
    works merge --model half --adapter "$goldens/rslora/adapter" --output wide --dtype f32 --verify
}

@test "what cannot be merged is refused, and nothing is written" {
    works train --model model --task rte --data "$fixtures/glue" --output run --variant molora --steps 2 --quiet
    peft merge --model model --adapter run --output merged
    fails 1 "molora cannot be folded into a weight"
    [ ! -e merged ]
    peft merge --model model --adapter nowhere --output merged
    fails 3 "nowhere"
    peft merge --model model --adapter "$lora" --output model --force
    fails 2 "this folder is read from"
    peft merge --model model --adapter "$lora" --output run
    fails 2 "give --force"
    peft merge --model model --output merged
    fails 2 "--adapter"
}

@test "the base is the one that the adapter was trained on: not a merged one, but any copy" {
    works train --model model --task rte --data "$fixtures/glue" --output run --rank 4 --steps 8 --learning-rate 1e-2 --quiet
    works merge --model model --adapter run --output merged
    peft merge --model merged --adapter run --output twice
    fails 2 "run: was trained on another base than merged: 4 of 4 weights differ, bert."
    [[ "$stderr" == *"has the adapter been merged into it? "*"--other-base to go on" ]]
    [ ! -e twice ]
    works predict --model merged --adapter run --text "w1 w2" --other-base
    [[ "$stderr" == *"was trained on another base"* ]]
    # An adapter that changes nothing: what is written is the base in 16 bits.
    works train --model model --task rte --data "$fixtures/glue" --output still --steps 1 --learning-rate 1e-30 --quiet
    works merge --model model --adapter still --output bf16 --dtype bf16
    works predict --model bf16 --adapter run --text "w1 w2"
    [ -z "$stderr" ]
    # What convert writes knows the base, too.
    works convert --adapter run --output converted
    peft merge --model merged --adapter converted --output twice
    fails 2 "was trained on another base"
}

@test "a run of an early version knows the bytes of its base alone: a note" {
    works train --model model --task rte --data "$fixtures/glue" --output run --steps 2 --quiet
    cp "$lora"/adapter_* run
    jq '.fingerprints.model = "0" | del(.adapter_config) | .label_names = ["a", "b", "c"]' run/run.json > new
    cp new run/run.json
    works predict --model model --adapter run --text "w1 w2"
    [[ "$stderr" == *"was trained on other files than those of model"* ]]
}

@test "what has changed since the run: damage is an error, edited settings are named" {
    works train --model model --task rte --data "$fixtures/glue" --output run --steps 2 --quiet
    jq '.lora_alpha = 32 | .shiny = null | del(.loftq_config)' run/adapter_config.json > new
    cp new run/adapter_config.json
    works predict --model model --adapter run --text "w1 w2"
    [[ "$stderr" == *"run/adapter_config.json: is not as its run wrote it: "*lora_alpha*shiny* ]]
    printf 'x' | dd of=run/adapter_model.safetensors bs=1 seek=$(($(stat -c %s run/adapter_model.safetensors) - 9)) conv=notrunc status=none
    peft predict --model model --adapter run --text "w1 w2"
    fails 3 "run/adapter_model.safetensors: damaged: expected the checksum"
}

@test "sub-folders and pickles are named" {
    mkdir -p many/first many/second pickle
    cp "$lora"/adapter_* many/first
    cp "$lora"/adapter_* many/second
    peft predict --model model --adapter many --text "w1"
    [ "$status" -eq 3 ]
    peft inspect many
    fails 3 "many: holds no adapter itself, but sub-folders that are adapters: first, second"
    cp "$lora/adapter_config.json" pickle
    touch pickle/adapter_model.bin
    peft predict --model model --text w1 --adapter pickle
    fails 1 "pickle: has adapter_model.bin alone"
}
