#!/usr/bin/env bats
# inspect: adapters, models, runs.
# shellcheck disable=SC2154 # bats sets output and stderr, tiny.bash the paths

load helpers
load tiny

setup() {
    cd "$BATS_TEST_TMPDIR" || return
}

@test "an adapter: modules, sizes, norms, what is saved in full" {
    works inspect "$lora" --json
    [ -z "$stderr" ]
    holds '(.adapter | [.variant, .task_type, .base_model, .parameters]) == ["lora","SEQ_CLS","..",1123]'
    holds '(.adapter.modules[0] | [.rank, .alpha, .scaling, .in_features, .out_features, .parameters]) == [4,8.0,2.0,32,32,256]'
    holds '([.adapter.saved_in_full[].shape]) == [[3],[3,32]]'
    [ "$(jq .adapter.bytes <<< "$output")" -eq "$(stat -c %s "$lora/adapter_model.safetensors")" ]
    # |B A| <= |B| |A|, and the scaling is in the update's norm
    holds '[.adapter.modules[] | .norm_update > 0 and .norm_update <= 2 * .norm_A * .norm_B] | all'
    works inspect "$lora"
    [[ "$output" == *"4 modules, 1123 parameters"* ]]
}

@test "an adapter whose files do not say the sizes of its layers: those of its base" {
    tiny_model tiny
    for variant in vera lokr ia3; do
        works train --model tiny --task rte --data "$fixtures/glue" --output $variant --variant $variant --steps 2 --quiet
        works inspect $variant --json
        holds '.adapter | (.modules | length > 0) and .tensors == [] and .notes == [] and ([.modules[].in_features | . > 0] | all)'
        peft inspect $variant --model tiny --json
        works inspect $variant --model tiny
        [[ "$output" == *"bert.encoder.layer.0.attention.self."*" 32 "* ]]
    done
    # the base is not where it was: what the tensors alone say, until it is named
    mv tiny elsewhere
    works inspect vera --json
    holds '.adapter | .modules == [] and (.notes | length == 1) and ([.tensors[].name | test("vera_lambda_b$")] | any)'
    works inspect vera
    [[ "$output" == *" tensors, "*"note: vera: the shapes of a vera adapter"*"--model"*"vera_lambda_b "* ]]
    works inspect vera --model elsewhere --json
    holds '.adapter | (.modules | length > 0) and .notes == []'
    peft inspect vera --model nowhere
    fails 3 "nowhere"
    peft inspect elsewhere --model elsewhere
    fails 2 "--model: elsewhere holds no adapter"
}

@test "an adapter with ranks of its own for some modules, and layers in the order of numbers" {
    works inspect "$fixtures/goldens/variants/rank-pattern/adapter" --json
    holds '([.adapter.modules[].rank] | unique | length) > 1'
    holds '[.adapter.modules[] | (.tensors[0].shape[0] == .rank)] | all'
}

@test "a start without training moves nothing" {
    works inspect "$fixtures/goldens/train/lora-start" --json
    holds '[.adapter.modules[] | .norm_B == 0 and .norm_update == 0] | all'
}

@test "a model: sizes and linear modules" {
    tiny_model tiny
    works inspect tiny --json
    holds '(.model | [.type, .layers, .hidden_size, .vocab_size, .max_length, .num_labels, .trained_head]) == ["bert",2,32,120,64,3,true]'
    holds '(.model.linear_modules | length) == 14'
    holds '.adapter == null'
    works inspect tiny
    [[ "$output" == *"bert.encoder.layer.*.attention.self.query "*" 2 "* ]]
}

@test "a run: its summary, the loss, the adapter; also one that is not finished" {
    tiny_model tiny
    works train --model tiny --task rte --data "$fixtures/glue" --output run --rank 2 --steps 4 --eval-every 2 --quiet
    works inspect run --json
    holds '([.run.summary.task, .run.log.last_step, (.run.log.loss_curve | length)]) == ["rte",4,4]'
    holds '([.run.log.evaluations[].step]) == [2,4]'
    holds '.adapter.variant == "lora"'
    works inspect run
    [[ "${lines[0]}" == "run: rte, lora, seed 0: accuracy "* ]]
    [[ "$output" == *"loss "*"█"*" -> "* ]]

    mkdir killed
    head -c -5 run/log.jsonl > killed/log.jsonl
    works inspect killed
    [[ "${lines[0]}" == "run: not finished; 4 steps done" ]]
}

@test "what is no such folder, or damaged: code 3, the file" {
    peft inspect
    fails 2 "PATH"
    peft inspect nowhere
    fails 3 "nowhere: expected the folder of an adapter"
    cp -r "$lora" damaged
    chmod -R u+w damaged
    head -c 500 "$lora/adapter_model.safetensors" > damaged/adapter_model.safetensors
    peft inspect damaged
    fails 3 "damaged/adapter_model.safetensors"
    cp "$lora/adapter_model.safetensors" damaged/
    jq '.r = 5' "$lora/adapter_config.json" > damaged/adapter_config.json
    peft inspect damaged
    fails 3 "expected [5, 32], found [4, 32]"
    mkdir log
    echo '{"step": }' > log/log.jsonl
    peft inspect log
    fails 3 "log/log.jsonl:1"
}

# A run whose gates, experts and ranks are recorded.
trains() {
    tiny_model tiny
    works train --model tiny --data "$fixtures/glue" --task sst2 --steps 6 --batch-size 4 --seed 1 --quiet "$@" --output run
}

@test "what AdaLoRA decided: singular values of every module over the steps, those switched off counted" {
    trains --variant adalora --rank 4 --target-rank 2 --tinit 1 --tfinal 2 --delta-t 1
    works inspect run --json
    holds '[.decisions.quantities[].name] | sort == ["lora_E", "orthogonality"]'
    holds '.decisions.quantities[] | select(.name == "lora_E") | .measure == "kept" and .steps == [1,2,3,4,5,6]'
    # the budget of the end: target-rank singular values for each of the modules
    holds '.decisions.quantities[] | select(.name == "lora_E") | .modules | ([.[].kept[-1]] | add) == 2 * length'
    holds '.decisions.quantities[] | select(.name == "lora_E") | .modules | all(.kept[-1] == ([.values[] | select(. != 0)] | length))'
    works inspect run
    [[ "$output" == *"lora_E, at the end: how many of them are not zero, of 4"*"layer 1"* ]]
}

@test "what a router decided: load and entropy, and all of it as a picture" {
    trains --variant molora --num-experts 3
    works inspect run --json --svg run.svg
    holds '[.decisions.quantities[].name] | sort == ["load", "router_entropy"]'
    holds '.decisions.quantities[] | select(.name == "load") | .modules | all([.values[]] | add | . > 0.999 and . < 1.001)'
    holds '.decisions.quantities[] | select(.name == "router_entropy") | .modules | all(.values[0] > 0 and .values[0] <= 1.0987)'
    head -c 4 run.svg | grep -q "<svg"
    [ "$(tail -c 7 run.svg)" = "</svg>" ]
    grep -q "load, over the steps" run.svg
    grep -q "router_entropy, at the end" run.svg
}

@test "LoRA decides nothing: no file, and the picture has the updates alone" {
    trains --variant lora
    [ ! -e run/observations.jsonl ]
    works inspect run --svg run.svg
    grep -q "norm of the update" run.svg
    [ "$(grep -c "over the steps" run.svg)" -eq 0 ]
    tiny_model other
    peft inspect other --svg none.svg
    fails 2 "there is nothing to draw"
    [ ! -e none.svg ]
}
