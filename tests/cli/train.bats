#!/usr/bin/env bats
# train and plan: the same bits for any number of threads and after a kill, and one clear line for every bad input.
# shellcheck disable=SC2154 # bats sets status, output and stderr; tiny.bash the paths

load helpers
load tiny

setup_file() {
    tiny_model "$BATS_FILE_TMPDIR/model"
    mkdir -p "$BATS_FILE_TMPDIR/data/SST-2"
    rows 64 > "$BATS_FILE_TMPDIR/data/SST-2/train.tsv"
    rows 16 > "$BATS_FILE_TMPDIR/data/SST-2/dev.tsv"
}

# rows N: a table of N examples whose first word tells the label
rows() {
    awk -v n="$1" 'BEGIN {
        print "sentence\tlabel"
        for (i = 0; i < n; i++)
            print "w" (i % 2 ? 7 : 8) " w" (9 + i % 7) (i % 3 ? " w" (20 + i % 11) : "") "\t" i % 2
    }'
}

setup() {
    model=$BATS_FILE_TMPDIR/model
    data=$BATS_FILE_TMPDIR/data
    common=(--model "$model" --task sst2 --data "$data" --batch-size 8 --rank 2 --target-modules all-linear)
    any_variant=(--model "$model" --task sst2 --data "$data" --batch-size 8 --target-modules all-linear)
    mkdir "$BATS_TEST_TMPDIR/here" && cd "$BATS_TEST_TMPDIR/here" || return
}

trains() {
    works train "${common[@]}" "$@"
}

same_files() {
    cmp "$1/adapter_model.safetensors" "$2/adapter_model.safetensors"
    cmp "$1/adapter_config.json" "$2/adapter_config.json"
    cmp "$1/predictions.safetensors" "$2/predictions.safetensors"
}

# header FILE: that of a file of tensors, as JSON
header() {
    head -c $((8 + $(od -An -t u8 -N 8 "$1"))) "$1" | tail -c +9
}

# ---- what comes out ----

@test "a run folder: adapter, run.json with its stable keys, a line a step" {
    trains --output run --epochs 2 --json
    holds '[.task, .variant, .seed, .steps, .best_step] == ["sst2", "lora", 0, 16, 16]'
    holds '[.model, .options, .trainable_parameters, .adapter_bytes, .peak_memory_bytes, .train_seconds,
        .tokens_per_second, .metrics.accuracy, .versions.libpeft, .cpu.model, .fingerprints.train] | all(. != null)'
    jq -e . run/run.json
    [ "$(jq -s '[.[] | select(.loss)] | length' run/log.jsonl)" -eq 16 ]
    [ "$(jq -s '[.[] | select(.split == "dev")] | length' run/log.jsonl)" -eq 2 ]
    # 6 % of 16 steps are no warm-up; then down along a line that ends at 0
    [ "$(jq -s '[.[] | select(.loss) | .learning_rate] | .[0] == 0.001 and .[8] == 0.0005' run/log.jsonl)" = true ]
}

@test "predictions on dev are kept: of the adapter that is, and of the data that were" {
    trains --steps 12 --eval-every 4 --keep best --hold-out 16 --learning-rate 0.05 --output best
    [ "$(jq -n "$(jq .best_step best/run.json) < 12")" = true ]
    header best/predictions.safetensors > header.json
    jq -e --slurpfile run best/run.json '.logits.shape == [16, 2] and .labels.shape == [16] and .__metadata__.task == "sst2" and
        .__metadata__.split == "dev" and .__metadata__.fingerprint == $run[0].fingerprints.dev' header.json
    # The answers of the adapter that was kept: the share of right ones is the accuracy of the run.
    tail -n +2 "$data/SST-2/dev.tsv" | cut -f 1 > texts.txt
    works predict --model "$model" --adapter best --input texts.txt --json
    gold=$(tail -n +2 "$data/SST-2/dev.tsv" | cut -f 2 | jq -cs 'map(["negative", "positive"][.])')
    right=$(jq --argjson gold "$gold" '[map(.label), $gold] | transpose | map(select(.[0] == .[1])) | length' <<< "$output")
    [ "$(jq -n "$right / 16")" = "$(jq .metrics.accuracy best/run.json)" ]
    # Without anything to evaluate there are none, and none of an older run stay.
    works train --model "$model" --train "$data/SST-2/train.tsv" --text-column sentence --steps 1 --output best --force
    [ ! -e best/predictions.safetensors ]
}

@test "training learns what the data say" {
    trains --output run --epochs 20 --learning-rate 1e-2 --json
    holds '.metrics.accuracy == 1'
}

# adds_up A B: the losses in both logs agree
adds_up() {
    paste <(jq .loss "$1/log.jsonl") <(jq .loss "$2/log.jsonl") |
        awk '$1 != "null" && ($1 - $2) ^ 2 > 1e-12 { print; bad = 1 } END { exit bad }'
}

@test "gradients of two half batches are those of one batch" {
    trains --output whole --steps 3 --weight-decay 0
    trains --output halves --steps 3 --weight-decay 0 --batch-size 4 --gradient-accumulation 2
    adds_up whole halves
}

@test "losses that a variant adds count once in a step, however its batch is cut" {
    works train "${any_variant[@]}" --variant adalora --output whole --steps 3 --weight-decay 0
    works train "${any_variant[@]}" --variant adalora --output halves --steps 3 --weight-decay 0 \
        --batch-size 4 --gradient-accumulation 2
    adds_up whole halves
}

@test "the best step is chosen on held out examples, and both splits are named" {
    trains --output run --epochs 4 --keep best --json
    holds '[.splits.chosen_on, .splits.reported, .splits.held_out_examples, .splits.train_examples] ==
        ["held out of train", "dev", 6, 58]'
    [ "$(jq -s '[.[] | select(.split == "held_out")] | length' run/log.jsonl)" -eq 4 ]
}

@test "--early-stop ends a run that gets no better" {
    trains --output run --epochs 30 --keep best --early-stop 2 --learning-rate 0 --json
    holds '.steps == 24 and .best_step == 8'
}

# ---- without an adapter ----

without_adapter() {
    works train --model "$model" --task sst2 --data "$data" --batch-size 8 --json "$@"
}

@test "full fine-tuning trains all weights and leaves a model that needs no adapter" {
    without_adapter --variant full --output run --epochs 3 --learning-rate 3e-3
    holds '.variant == "full" and .adapter_bytes > 40000'
    accuracy=$(jq .metrics.accuracy <<< "$output")
    [ "$(jq .trainable_parameters <<< "$output")" -gt 10000 ]
    [ ! -e run/adapter_config.json ]
    works eval --model run --task sst2 --data "$data" --json
    holds ".metrics.accuracy == $accuracy"
    names=$(jq -c .id2label run/config.json)
    [ "$names" = '{"0":"negative","1":"positive"}' ]
    cmp "$model/vocab.txt" run/vocab.txt
}

@test "full fine-tuning gives the same model for 1 and 2 threads, and resumed" {
    without_adapter --variant full --output one --steps 6 --threads 1 --checkpoint-every 3
    without_adapter --variant full --output two --steps 6 --threads 2
    cmp one/model.safetensors two/model.safetensors
    peft train --model "$model" --task sst2 --data "$data" --batch-size 8 --variant full --output one --steps 6 --resume
    cmp one/model.safetensors two/model.safetensors
}

@test "a head may be trained with other modules" {
    without_adapter --variant head --output head --steps 1
    holds '.trainable_parameters == 66'
    without_adapter --variant head --modules-to-save pooler --output both --steps 1
    holds '.trainable_parameters == 66 + 33 * 32'
    jq -e '.modules_to_save == ["classifier", "pooler"]' both/adapter_config.json
    works eval --model "$model" --adapter both --task sst2 --data "$data" --json
}

# ---- the same bits ----

@test "1 and 2 threads: the same files; another seed: others" {
    trains --output one --steps 6 --threads 1
    trains --output two --steps 6 --threads 2
    same_files one two
    trains --output other --steps 6 --seed 1
    run ! cmp -s one/adapter_model.safetensors other/adapter_model.safetensors
}

@test "bf16: the same files for 1 and 2 threads, and after a kill" {
    "$PEFT" --version --verbose | grep -q '^dtypes.* bf16' || skip "no bf16 on this CPU or in this build"
    bf16=(--dtype bf16 --steps 30)
    trains --output one "${bf16[@]}" --threads 1 --json
    holds '.cpu.backend == "onednn" and .cpu.dtype == "BF16" and .options.dtype == "bf16"'
    trains --output two "${bf16[@]}" --threads 2
    same_files one two
    "$PEFT" train "${common[@]}" --output cut "${bf16[@]}" --checkpoint-every 1 2> /dev/null 3>&- &
    sleep 0.1
    kill -9 $! 2> /dev/null || true
    wait $! || true
    trains --output cut "${bf16[@]}" --checkpoint-every 1 --resume
    same_files one cut
    trains --output f32 --steps 30
    run ! cmp -s one/adapter_model.safetensors f32/adapter_model.safetensors
}

@test "--resume goes on in the type and with the kernels of the start" {
    trains --output run --steps 4 --backend portable
    peft train "${common[@]}" --output run --steps 4 --backend avx2 --resume
    [ "$status" -eq 2 ]
    "$PEFT" --version --verbose | grep -q '^dtypes.* bf16' || skip "no bf16 on this CPU or in this build"
    trains --output half --steps 4 --dtype bf16
    peft train "${common[@]}" --output half --steps 4 --resume --quiet
    fails 2 'the run was started with other settings, data or model: dtype was "BF16" and is "F32" now'
}

@test "layers computed again in the backward pass: the same files" {
    trains --output stored --steps 4
    trains --output again --steps 4 --checkpoint-layers
    same_files stored again
    # all layers share what is known of a sequence, and a router draws noise
    for variant in "trex" "molora --jitter 0.1 --balance-loss entropy"; do
        # shellcheck disable=SC2086 # a variant and its settings
        works train "${any_variant[@]}" --variant $variant --output stored --steps 4 --force
        # shellcheck disable=SC2086
        works train "${any_variant[@]}" --variant $variant --output again --steps 4 --force --checkpoint-layers
        same_files stored again
    done
}

@test "centroids of the training data: the same for any number of threads and after a kill" {
    kmeans=("${any_variant[@]}" --variant mor1e --centroids kmeans --steps 8)
    works train "${kmeans[@]}" --output one --threads 1
    works train "${kmeans[@]}" --output two --threads 2
    same_files one two
    "$PEFT" train "${kmeans[@]}" --output cut --checkpoint-every 1 2> /dev/null 3>&- &
    sleep 0.1
    kill -9 $! 2> /dev/null || true
    wait $! || true
    works train "${kmeans[@]}" --output cut --checkpoint-every 1 --resume
    same_files one cut
}

@test "starts from the weights and from the data: the same for any number of threads and after a kill" {
    for init in pissa eva corda lora_ga; do
        start=("${common[@]}" --init "$init" --steps 8 --init-batches 3)
        rm -rf one two cut
        works train "${start[@]}" --output one --threads 1
        works train "${start[@]}" --output two --threads 2 --checkpoint-layers
        same_files one two
        "$PEFT" train "${start[@]}" --output cut --checkpoint-every 1 2> /dev/null 3>&- &
        sleep 0.1
        kill -9 $! 2> /dev/null || true
        wait $! || true
        works train "${start[@]}" --output cut --checkpoint-every 1 --resume
        same_files one cut
        works eval --model "$model" --adapter one --task sst2 --data "$data" --json
        holds ".metrics.accuracy == $(jq .metrics.accuracy one/run.json)"
    done
    jq -e '.init_lora_weights == true and .r == 4 and .lora_alpha == 32' one/adapter_config.json # rank 2, and what was subtracted
}

@test "LoRA+: ratio 1 changes no bit, another does; a frozen A is no parameter" {
    trains --output plain --steps 4
    trains --output one --steps 4 --loraplus-lr-ratio 1
    same_files plain one
    trains --output sixteen --steps 4 --loraplus-lr-ratio 16
    run ! cmp -s plain/adapter_model.safetensors sixteen/adapter_model.safetensors
    trains --output frozen --steps 4 --freeze-a --json
    holds ".trainable_parameters < $(jq .trainable_parameters plain/run.json)"
}

@test "killed at any step and resumed: the files of a run that was not" {
    trains --output whole --steps 60 --keep best --eval-every 7
    for wait in 0.05 0.15 0.3; do
        rm -rf cut
        "$PEFT" train "${common[@]}" --output cut --steps 60 --keep best --eval-every 7 --checkpoint-every 1 2> /dev/null 3>&- &
        sleep "$wait"
        kill -9 $! 2> /dev/null || true
        wait $! || true
        trains --output cut --steps 60 --keep best --eval-every 7 --checkpoint-every 1 --resume
        same_files whole cut
        cmp <(jq -c 'del(.seconds)' whole/log.jsonl) <(jq -c 'del(.seconds)' cut/log.jsonl)
    done
}

@test "a run that is resumed after its last step writes the same files again" {
    for variant in lora adalora lora2 sora molora; do
        works train "${any_variant[@]}" --variant $variant --output whole --steps 6
        cp -r whole again
        rm again/run.json again/adapter_*
        works train "${any_variant[@]}" --variant $variant --output again --steps 6 --resume
        same_files whole again
        rm -rf whole again
    done
}

@test "Ctrl-C: a checkpoint, exit code 130, --resume goes on to the same files" {
    trains --output whole --steps 400 --eval-every 1000
    starts --output cut --steps 400 --eval-every 1000
    code=0
    kill -INT "$started"
    wait "$started" || code=$?
    [ "$code" -eq 130 ]
    grep -q 'stopped after step .* of 400; go on with --resume' messages
    [ -s cut/checkpoint/checkpoint.safetensors ]
    [ ! -e cut/run.json ]
    [ ! -e cut/.peft-lock ]
    trains --output cut --steps 400 --eval-every 1000 --resume
    same_files whole cut
}

# starts OPTION...: a run in the background, in the folder cut, whose process is $started; returns when some steps are done.
# Shells ignore SIGINT in background jobs of scripts, and what is ignored at the start stays ignored: env undoes it.
starts() {
    env --default-signal=INT,TERM,HUP "$PEFT" train "${common[@]}" "$@" 2> messages 3>&- &
    started=$!
    for _ in $(seq 500); do [ "$(wc -l < cut/log.jsonl)" -gt 3 ] 2> /dev/null && return; sleep 0.02; done
}

@test "the end of a job or a connection: as Ctrl-C, exit code 128 + signal; nohup keeps a run" {
    trains --output whole --steps 400 --eval-every 1000
    for signal in TERM HUP; do
        rm -rf cut
        starts --output cut --steps 400 --eval-every 1000
        kill "-$signal" "$started"
        kill "-$signal" "$started" # job systems send it to parents and children, which pass it on
        code=0
        wait "$started" || code=$?
        [ "$code" -eq $((128 + $(kill -l "$signal"))) ]
        trains --output cut --steps 400 --eval-every 1000 --resume
        same_files whole cut
    done
    rm -rf cut
    (trap '' HUP INT; exec "$PEFT" train "${common[@]}" --output cut --steps 400 --eval-every 1000 --quiet) 3>&- &
    started=$!
    for _ in $(seq 500); do [ -s cut/log.jsonl ] && break; sleep 0.02; done
    kill -HUP "$started"
    kill -INT "$started"
    wait "$started"
    same_files whole cut
}

@test "a stop during an evaluation: it is made up, and the log is that of a run that was not stopped" {
    trains --output whole --steps 40 --eval-every 1 --keep best
    for wait in 0.02 0.05 0.09; do
        rm -rf cut
        starts --output cut --steps 40 --eval-every 1 --keep best
        sleep "$wait"
        kill -TERM "$started" 2> /dev/null || true
        wait "$started" || true
        trains --output cut --steps 40 --eval-every 1 --keep best --resume
        same_files whole cut
        cmp <(jq -c 'del(.seconds)' whole/log.jsonl) <(jq -c 'del(.seconds)' cut/log.jsonl)
    done
}

# ---- whose folder it is ----

@test "what the program did not write is not written over, unless --force says so" {
    mkdir notes
    echo precious > notes/thesis.tex
    cp -r "$model" base
    cp -r "$lora" adapter
    for folder in notes base adapter; do
        cp -r "$folder" before
        peft train "${common[@]}" --output "$folder" --steps 1
        fails 2 "$folder: exists and holds what is no run of this program; give another --output, or --force"
        peft train "${common[@]}" --output "$folder" --steps 1 --resume
        fails 2 "$folder: --resume: expected a run of this program, found other files"
        diff -r "$folder" before
        rm -rf before
    done
    trains --output notes --steps 1 --force
    grep -q precious notes/thesis.tex
    [ -s notes/adapter_model.safetensors ]
}

@test "the folder of the model is never written into, by whatever path" {
    cp -r "$model" base
    cp -r base before
    mkdir other
    ln -s ../base other/link
    : > base/run.json # it looks like a run
    : > before/run.json
    for place in base ./base/ other/link other/../base "$PWD/base" other/link/../base; do
        for variant in full lora; do
            for how in "" --force --resume; do
                # shellcheck disable=SC2086 # no flag at all, or one
                peft train --model base --task sst2 --data "$data" --variant $variant --output "$place" --steps 1 $how
                fails 2 "this folder is read from; give another output"
            done
        done
    done
    peft train --model base --task sst2 --data "$data" --output new/../base --steps 1 --force
    fails 2 "leads back (..) through a folder that is not there"
    diff -r base before
    [ ! -e new ]
}

@test "a file that is read from is not written over" {
    mkdir mine
    for _ in 1 2 3 4 5 6 7 8; do echo '{"text": "w1 w2", "label": "a"}'; echo '{"text": "w3", "label": "b"}'; done > mine/log.jsonl
    cp mine/log.jsonl before
    peft train --model "$model" --train mine/log.jsonl --output mine --steps 1 --force
    fails 2 "mine/log.jsonl: is read from, and would be written over"
    cmp mine/log.jsonl before
}

@test "one run at a time in a folder; a killed one is no hindrance, and its temporary files go" {
    starts --output cut --steps 4000 --eval-every 10000
    for how in --resume --force; do
        peft train "${common[@]}" --output cut --steps 4000 --eval-every 10000 $how
        fails 1 "cut: another process is at work in this folder"
    done
    kill -9 "$started"
    wait "$started" || true
    : > cut/.peft-123-0.tmp
    : > cut/checkpoint/.peft-123-0.tmp
    [ -e cut/.peft-lock ]
    trains --output cut --steps 1 --force
    [ -z "$(find cut -name '.peft-*')" ]
    : > cut/.peft-123-0.tmp
    trains --output cut --steps 1 --resume
    [ -z "$(find cut -name '.peft-*')" ]
}

@test "--force and --resume exclude each other; a run that lost its checkpoint is not begun again in silence" {
    peft train "${common[@]}" --output run --steps 1 --force --resume
    fails 2 "--force and --resume exclude each other"
    trains --output run --steps 1
    rm -r run/checkpoint
    peft train "${common[@]}" --output run --steps 1 --resume
    fails 2 "run: this run has ended, and its checkpoint is gone; --force starts anew"
}

@test "--resume refuses other settings, and a folder that holds a run needs --resume or --force" {
    trains --output run --steps 4
    peft train "${common[@]}" --output run --steps 4
    fails 2 'run: holds a run already; give --resume to go on with it or --force to start anew'
    peft train "${common[@]}" --output run --steps 5 --resume
    fails 2 'the run was started with other settings, data or model: steps was 4 and is 5 now'
    cp -r "$data" data
    rows 65 > data/SST-2/train.tsv
    peft train "${common[@]}" --data data --output run --steps 4 --resume
    fails 2 'fingerprints: train was "'
    trains --output run --steps 5 --force
}

# ---- plan ----

@test "plan and --dry-run: lines that add up, and nothing is written" {
    works plan "${common[@]}" --json
    holds '.total_bytes == ([.lines[] | select(.mapped | not) | .bytes] | add)'
    holds '.steps == 24 and .trainable_parameters == 2114'
    works train "${common[@]}" --dry-run
    [[ "$output" == *activations* ]]
    [ -z "$(ls -A)" ]
    stored=$("$PEFT" plan "${common[@]}" --json | jq '.lines[] | select(.name == "activations") | .bytes')
    again=$("$PEFT" plan "${common[@]}" --checkpoint-layers --json | jq '.lines[] | select(.name == "activations") | .bytes')
    [ "$again" -lt "$stored" ]
    if "$PEFT" --version --verbose | grep -q '^dtypes.* bf16'; then
        packed=$("$PEFT" plan "${common[@]}" --json | jq '.lines[] | select(.name == "packed weights") | .bytes')
        half=$("$PEFT" plan "${common[@]}" --dtype bf16 --json | jq '.lines[] | select(.name == "packed weights") | .bytes')
        [ "$half" -lt "$packed" ]
    fi
}

@test "plan without data: full batches; the plan of data that are just so is the same" {
    works plan --model "$model" --batch-size 8 --rank 2 --target-modules all-linear --sequences 64 --max-length 12 --json
    holds '.largest_batch_tokens == 8 * 12 and .steps == 24'
    holds '.total_bytes == ([.lines[] | select(.mapped | not) | .bytes] | add)'
    activations='.lines[] | select(.name == "activations") | .bytes'
    without=$(jq "$activations" <<< "$output")
    mkdir -p full/SST-2
    awk 'BEGIN { print "sentence\tlabel"
        for (i = 0; i < 64; i++) { for (k = 0; k < 10; k++) printf "w%d ", 9 + (i + k) % 7; print "\t" i % 2 } }' > full/SST-2/train.tsv
    cp "$data/SST-2/dev.tsv" full/SST-2
    works plan "${common[@]}" --data full --json
    [ "$(jq "$activations" <<< "$output")" -eq "$without" ]
    works plan --model "$model" --json # cut to what the model takes
    holds '.largest_batch_tokens == 32 * 64'
    peft plan "${common[@]}" --sequences 3
    fails 2 '--sequences stands for data, and there are some'
}

@test "a run of 10^8 steps is planned, and begins, as fast as a short one" {
    works plan "${common[@]}" --steps 100000000 --json
    holds '.steps == 100000000'
    starts --output cut --steps 100000000 --eval-every 1000000000 --checkpoint-every 1000000000
    [ -s cut/log.jsonl ]
    kill -TERM "$started"
    wait "$started" || true
}

# ---- bad input ----

@test "a loss that is not finite: the step, exit code 1, the last good checkpoint stays" {
    peft train "${common[@]}" --output run --steps 400 --learning-rate 1000 --max-grad-norm 0 --warmup 0 --checkpoint-every 1 \
        --quiet --schedule constant
    if [ "$status" -ne 1 ]; then
        skip "this model does not diverge"
    fi
    [[ "$stderr" == *"step "*" is "*"the last checkpoint is good, it is of step "* ]]
    [ -s run/checkpoint/checkpoint.safetensors ]
    [ ! -e run/run.json ]
    peft train "${common[@]}" --output none --steps 400 --learning-rate 1000 --max-grad-norm 0 --warmup 0 \
        --checkpoint-every 1000 --eval-every 1000 --quiet --schedule constant
    fails 1 "step "
    [[ "$stderr" != *checkpoint* ]]
}

@test "unknown task, variant, option, target: the nearest known word" {
    peft train --model "$model" --task sst --data "$data" --output run
    fails 2 'sst2'
    peft train "${common[@]}" --variant lorra --output run
    fails 2 'lora'
    peft train "${common[@]}" --variant lora:rank=4:freeze-a --output run
    fails 2 '--variant lora:rank=4:freeze-a: settings are flags here: --variant lora --rank 4 --freeze-a'
    peft train "${common[@]}" --ranc 3 --output run
    fails 2 '--rank'
    peft train "${common[@]}" --lora-alpha 16 --output run
    fails 2 '--lora-alpha: there is no such setting; did you mean --alpha?'
    peft train "${common[@]}" --init pisa --output run
    fails 2 'did you mean "pissa"?'
    peft train --model "$model" --task sst2 --data "$data" --target-modules qery --output run
    fails 2 'query'
    [ ! -e run ]
}

@test "rank 0, rank text, a learning rate below 0: out of range" {
    peft train "${common[@]}" --rank 0 --output run
    fails 2 'rank'
    peft train "${common[@]}" --rank two --output run
    fails 2 'rank'
    peft train "${common[@]}" --learning-rate -1 --output run
    fails 2 'learning-rate'
}

# bad_data CODE MESSAGE: the training file on standard input is refused
bad_data() {
    mkdir -p bad/SST-2
    cat > bad/SST-2/train.tsv
    cp "$data/SST-2/dev.tsv" bad/SST-2
    peft train --model "$model" --task sst2 --data bad --output run
    fails "$1" "$2"
    [ ! -e run ]
}

@test "bad data: file and line" {
    : | bad_data 3 'train.tsv'
    printf 'sentence\tlabel\nw7 w8\n' | bad_data 3 'train.tsv:2'
    printf 'sentence\tlabel\nw7\t2\n' | bad_data 3 'train.tsv:2'
    printf 'sentence\tscore\nw7\t1\n' | bad_data 3 'label'
    printf 'sentence\tlabel\nw7\0\t1\n' | bad_data 3 'train.tsv:2'
    printf 'sentence\tlabel\nw\xff\t1\n' | bad_data 3 'train.tsv:2'
    peft train --model "$model" --task sst2 --data nowhere --output run
    fails 3 'nowhere/SST-2/train.tsv'
}

@test "texts longer than the model takes are cut, and counted" {
    mkdir -p long/SST-2
    { rows 10; awk 'BEGIN { for (i = 0; i < 200; i++) printf "w9 "; print "\t1" }'; } > long/SST-2/train.tsv
    cp "$data/SST-2/dev.tsv" long/SST-2
    works train --model "$model" --task sst2 --data long --output run --steps 2 --max-length 500 --json
    holds '.splits.truncated_examples == 1'
    [[ "$stderr" == *"1 of 11 examples are longer than 64 tokens and were cut"* ]]
}

@test "a model that is missing, cut short or lies in its header" {
    peft train --model nowhere --task sst2 --data "$data" --output run
    fails 3 'nowhere/config.json'
    cp -r "$model" short
    truncate -s 1000 short/model.safetensors
    peft train --model short --task sst2 --data "$data" --output run
    fails 3 'short/model.safetensors'
    cp -r "$model" liar
    printf '\377\377\377\377\377\377\377\177' | dd of=liar/model.safetensors conv=notrunc status=none
    peft train --model liar --task sst2 --data "$data" --output run
    fails 3 'liar/model.safetensors'
    [ ! -e run ]
}

@test "a folder that cannot be written, a full disk: one line, nothing half-written" {
    : > occupied
    peft train "${common[@]}" --output occupied/run --steps 2
    fails 1 'occupied/run: cannot write into this folder: Not a directory'
    # ulimit stands for the disk: the adapter fits in neither
    run --separate-stderr bash -c 'ulimit -f 2; exec "$@"' - "$PEFT" train "${common[@]}" --output full --steps 2 --quiet
    fails 1 'full/checkpoint/checkpoint.safetensors: cannot write, there is no space for it'
    [ ! -e full/adapter_model.safetensors ]
    [ ! -e full/run.json ]
    [ -z "$(find full -name '.peft-*')" ]
}

@test "a budgeted run that is resumed when its last step is done writes the same files" {
    tiny_model model
    for variant in adalora lora2; do
        train=(train --model model --task rte --data "$fixtures/glue" --variant "$variant" --steps 10 --quiet --output "$variant")
        works "${train[@]}"
        cp -r "$variant" before
        rm "$variant"/run.json "$variant"/adapter_*
        works "${train[@]}" --resume
        cmp "$variant/adapter_config.json" before/adapter_config.json
        cmp "$variant/adapter_model.safetensors" before/adapter_model.safetensors
        jq -e '.total_step == 10 and .target_r > 0' "$variant/adapter_config.json"
        rm -r before
    done
}

# ---- answers in place of a head ----

@test "answer words: nothing but the adapter is trained, and its folder is all that eval, predict and merge need" {
    answers=(--head answer-words --answers "w40,w50 w51")
    trains "${answers[@]}" --output run --epochs 20 --learning-rate 1e-2 --json
    holds '.metrics.accuracy == 1'
    works inspect run
    [[ "$output" == *"base_model.model.answers.weight  [2, 32]"* ]]
    works eval --model "$model" --adapter run --task sst2 --data "$data" --json
    holds '.metrics.accuracy == 1'
    works predict --model "$model" --adapter run --text "w7 w9" --json
    label=$(jq -r '.[0].label' <<< "$output")
    works merge --model "$model" --adapter run --output merged --verify
    works predict --model merged --text "w7 w9" --json
    holds ".[0].label == \"$label\""
    works convert --adapter run --to lora --output plain
    works predict --model "$model" --adapter plain --text "w7 w9"
    works embed --model "$model" --adapter run --text "w7 w9"
    # the answers are those of the model without adapter
    works eval --model "$model" --answers "w40,w50 w51" --task sst2 --data "$data" --json
    holds '.metrics.accuracy < 1'
}

@test "answer words: the same bits for any number of threads, and after a stop" {
    answers=(--head answer-words --answers "w40,w50")
    trains "${answers[@]}" --output one --steps 8 --threads 1
    trains "${answers[@]}" --output two --steps 8 --threads 2
    same_files one two
    trains "${answers[@]}" --output three --steps 8 --checkpoint-every 3
    rm three/run.json three/adapter_model.safetensors
    trains "${answers[@]}" --output three --steps 8 --checkpoint-every 3 --resume
    same_files one three
    peft train "${common[@]}" "${answers[@]}" --answers "w40,w52" --output three --steps 8 --checkpoint-every 3 --resume
    [ "$status" -eq 2 ]
    [[ "$stderr" == *"other settings, data or model: answers was "* ]]
}

@test "answer words: without answers the names of the classes, and every method" {
    for i in 1 2 3 4; do printf 'w7 w%s,w40\nw8 w%s,w50\nw9 w%s,w60\n' $i $i $i; done | sed '1i text,label' > own.csv
    for variant in lora dora vera ia3 molora trex full; do
        works train --model "$model" --train own.csv --target-modules all-linear --batch-size 8 --variant $variant \
            --head answer-words --output $variant --steps 2
    done
    works eval --model full --dev own.csv
    works plan "${common[@]}" --head answer-words --answers w40,w50 --json
}

@test "answers that do not fit are refused before anything is written" {
    peft train "${common[@]}" --answers "w40,w50" --output run
    fails 2 "--answers needs --head answer-words"
    peft train "${common[@]}" --head answer-words --answers "w40,w50,w60" --output run
    fails 2 "answers: expected 2, one for each class, found 3"
    peft train "${common[@]}" --head answer-words --answers '{"positiv": "w40", "negative": "w50"}' --output run
    fails 2 'answers: no class is called "positiv"'
    peft train "${any_variant[@]}" --variant head --head answer-words --answers w40,w50 --output run
    fails 2 "there is no value to train"
    [ ! -e run ]
}

# ---- vectors that come with the data ----

@test "a method that reads vectors gets those of the data, in training, eval and predict" {
    # the vector tells the class, which the text does not
    for i in $(seq 32); do
        echo "{\"text\": \"w7\", \"label\": \"a\", \"v\": [1, 0, 0.5]}"
        echo "{\"text\": \"w7\", \"label\": \"b\", \"v\": [0, 1, -0.5]}"
    done > own.jsonl
    with=(--model "$model" --train own.jsonl --dev own.jsonl --batch-size 8 --target-modules all-linear
        --intuition vectors --vector-size 3 --vector-column v)
    for variant in trex mor1e; do
        works train "${with[@]}" --variant $variant --output $variant --epochs 20 --learning-rate 1e-2 --json
        holds '.metrics.accuracy == 1'
        works eval --model "$model" --adapter $variant --dev own.jsonl --vector-column v --json
        holds '.metrics.accuracy == 1'
        works predict --model "$model" --adapter $variant --input own.jsonl --vector-column v --json
        holds '.[0].label == "a" and .[1].label == "b"'
    done
    works train "${with[@]}" --variant trex --centroids kmeans --r1 1 --r2 2 --output kmeans --steps 2
    works train "${with[@]}" --variant trex --keep best --output best --epochs 1
    works plan "${with[@]}" --variant trex
    peft predict --model "$model" --adapter trex --text w7
    fails 2 "the batch has no vectors of its sequences"
}

@test "vectors that nothing reads, or that are not there, are refused" {
    printf 'text,label,v\nw7,a,1 2\nw8,b,3 4\nw9,c,5 6\n' > own.csv
    printf 'text,label,v\nw7,a,1 2 3\nw8,b,3 4 5\nw9,c,5 6 7\n' > other.csv
    own=(--model "$model" --train own.csv --output run)
    peft train "${own[@]}" --vector-column v
    fails 2 "--vector-column: nothing reads the vectors"
    peft train "${own[@]}" --variant trex --intuition vectors --vector-size 2
    fails 2 "--intuition vectors needs --vector-column NAME"
    peft train "${own[@]}" --dev other.csv --variant trex --intuition vectors --vector-size 2 --vector-column v
    fails 2 "vectors to train with have 2 numbers, those to evaluate on 3"
    peft train "${own[@]}" --variant trex --intuition vectors --vector-column v
    fails 3 "intuition: expected vectors of 32 numbers, found 2; set vector_size"
    peft train "${common[@]}" --vector-column v --output other
    fails 2 "--vector-column goes with own files"
    peft predict --model "$model" --adapter "$lora" --text w5 --vector-column v
    fails 2 "--vector-column goes with a .csv, .tsv or .jsonl file"
}
