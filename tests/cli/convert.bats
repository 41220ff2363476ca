#!/usr/bin/env bats
# convert: adapters of other methods as plain LoRAs.
# shellcheck disable=SC2154 # bats sets output and stderr, tiny.bash the paths

load helpers
load tiny

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    tiny_model model
}

goldens=$BATS_TEST_DIRNAME/../fixtures/goldens/variants

@test "an adapter becomes a LoRA that answers alike, with its head and its classes" {
    works train --model model --task rte --data "$fixtures/glue" --output run --variant adalora --steps 3 --quiet
    works convert --adapter run --to lora --output lora
    [[ "$output" == "lora: lora on "*" modules, rank "* ]]
    [ -z "$stderr" ]
    jq -e '.peft_type == "LORA" and .task_type == "SEQ_CLS"' lora/adapter_config.json
    works predict --model model --adapter run --text "w69 w25 w8"
    expected=$output
    works predict --model model --adapter lora --text "w69 w25 w8"
    [ "$output" = "$expected" ]
    [[ "$output" == "label"$'\t'"entailment"* ]]
}

@test "--json says what was written" {
    works convert --adapter "$goldens/rank-pattern/adapter" --output lora --json
    holds '[.[0] | .folder, .modules, .smallest_rank, .largest_rank, .left_out] == ["lora", 9, 2, 6, []]'
}

@test "a mixture's experts become a folder each, the mixture itself is refused" {
    works train --model model --task rte --data "$fixtures/glue" --output run --variant molora --num-experts 3 --steps 2 --quiet
    peft convert --adapter run --output lora
    fails 1 "depends on the input: y = W x"
    [[ "$stderr" == *"--to experts"* ]]
    [ ! -e lora ]
    works convert --adapter run --to experts --output experts
    [ "${#lines[@]}" -eq 3 ]
    for expert in experts/expert-{0,1,2}; do works predict --model model --adapter "$expert" --text w5; done
}

@test "what is no LoRA is refused with a way out" {
    peft convert --adapter "$goldens/dora/adapter" --output lora
    fails 1 "peft merge"
    peft convert --adapter "$goldens/vera/adapter" --output lora
    fails 1 "give its base model"
    works convert --adapter "$goldens/vera/adapter" --output lora --model model
    peft convert --adapter model --output other
    fails 1 "a whole model, no adapter"
}

@test "the base that the adapter names is used where its own files do not do, and no other" {
    works train --model model --task rte --data "$fixtures/glue" --output run --variant lokr --learning-rate 0.1 --steps 9 --quiet
    works convert --adapter run --output lora
    works convert --adapter run --output again --model model
    cmp lora/adapter_model.safetensors again/adapter_model.safetensors
    works merge --model model --adapter run --output merged
    peft convert --adapter run --output wrong --model merged
    fails 2 "was trained on another base than merged"
    works convert --adapter run --output wrong --model merged --other-base
}

@test "nothing is written over unasked, and never what is read" {
    works convert --adapter "$lora" --output out
    peft convert --adapter "$lora" --output out
    fails 2 "out: exists and is not empty; give --force"
    works convert --adapter "$lora" --output out --force
    peft convert --adapter out --output ./out --force
    fails 2 "this folder is read from"
    peft convert --adapter out --output other --to gguff
    fails 2 "expected one of lora, experts"
    peft convert --adapter out
    fails 2 "--output"
}
