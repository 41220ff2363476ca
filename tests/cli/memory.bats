#!/usr/bin/env bats
# Short memory: from the limit at which the program starts, every verb ends well or with exit code 4 and one line; never
# by a signal, never with another backend's results. MEMORY_STEP_KB=100 takes finer steps than the tests of every day.
# shellcheck disable=SC2154 # bats sets status, output and stderr, tiny.bash the paths

load helpers
load tiny

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    tiny_model model
    printf 'text,label\n' > data.csv
    for k in {1..20}; do printf 'w%d w%d,%s\n' "$k" $((k + 1)) $((k % 3)) >> data.csv; done
    train=(train --model model --train data.csv --dev data.csv --steps 2 --output run --force --quiet)
}

# limited KB WORD...: the program with so much address space
limited() {
    run --separate-stderr bash -c 'ulimit -v "$1" -c 0; shift; exec "$@"' - "$1" "$PEFT" "${@:2}"
}

# The least memory in which the program starts at all.
least() {
    local kb=8000
    until (ulimit -v "$kb" -c 0 && "$PEFT" --version > /dev/null 2>&1); do kb=$((kb + 100)); done 2> /dev/null
    echo "$kb"
}

# sweep WORD...: the verb under one limit after another, until it has worked under some
sweep() {
    local first kb worked=0
    first=$(least)
    for ((kb = first; worked < 3; kb += ${MEMORY_STEP_KB:-7000})); do
        [ "$kb" -lt $((first + 1000000)) ] || { echo "never worked: $*"; return 1; }
        limited "$kb" "$@"
        if [ "$status" -eq 0 ]; then
            worked=$((worked + 1))
        else
            ((status == 4 && ${#stderr_lines[@]} == 1)) || { echo "$kb KB: $* ends in $status: $stderr"; return 1; }
        fi
    done
}

dtypes() {
    "$PEFT" --version --verbose | sed -n 's/^dtypes //p'
}

@test "train" {
    for dtype in $(dtypes); do sweep "${train[@]}" --dtype "$dtype"; done
}

@test "train with start values from decompositions" {
    sweep "${train[@]}" --init pissa
}

@test "plan, eval and embed" {
    for dtype in $(dtypes); do
        sweep plan --model model --train data.csv --dtype "$dtype"
        sweep eval --model model --adapter "$lora" --dev data.csv --dtype "$dtype"
        sweep embed --model model --text "w1 w2" --dtype "$dtype"
    done
}

@test "merge and convert" {
    sweep merge --model model --adapter "$lora" --output merged --force
    sweep merge --model model --adapter "$lora" --output merged --force --verify
    sweep convert --adapter "$fixtures/goldens/variants/adalora/adapter" --output converted --force
}

@test "the backend stays the same" {
    works "${train[@]}"
    wanted=$(jq -r .cpu.backend run/run.json)
    first=$(least)
    for ((kb = first; kb < first + 120000; kb += ${MEMORY_STEP_KB:-7000})); do
        rm -rf run
        limited "$kb" "${train[@]}"
        [ "$status" -ne 0 ] || [ "$(jq -r .cpu.backend run/run.json)" = "$wanted" ]
    done
}
