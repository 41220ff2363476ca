#!/usr/bin/env bats
# compare: what it leaves on the disk, what it prints, and what it does when runs fail, are killed or stopped.
# shellcheck disable=SC2154,SC2016,SC2054 # bats sets output and stderr, tiny.bash the paths; jq has its own $; lists have commas

load helpers
load tiny

setup_file() {
    tiny_model "$BATS_FILE_TMPDIR/tiny"
    sentences SST-2 "sentence label" 0 1
    sentences RTE "index sentence1 sentence2 label" not_entailment entailment
}

# sentences FOLDER COLUMNS LABEL0 LABEL1: 64 rows to train on, 16 for dev; w1 and w2 tell the labels apart
sentences() {
    local folder=$BATS_FILE_TMPDIR/data/$1
    mkdir -p "$folder"
    awk -v columns="$2" -v zero="$3" -v one="$4" -v out="$folder" 'BEGIN {
        n = split(columns, names, " ")
        header = names[1]; for (k = 2; k <= n; k++) header = header "\t" names[k]
        print header > (out "/train.tsv"); print header > (out "/dev.tsv")
        for (i = 0; i < 80; i++) {
            text = "w" (i % 2 ? 1 : 2) " w" (3 + i % 7) " w" (10 + i % 11); label = i % 2 ? one : zero
            row = n == 2 ? text "\t" label : i "\t" text "\tw" (30 + i % 5) "\t" label
            print row > (out (i < 64 ? "/train.tsv" : "/dev.tsv"))
        }
    }'
}

setup() {
    common=(--model "$BATS_FILE_TMPDIR/tiny" --data "$BATS_FILE_TMPDIR/data" --threads 1 --batch-size 16)
    cd "$BATS_TEST_TMPDIR" || return
}

compares() {
    works compare "${common[@]}" "$@"
}

columns() {
    head -n 1 "$1"
}

# cells FILE COLUMN: the values of a column, blank-separated (no field of these files has a comma in it)
cells() {
    awk -F, -v wanted="$2" 'NR == 1 { for (k = 1; k <= NF; k++) if ($k == wanted) at = k; next }
        { printf "%s%s", (NR > 2 ? " " : ""), $at }' "$1"
}

# waits_for FILE: until it is there and not empty, a minute at most
waits_for() {
    for _ in $(seq 1200); do
        [ -s "$1" ] && return
        sleep 0.05
    done
    echo "$1 has not come"
    return 1
}

# What takes a while: the first run writes a checkpoint after each of its many steps.
long=(--tasks sst2 --variants head:steps=3000:checkpoint-every=20:eval-every=10000,lora:steps=1 --seeds 0)
first=runs/sst2/head-steps-3000-checkpoint-every-20-eval-every-10000/seed0

# Begins with it in the background. $! is its process; the one of its child is child_of $!.
starts_long() {
    # shells ignore SIGINT in background jobs of scripts
    env --default-signal=INT,TERM,HUP "$PEFT" compare "${common[@]}" "${long[@]}" --output runs > out.txt 2> err.txt 3>&- &
    waits_for "$first/checkpoint/checkpoint.safetensors"
}

child_of() {
    local child
    read -r child < "/proc/$1/task/$1/children"
    echo "$child"
}

# same_result RUN RUN: the same adapter, to the bit
same_result() {
    cmp "$1/adapter_model.safetensors" "$2/adapter_model.safetensors"
}

# ---- what comes out ----

@test "a folder a run, a row a run, a row for each task, variant and metric" {
    compares --tasks sst2,rte --variants head,lora:rank=2 --seeds 0,1 --epochs 1 --output runs
    for task in sst2 rte; do
        for variant in head lora-rank-2; do
            for seed in 0 1; do
                [ -f "runs/$task/$variant/seed$seed/run.json" ]
                [ -f "runs/$task/$variant/seed$seed/adapter_model.safetensors" ]
            done
        done
    done
    [ "$(columns runs/results.csv)" = "task,variant,seed,accuracy,trainable_parameters,peak_memory_bytes,train_seconds,tokens_per_second,learning_rate,one_answer,status,message,folder" ]
    [ "$(cells runs/results.csv task)" = "sst2 sst2 sst2 sst2 rte rte rte rte" ]
    [ "$(cells runs/results.csv variant)" = "head head lora:rank=2 lora:rank=2 head head lora:rank=2 lora:rank=2" ]
    [ "$(cells runs/results.csv seed)" = "0 1 0 1 0 1 0 1" ]
    [ "$(cells runs/results.csv status)" = "done done done done done done done done" ]
    [ "$(columns runs/summary.csv)" = "task,variant,metric,n,one_answer,mean,standard_deviation,interval_low,interval_high,trainable_parameters,peak_memory_bytes,train_seconds,learning_rate,learning_rate_chosen_on,reported_on" ]
    [ "$(cells runs/summary.csv n)" = "2 2 2 2" ]
    [[ "${lines[0]}" =~ ^task\ +variant\ +metric\ +mean\ ±\ sd\ +runs ]]
    [ "${#lines[@]}" -eq 8 ]
    [[ "${lines[6]}" == "sst2: No difference between head and lora:rank=2 could be shown with these 2 seeds, nor could one have been, however large: the smallest p is 0.5, and it takes 6 seeds."* ]]
    [[ "${lines[7]}" == "rte: No difference between head and lora:rank=2 "* ]]
    run ! grep -q $'\033' <<< "$output"
}

@test "figures of the rows are those of run.json, mean and deviation those of the rows" {
    compares --tasks sst2 --variants lora --seeds 3,5 --epochs 1 --output runs --json
    for index in 0 1; do
        run_json=runs/sst2/lora/seed$((3 + 2 * index))/run.json
        jq -e --argjson row "$(jq ".results[$index]" <<< "$output")" \
            '[.task, .variant, .seed, .metrics, .trainable_parameters, .peak_memory_bytes] ==
             ($row | [.task, .variant, .seed, .metrics, .trainable_parameters, .peak_memory_bytes]) and
             (.train_seconds - $row.train_seconds | fabs) < 1e-9' "$run_json"
    done
    holds '[.results[].metrics.accuracy] as [$a, $b] | .summary[0] |
           (.mean - ($a + $b) / 2 | fabs) < 1e-12 and
           (.standard_deviation - (($a - $b) | fabs) / (2 | sqrt) | fabs) < 1e-12'
}

@test "variants beside each other: differences over the seeds, tests, a sentence" {
    # What is to be told was seen in training: a head that does not move knows it by chance alone.
    head -n 17 "$BATS_FILE_TMPDIR/data/SST-2/train.tsv" | sed 's/sentence/text/' > mine.tsv
    works compare --model "$BATS_FILE_TMPDIR/tiny" --train mine.tsv --dev mine.tsv --threads 1 --batch-size 4 \
        --target-modules all-linear --variants head:learning-rate=1e-9,lora:learning-rate=0.003,lora:learning-rate=0.003:rank=8 \
        --seeds 0,1,2,3,4,5,6 --epochs 40 --output runs --json
    [ "$(columns runs/differences.csv)" = "task,metric,variant,beside,n,difference,standard_deviation,interval_low,interval_high,p,comparisons,p_corrected,examples,p_examples,detectable_difference,verdict,conclusion" ]
    [ "$(cells runs/differences.csv verdict)" = "above above not shown" ]
    # The first pair: its difference is that of the scores, on one side for all 7 seeds.
    holds '[.results[] | select(.variant | startswith("head")).metrics.accuracy] as $a |
           [.results[] | select(.variant == "lora:learning-rate=0.003").metrics.accuracy] as $b |
           ([$a, $b] | transpose | map(.[1] - .[0])) as $d | .differences[0] |
           (.difference - ($d | add / 7) | fabs) < 1e-12 and ($d | min) > 0 and .p == 2 / 128 and .comparisons == 3 and
           (.p_corrected - 6 / 128 | fabs) < 1e-12 and .examples == 16 and .p_examples < 0.05'
    holds '.differences[0].conclusion | startswith("lora:learning-rate=0.003 is above head:learning-rate=1e-9 by 100.0 points (95 % interval ")'
    # The same method twice: nothing is claimed.
    holds '.differences[2] | .difference == 0 and .p == 1 and .p_examples == 1 and (.conclusion | contains("their scores are the same"))'
    # Runs that give every example the same class are counted.
    [ "$(cells runs/summary.csv one_answer)" = "$(jq -r '[.summary[].one_answer | tostring] | join(" ")' <<< "$output")" ]
    works compare --config runs/comparison.json --output runs --resume --no-json
    [[ "$output" == *"own: lora:learning-rate=0.003 is above head:learning-rate=1e-9 by "* ]]
    # Predictions that are gone or damaged take the test on examples with them, and nothing else.
    rm runs/own/lora-learning-rate-0.003/seed3/predictions.safetensors
    printf x >> runs/own/head-learning-rate-1e-9/seed0/predictions.safetensors
    works compare --config runs/comparison.json --output runs --resume
    [[ "$stderr" == *"runs/own/head-learning-rate-1e-9/seed0/predictions.safetensors: "*"; without it no test on the same examples"* ]]
    [ "$(cells runs/differences.csv examples)" = "  " ]
    [ "$(cells runs/differences.csv verdict)" = "above above not shown" ]
}

@test "options of an item are its own, those of the command line are everybody's" {
    compares --tasks sst2 --variants lora,lora:rank=2:alpha=3:learning-rate=0.5,head --rank 3 --seeds 0 --steps 1 --output runs
    jq -e '.variant == "head" and .rank == null and .learning_rate == 0.001' runs/sst2/head/seed0/settings.json
    jq -e '.variant == "lora" and .rank == 3 and .alpha == 16 and .learning_rate == 0.001' runs/sst2/lora/seed0/settings.json
    jq -e '.variant == "lora" and .rank == 2 and .alpha == 3 and .learning_rate == 0.5' \
        runs/sst2/lora-rank-2-alpha-3-learning-rate-0.5/seed0/settings.json
    [ "$(cells runs/summary.csv learning_rate)" = "0.001 0.5 0.001" ]
}

@test "side by side or one by one: the same bits" {
    compares --tasks sst2 --variants head,lora --seeds 0,1 --epochs 1 --output one
    compares --tasks sst2 --variants head,lora --seeds 0,1 --epochs 1 --output four --jobs 4
    for run in head/seed0 head/seed1 lora/seed0 lora/seed1; do same_result "one/sst2/$run" "four/sst2/$run"; done
}

@test "own files are compared too" {
    sed 's/sentence\tlabel/text\tlabel/' "$BATS_FILE_TMPDIR/data/SST-2/train.tsv" > mine.tsv
    works compare --model "$BATS_FILE_TMPDIR/tiny" --train mine.tsv --dev mine.tsv --variants head --seeds 0 --steps 1 --output runs
    [ "$(cells runs/results.csv task)" = own ]
    [ -f runs/own/head/seed0/run.json ]
}

@test "all tasks of a file are compared, each in its folder" {
    cat > tasks.yaml << EOF
- name: films
  files: {train: $BATS_FILE_TMPDIR/data/SST-2/train.tsv, dev: $BATS_FILE_TMPDIR/data/SST-2/dev.tsv}
  columns: {text: sentence}
- name: pairs
  files: {train: $BATS_FILE_TMPDIR/data/RTE/train.tsv, dev: $BATS_FILE_TMPDIR/data/RTE/dev.tsv}
  columns: {text: sentence1, text_pair: sentence2}
  metric: accuracy
EOF
    works compare --model "$BATS_FILE_TMPDIR/tiny" --tasks tasks.yaml --variants head --seeds 0 --steps 2 --output runs
    [ "$(cells runs/results.csv task)" = "films pairs" ]
    [ "$(jq -r .task runs/films/head/seed0/settings.json)" = tasks.yaml:films ]
    [ -f runs/pairs/head/seed0/run.json ]
    works compare --config runs/comparison.json --output again
    same_result runs/pairs/head/seed0 again/pairs/head/seed0
    works compare --model "$BATS_FILE_TMPDIR/tiny" --tasks tasks.yaml:pairs --variants head --seeds 0 --steps 2 --output one
    [ "$(cells one/results.csv task)" = pairs ]
    same_result runs/pairs/head/seed0 one/pairs/head/seed0
    peft compare "${common[@]}" --tasks sst2,tasks.yaml:films,sst2 --variants head --output x
    [ "$status" -eq 2 ]
}

# ---- the learning rate ----

@test "a learning rate is chosen on examples held out of train, and all runs have it" {
    compares --tasks sst2 --variants lora,head:learning-rate=0.125 --seeds 4,5 --learning-rates 0.01,1e-9 --hold-out 16 --epochs 3 \
        --no-yardsticks --output runs
    held_out() { # RATE: the score of the last step
        jq -s 'map(select(.split == "held_out"))[-1].metrics.accuracy' "runs/sst2/lora/learning-rate-$1/log.jsonl"
    }
    [ "$(jq -n "$(held_out 0.01) < $(held_out 1e-09)")" = true ]
    [ "$(cells runs/summary.csv learning_rate)" = "1e-09 0.125" ]
    [ "$(cells runs/results.csv learning_rate)" = "1e-09 1e-09 0.125 0.125" ]
    [ "$(cells runs/summary.csv learning_rate_chosen_on)" = "16 of 64 training examples; seed 4 " ]
    splits='.splits | "\(.train_examples) \(.held_out_examples)"'
    [ "$(jq -r "$splits" runs/sst2/lora/learning-rate-1e-09/run.json)" = "48 16" ]
    [ "$(jq -r "$splits" runs/sst2/lora/seed4/run.json)" = "64 0" ]
    [ ! -e runs/sst2/head/learning-rate-0.01 ]
    [[ "$output" == *"learning rates were chosen on examples held out of train"* ]]
}

@test "a rate at the end of its range is noted as one" {
    compares --tasks sst2 --variants head --seeds 0 --learning-rates 1e-9,1e-8,1e-7 --hold-out 16 --steps 1 --no-yardsticks --output runs
    [[ "$stderr" == *"sst2 head: learning rate 1e-09, the smallest that was tried"* ]]
    [ "$(cells runs/summary.csv learning_rate_chosen_on)" = "16 of 64 training examples; seed 0; the smallest that was tried" ]
}

@test "what --max-train leaves is held out first, so that all runs train on as many examples" {
    compares --tasks sst2 --variants head --seeds 1 --learning-rates 0.1,0.2 --max-train 20 --hold-out 30 --steps 1 --no-yardsticks --output runs
    splits='.splits | "\(.train_examples) \(.held_out_examples)"'
    [ "$(jq -r "$splits" runs/sst2/head/learning-rate-0.1/run.json)" = "20 30" ]
    [ "$(jq -r "$splits" runs/sst2/head/seed1/run.json)" = "20 0" ]
}

# ---- sizes ----

# parameters_without_head FOLDER: what the adapter trains; the head has 2 x 32 + 2
parameters_without_head() {
    echo $(($(jq .trainable_parameters "$1/run.json") - 66))
}

@test "--budget gives each variant the largest size that it allows" {
    compares --tasks sst2 --variants head,lora,lora2,mor1e:alpha=4,lora:rank=1,ia3 --seeds 0 --steps 1 --budget 3000 --no-yardsticks \
        --output runs
    [ "$(cells runs/summary.csv variant)" = "head lora:rank=11 lora2:rank=9:k=9 mor1e:alpha=4:num-experts=7 lora:rank=1 ia3" ]
    # One more of each would be too many: a rank of LoRA is 64 in each of 4 layers.
    [ "$(parameters_without_head runs/sst2/lora-rank-11/seed0)" -eq $((11 * 256)) ]
    for folder in lora-rank-11 lora2-rank-9-k-9 mor1e-alpha-4-num-experts-7; do
        [ "$(parameters_without_head "runs/sst2/$folder/seed0")" -le 3000 ]
    done
    [[ "$output" == *"sst2: No difference between head and lora:rank=11 could be shown with 1 seed, nor could one have been, however large: "* ]]
    [[ "$output" == *"sst2: so it is with the other 14 pairs."* ]]
    works compare --config runs/comparison.json --output again
    [ "$(cells again/summary.csv variant)" = "$(cells runs/summary.csv variant)" ]
    same_result runs/sst2/lora-rank-11/seed0 again/sst2/lora-rank-11/seed0
    refuses_budget() { # OPTION MESSAGE
        peft compare "${common[@]}" --tasks sst2 --variants lora --budget "$1" --output none
        fails 2 "$2"
    }
    refuses_budget 100 "lora: --budget allows 100 trained parameters, and the smallest adapter has 256"
    refuses_budget 0.1%% "--budget: expected a number of parameters"
    refuses_budget -1 "--budget: expected a number of parameters"
    compares --tasks sst2 --variants lora --seeds 0 --steps 1 --budget 5% --output share
    [[ "$(cells share/summary.csv variant)" == lora:rank=* ]]
}

@test "with a budget or a search head, full and lora are compared, too" {
    compares --tasks sst2 --variants dora,head:learning-rate=0.5 --rank 3 --seeds 0 --steps 1 --learning-rates 0.01,0.02 --hold-out 16 --output runs
    [ "$(cells runs/summary.csv variant)" = "dora head:learning-rate=0.5 full lora" ]
    [ "$(jq .rank runs/sst2/lora/seed0/settings.json)" -eq 3 ]
    [ -f runs/sst2/full/learning-rate-0.01/run.json ]
    compares --tasks sst2 --variants dora --seeds 0 --steps 1 --budget 3000 --output sized
    [ "$(cells sized/summary.csv variant)" = "dora:rank=11 head full lora:rank=11" ]
    compares --tasks sst2 --variants dora --seeds 0 --steps 1 --output plain
    [ "$(cells plain/summary.csv variant)" = "dora" ]
}

# ---- what will be ----

@test "--dry-run shows runs and hours, and writes nothing" {
    mkdir tmp
    export TMPDIR=$PWD/tmp
    compares --tasks sst2,rte --variants head,lora:learning-rate=0.1 --seeds 0,1,2 --learning-rates 0.01,0.02 --hold-out 16 \
        --jobs 2 --no-yardsticks --output runs --dry-run --json
    holds '.runs == 12 and .search_runs == 4 and .hours > 0 and .hours < 1'
    holds '[.cells[] | [.task, .variant, .runs, .steps]] == [["sst2", "head", 5, 12], ["sst2", "lora:learning-rate=0.1", 3, 12],
           ["rte", "head", 5, 12], ["rte", "lora:learning-rate=0.1", 3, 12]]'
    compares --tasks sst2 --variants head --seeds 0 --steps 100000 --output runs --dry-run
    [[ "${lines[1]}" =~ ^sst2\ +head\ +1\ +100000\  ]]
    [[ "${lines[-1]}" == "1 runs: about "*" hours with --jobs 1" ]]
    [ ! -e runs ]
    [ -z "$(ls tmp)" ]
    rm -rf broken
    cp -r "$BATS_FILE_TMPDIR/data" broken
    rm broken/RTE/dev.tsv
    peft compare "${common[@]}" --data broken --tasks sst2,rte --variants head --seeds 0 --steps 1 --output runs --dry-run
    [ "$status" -eq 1 ]
    [[ "$stderr" == *"rte head: exit code 3: "* ]]
    [ -z "$(ls tmp)" ]
}

@test "a terminal has a line for each run that goes on" {
    command -v script > /dev/null || skip "script (bsdutils) is missing"
    script -qec "$PEFT compare ${common[*]} --tasks sst2 --variants head,lora --seeds 0,1 --steps 2000 --eval-every 500 --jobs 2 --output runs" \
        seen.txt > /dev/null < /dev/null
    tr '\r' '\n' < seen.txt > lines.txt
    grep -q 'sst2 head seed0: .*step [0-9]*/2000, loss [0-9.]*' lines.txt
    grep -q 'sst2 head seed1: .*step [0-9]*/2000, loss [0-9.]*' lines.txt
    grep -q 'compare .*run [0-9]/4' lines.txt
}

# ---- failures ----

@test "a run that fails is named, the others go on, the exit code is 1" {
    rm -rf broken
    mkdir -p broken/RTE
    cp -r "$BATS_FILE_TMPDIR/data/SST-2" broken
    cp "$BATS_FILE_TMPDIR/data/RTE/train.tsv" broken/RTE
    peft compare "${common[@]}" --data broken --tasks rte,sst2 --variants head --seeds 0 --steps 1 --output runs
    [ "$status" -eq 1 ]
    [[ "$stderr" == *"runs/rte/head/seed0: failed: exit code 3: peft: train: broken/RTE/dev.tsv: "* ]]
        [ "$(cells runs/results.csv status)" = "failed done" ]
    [[ "$output" == *"sst2"* && "$output" != *"rte"* ]]
}

@test "a run that is killed is a failed run, and --resume makes it good" {
    starts_long
    parent=$!
    kill -KILL "$(child_of $parent)"
    wait $parent || true
        [ "$(cells runs/results.csv status)" = "failed done" ]
    grep -q "$first: failed: ended by signal 9" err.txt
    before=$(stat -c %y runs/sst2/lora-steps-1/seed0/run.json)
    compares "${long[@]}" --output runs --resume
    [ "$(cells runs/results.csv status)" = "done done" ]
    [ "$(stat -c %y runs/sst2/lora-steps-1/seed0/run.json)" = "$before" ]
    compares "${long[@]}" --output whole
    same_result "$first" "${first/runs/whole}"
}

@test "when compare itself is killed its child ends with it, and --resume goes on" {
    starts_long
    parent=$!
    child=$(child_of $parent)
    kill -KILL $parent
    wait $parent || true
    for _ in $(seq 1200); do
        kill -0 "$child" 2> /dev/null || break
        sleep 0.05
    done
    run ! kill -0 "$child"
    [ ! -e "$first/run.json" ]
    compares "${long[@]}" --output runs --resume
    [ "$(cells runs/results.csv status)" = "done done" ]
}

@test "Ctrl-C: the child saves a checkpoint, what is finished is kept, exit code 130" {
    starts_long
    parent=$!
    kill -INT $parent
    code=0
    wait $parent || code=$?
    [ $code -eq 130 ]
    [ "$(cells runs/results.csv status)" = "stopped not run" ]
    grep -q "go on with --resume" err.txt
    compares "${long[@]}" --output runs --resume
    [ "$(cells runs/results.csv status)" = "done done" ]
}

@test "SIGTERM and SIGHUP are passed on, also where the job system sends them to all; exit code 128 + signal" {
    for signal in TERM HUP; do
        rm -rf runs
        starts_long
        parent=$!
        kill "-$signal" "$(child_of $parent)" $parent
        code=0
        wait $parent || code=$?
        [ $code -eq $((128 + $(kill -l $signal))) ]
        [ "$(cells runs/results.csv status)" = "stopped not run" ]
        [ ! -e "$first/run.json" ]
    done
    compares "${long[@]}" --output runs --resume
    compares "${long[@]}" --output whole
    same_result "$first" "${first/runs/whole}"
}

@test "closed standard streams fail no run, and nothing is printed into its files" {
    # shellcheck disable=SC2016 # for the inner shell
    for closed in '0<&-' '1>&-' '2>&-' '0<&- 1>&- 2>&-'; do
        rm -rf runs
        run bash -c '"$@" '"$closed" - "$PEFT" compare "${common[@]}" --tasks sst2 --variants lora --seeds 0 --steps 2 --output runs
        [[ "$closed" == *1* ]] || [ "$status" -eq 0 ]
        [ "$(cells runs/results.csv status)" = "done" ]
        [ "$(wc -l < runs/sst2/lora/seed0/log.jsonl)" -eq 3 ]
    done
    compares --tasks sst2 --variants lora --seeds 0 --steps 2 --output open
    same_result runs/sst2/lora/seed0 open/sst2/lora/seed0
}

@test "a run.json that cannot be is a failed run, by the key" {
    compares --tasks sst2 --variants head --seeds 0,1 --steps 1 --output runs
    for change in '.trainable_parameters = 1e300' '.steps = -1' '.metrics.accuracy = "1"' '.train_seconds = []' '.seed = 1.5'; do
        cp runs/sst2/head/seed0/run.json sound.json
        jq "$change" sound.json > runs/sst2/head/seed0/run.json
        peft compare "${common[@]}" --tasks sst2 --variants head --seeds 0,1 --steps 1 --output runs --resume
        [ "$status" -eq 1 ]
        key=${change%% *}
        [[ "$stderr" == *"runs/sst2/head/seed0"*"${key##*.}: expected a"* ]]
        peft inspect runs/sst2/head/seed0
        [ "$status" -eq 3 ]
        cp sound.json runs/sst2/head/seed0/run.json
    done
}

# ---- what is refused ----

@test "whose folder it is: a model's, another comparison's, other files" {
    cp -r "$BATS_FILE_TMPDIR/tiny" model
    for how in "" --force --resume; do
        # shellcheck disable=SC2086 # no flag at all, or one
        peft compare "${common[@]}" --model model --tasks sst2 --variants head --output ./model $how
        fails 2 "this folder is read from; give another output"
    done
    diff -r model "$BATS_FILE_TMPDIR/tiny"
    mkdir notes
    : > notes/thesis.tex
    peft compare "${common[@]}" --tasks sst2 --variants head --output notes --resume
    fails 2 "notes: --resume: expected a comparison, found other files"
    starts_long
    peft compare "${common[@]}" "${long[@]}" --output runs --resume
    fails 1 "runs: another process is at work in this folder"
    kill -KILL $!
    wait $! || true
}

@test "comparison.json repeats a comparison" {
    # lora and lora2 have other defaults for --init: what nobody has set stays with each
    compares --tasks sst2 --variants lora:rank=2,lora2 --seeds 0,3 --steps 2 --dropout 0.25 --output runs
    [ "$(jq -c '[has("init"), .rank, .dropout]' runs/comparison.json)" = "[false,8,0.25]" ]
    works compare --config runs/comparison.json --output again
    same_result runs/sst2/lora-rank-2/seed3 again/sst2/lora-rank-2/seed3
    same_result runs/sst2/lora2/seed0 again/sst2/lora2/seed0
    peft compare "${common[@]}" --tasks sst2 --variants lora,lora2 --init olora --output none
    [ "$status" -eq 2 ]
}

@test "an output folder that is there needs --resume or --force" {
    compares --tasks sst2 --variants head --seeds 0 --steps 1 --output runs
    peft compare "${common[@]}" --tasks sst2 --variants head --seeds 0 --steps 1 --output runs
    fails 2 "runs: is there already; give --resume to go on with it or --force to start anew"
    compares --tasks sst2 --variants head --seeds 0 --steps 2 --output runs --force
    [ "$(jq .steps runs/sst2/head/seed0/run.json)" -eq 2 ]
}

@test "a wrong path is said once, before anything is started" {
    says_once() { # MESSAGE OPTION...
        peft compare --variants head --seeds 0,1,2 --steps 1 --output runs "${@:2}"
        fails 3 "$1"
        [ "$(grep -c . <<< "$stderr")" -eq 1 ]
        [ ! -e runs ]
    }
    says_once "nowhere/config.json: cannot open" --model nowhere --tasks sst2 --data "$BATS_FILE_TMPDIR/data"
    says_once "nowhere/SST-2/train.tsv: cannot open" --model "$BATS_FILE_TMPDIR/tiny" --tasks sst2 --data nowhere
    says_once "nowhere.csv: cannot open" --model "$BATS_FILE_TMPDIR/tiny" --train nowhere.csv --dev nowhere.csv
}

@test "--resume does not mix runs of other data" {
    cp -r "$BATS_FILE_TMPDIR/data" data
    local mine=(--model "$BATS_FILE_TMPDIR/tiny" --data data --tasks sst2 --variants head --steps 2 --output runs)
    works compare "${mine[@]}" --seeds 0
    printf 'w1 w2\t1\n' >> data/SST-2/dev.tsv
    peft compare "${mine[@]}" --seeds 0,1 --resume
    [ "$status" -eq 2 ]
    [[ "$stderr" == *"runs/sst2/head/seed0: was run when data/SST-2/dev.tsv held something else; give another --output"* ]]
}

@test "--resume does not mix runs with other settings" {
    compares --tasks sst2 --variants head --seeds 0 --steps 1 --output runs
    peft compare "${common[@]}" --tasks sst2 --variants head --seeds 0,1 --steps 2 --output runs --resume
    fails 2 "runs/sst2/head/seed0: was run with steps 1, now it is 2"
}

@test "wrong words are refused before anything is started" {
    refuses() { # MESSAGE WORD...
        local message=$1
        shift
        peft compare "${common[@]}" --output runs "$@"
        fails 2 "$message"
        [ ! -e runs ]
    }
    refuses "--variants X,Y is missing" --tasks sst2
    refuses "no data: give --tasks A,B" --variants head
    refuses 'did you mean "sst2"?' --tasks sst3 --variants head
    refuses 'did you mean "lora"?' --tasks sst2 --variants lroa:rank=2
    refuses "lora:rnak=2: --rnak: there is no such setting; did you mean --rank?" --tasks sst2 --variants lora:rnak=2
    refuses "lora:rank=0: --rank: expected an integer from 1 to 65536" --tasks sst2 --variants lora:rank=0
    refuses 'expected OPTION=VALUE' --tasks sst2 --variants lora:rank
    refuses "seed is the same for all variants" --tasks sst2 --variants lora:seed=1
    refuses "would share the folder lora-target-modules-query-key" --tasks sst2 --variants 'lora:target-modules=query|key,lora:target-modules=query/key'
    refuses '--seeds: 1 stands there twice' --tasks sst2 --variants lora --seeds 1,1
    refuses '--seeds: expected integers from 0 on, found "a"' --tasks sst2 --variants lora --seeds 0,a
    refuses '--learning-rates: expected numbers above 0, found -1' --tasks sst2 --variants lora --learning-rates=-1,1
    refuses "--force and --resume exclude each other" --tasks sst2 --variants lora --force --resume
    refuses "a comparison has --seeds" --tasks sst2 --variants lora --seed 3
}
