#!/usr/bin/env bats
# train-generator and generate: a library of adapters, a generator, adapters from descriptions.
# shellcheck disable=SC2154 # bats sets output and stderr, tiny.bash the paths

load helpers
load tiny

# Three tasks, each with an adapter and two descriptions.
setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    tiny_model tiny
    for task in 1 2 3; do
        awk -v t=$task 'BEGIN { print "text,label"; for (i = 0; i < 24; i++) print "w" (20 + (i * t) % 9) " w" (40 + i % 5) "," ((i * t) % 9 > 4 ? "w7" : "w8") }' > "task$task.csv"
        echo "- {name: task$task, descriptions: [w2$task w50, w3$task w51 w7], files: {train: task$task.csv, dev: task$task.csv}}"
    done > tasks.yaml
    "$PEFT" train-library --model tiny --task tasks.yaml --head answer-words --rank 2 --steps 6 --jobs 2 --output library --quiet
    "$PEFT" train-generator t2l --library library --encoder tiny --latent-size 16 --head-size 24 --canonical --steps 40 \
        --batch-size 6 --checkpoint-every 10 --output generator --quiet
}

setup() {
    ln -s "$BATS_FILE_TMPDIR"/{tiny,library,generator,tasks.yaml,task1.csv,task2.csv,task3.csv} "$BATS_TEST_TMPDIR"
    cd "$BATS_TEST_TMPDIR" || return
}

@test "a library has an adapter and the descriptions of each task" {
    jq -e '[.tasks[].name] == ["task1", "task2", "task3"] and .tasks[1].adapter == "task2" and (.tasks[2].descriptions | length) == 2' library/library.json
    works inspect library/task3
    works train-library --model tiny --task tasks.yaml --head answer-words --rank 2 --steps 3 --output more --json
    holds '[.[].state] == ["done", "done", "done"] and (.[0].metrics | length) > 0'
    cp more/task1/adapter_model.safetensors before
    rm -r more/task2
    works train-library --model tiny --task tasks.yaml --head answer-words --rank 2 --steps 3 --output more --resume
    cmp before more/task1/adapter_model.safetensors
    [ -s more/task2/adapter_model.safetensors ]
    peft train-library --model tiny --task tasks.yaml --output more
    fails 2 "more"
    echo '{name: bare, files: {train: task1.csv, dev: task1.csv}}' > bare.yaml
    peft train-library --model tiny --task bare.yaml --output other
    fails 2 "task bare has no descriptions"
    [ ! -e other ]
}

@test "heads of their own are left out, and answers take their place" {
    "$PEFT" train-library --model tiny --task tasks.yaml --rank 2 --steps 2 --output headed --quiet
    works train-generator t2l --library headed --encoder tiny --latent-size 16 --head-size 24 --steps 2 --output g
    [[ "$stderr" == *"have heads of their own, which are left out"* ]]
    works generate --generator g --text w30 --output a
    works predict --model tiny --adapter a --answers w7,w8 --text w21
}

@test "a generator learns a library, and its folder says what it is" {
    jq -e '.tasks == 3 and .descriptions == 6 and .steps == 40 and .mean_cosine > 0.5' generator/run.json
    jq -e '.kind == "t2l" and .kinds == ["query", "value"] and .encoder == "tiny" and (.tasks | length) == 3' generator/generator.json
    [ "$(wc -l < generator/log.jsonl)" -eq 40 ]
    jq -se '.[39].loss < .[0].loss' generator/log.jsonl
    works inspect generator/adapter
}

@test "what it makes is an ordinary adapter" {
    works generate --generator generator --text "w21 w50" --output out --json
    holds '.[0] | .nearest == "task1" and .cosine > 0.99 and .adapter == "out" and .description == "w21 w50"'
    [ "$(cat out/task_desc.txt)" = "w21 w50" ]
    works inspect out
    works predict --model tiny --adapter out --text "w21 w41"
    works eval --model tiny --adapter out --dev task1.csv
    works merge --model tiny --adapter out --output merged --verify
    works convert --adapter out --output plain
    jq -e '.r == 2 and .peft_type == "LORA"' out/adapter_config.json
}

@test "the same bits for any number of threads, and a text is its vector" {
    works generate --generator generator --text "w21 w50 w9" --output one --threads 1
    works generate --generator generator --text " w21 w50 w9 " --output two --threads 3
    cmp one/adapter_model.safetensors two/adapter_model.safetensors
    works embed --model tiny --text "w21 w50 w9" --json
    jq '{embeddings: [.embeddings[] | map(. * (32 | sqrt))]}' <<< "$output" > vectors.json
    works generate --generator generator --vectors vectors.json --output three --json
    holds '.[0] | has("description") | not'
    works predict --model tiny --adapter one --text w21 --json
    expected=$(jq -c '[.[0].probabilities[] * 1000 | round]' <<< "$output")
    works predict --model tiny --adapter three --text w21 --json
    holds "[.[0].probabilities[] * 1000 | round] == $expected"
}

@test "a file of descriptions gives a folder of adapters" {
    for i in $(seq 1 20); do echo "w$((20 + i)) w50"; done > many.txt
    works generate --generator generator --input many.txt --output many --json
    holds 'length == 20 and .[4].adapter == "many/5"'
    [ "$(find many -name adapter_model.safetensors | wc -l)" -eq 20 ]
    works generate --generator generator --text "w25 w50" --output alone
    works predict --model tiny --adapter alone --text w21 --json
    expected=$(jq -c '[.[0].probabilities[] * 100000 | round]' <<< "$output")
    works predict --model tiny --adapter many/5 --text w21 --json
    holds "[.[0].probabilities[] * 100000 | round] == $expected"
}

@test "descriptions are blended with weights" {
    printf 'w21 w50\nw23 w50\n' > two.txt
    works generate --generator generator --input two.txt --blend 1,0 --output first --json
    holds 'length == 1 and .[0].nearest == "task1"'
    works generate --generator generator --text "w21 w50" --output alone
    cmp first/adapter_model.safetensors alone/adapter_model.safetensors
    works generate --generator generator --input two.txt --blend 0.5,0.5 --output both
    run ! cmp -s both/adapter_model.safetensors alone/adapter_model.safetensors
}

@test "the base is not opened" {
    works generate --generator generator --vectors <(:) --output out || true
    cp -r generator/. copy
    mv copy/generator.json g.json && jq '.encoder = "nowhere"' g.json > copy/generator.json
    jq -n '{embeddings: [[range(32)]]}' > v.json
    works generate --generator copy --vectors v.json --output out --force
}

@test "a run that was stopped goes on to the same bits" {
    settings=(--library library --encoder tiny --latent-size 16 --head-size 24 --canonical --steps 600 --checkpoint-every 100)
    works train-generator t2l "${settings[@]}" --output whole
    timeout -s INT 0.9 "$PEFT" train-generator t2l "${settings[@]}" --output part || true
    works train-generator t2l "${settings[@]}" --resume --threads 3 --output part
    cmp whole/generator.safetensors part/generator.safetensors
    cmp whole/run.json part/run.json
    works train-generator t2l "${settings[@]}" --resume --output part
    cmp whole/run.json part/run.json
    peft train-generator t2l "${settings[@]}" --head M --resume --output part
    fails 2 "network: head was \"L\" and is \"M\" now"
}

@test "every head, z-scores and products" {
    for flags in "--head M" "--head S --rank-code rotary" "--head LR" "--start random --emits z-score" "--loss product" \
        "--loss product-squared --start random --emits product" "--task-encoder vq" "--bias place --normalise"; do
        # shellcheck disable=SC2086 # several words
        works train-generator t2l --library library --encoder tiny --latent-size 16 --head-size 24 --steps 3 --output g --force $flags
        works generate --generator g --text w30 --output a --force
        works predict --model tiny --adapter a --text w30
    done
}

@test "end to end: the loss falls, resuming gives the same bits, another base is refused" {
    settings=(--from generator --model tiny --task tasks.yaml --encoder tiny --steps 300 --batch-size 8 --checkpoint-every 20 --learning-rate 3e-3)
    works train-generator t2l "${settings[@]}" --output whole --json
    holds '.tasks == 3 and .descriptions == 6 and .examples == 72 and .steps == 300'
    jq -se '([.[:30][].loss] | add) > ([.[-30:][].loss] | add)' whole/log.jsonl
    timeout -s INT 0.8 "$PEFT" train-generator t2l "${settings[@]}" --output part || true
    works train-generator t2l "${settings[@]}" --resume --threads 3 --output part
    cmp whole/generator.safetensors part/generator.safetensors
    works generate --generator whole --text "w21 w50" --output made --json
    holds '.[0].nearest == "task1"'
    works predict --model tiny --adapter made --text "w21 w41"
    peft train-generator t2l --from generator --encoder tiny --output g
    fails 2 "end to end takes --model DIR and --task FILE, too"
    peft train-generator t2l --library library --from generator --encoder tiny --output g
    fails 2 "expected either --library DIR or --from DIR, found both"
}

@test "the plan says what memory it takes" {
    works train-generator t2l --library library --encoder tiny --dry-run --json
    holds '.parameters > 100000 and .total_bytes > .batch_bytes and .batch_bytes > 0'
}

@test "what does not go together is one line" {
    peft train-generator t2l --library library --output g
    fails 2 "expected either --encoder DIR or --vectors FILE, found neither"
    peft train-generator t2l --library library --encoder tiny --emits z-score --start random --loss product --output g
    fails 2 "loss product: z-scores have no product"
    peft train-generator t2l --library library --encoder tiny --start hyperinit --bias none --output g
    fails 2 "start hyperinit: lies in the heads' bias"
    peft train-generator oral --library library --encoder tiny --output g
    fails 2 "oral"
    peft train-generator t2l --library tiny --encoder tiny --output g
    fails 3 "tiny/library.json"
    [ ! -e g ]
    peft generate --generator tiny --text w1 --output out
    fails 3 "has no generator.json; is it the folder of a generator?"
    peft generate --generator generator --text "  " --output out
    fails 2 "description on line 1: is empty"
    peft generate --generator generator --output out
    fails 2 "expected --text S, --input FILE or --vectors FILE, found none"
    jq -n '{embeddings: [[1, 2, 3]]}' > short.json
    peft generate --generator generator --vectors short.json --output out
    fails 2 "reads vectors of 32 numbers, found 3; is it the encoder that it was trained with, tiny?"
    jq -n '{embeddings: [[1, 2], [1]]}' > ragged.json
    peft generate --generator generator --vectors ragged.json --output out
    fails 3 "embeddings[1]: expected 2 numbers, as in the first row"
    peft generate --generator generator --text w1 --blend 1,2 --output out
    fails 2 "--blend: expected a list of 1 weights"
    [ ! -e out ]
}

@test "a description of 100,000 characters is cut, and said so" {
    printf 'w21 %.0s' $(seq 1 25000) > long.txt
    works generate --generator generator --input long.txt --output out
    [[ "$stderr" == *"were cut"* ]]
}

@test "adapters of a library that differ are named" {
    mkdir other
    "$PEFT" train --model tiny --train task1.csv --dev task1.csv --rank 3 --steps 1 --quiet --output other/a
    cp -r library/task1 other/b
    jq -n '{tasks: [{name: "a", description: "w1", adapter: "a"}, {name: "b", description: "w2", adapter: "b"}]}' > other/library.json
    peft train-generator t2l --library other --encoder tiny --output g
    fails 3 "other/b"
    echo '{"tasks": [{"name": "a", "adapter": "a"}]}' > other/library.json
    peft train-generator t2l --library other --encoder tiny --output g
    fails 3 "tasks[0]: expected name, adapter and descriptions"
}
