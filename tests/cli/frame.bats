#!/usr/bin/env bats
# What holds for every verb: help, version, wrong words, exit codes, completion, manual pages.
# shellcheck disable=SC2016 # the inner shell expands $PEFT

load helpers

verbs() {
    "$PEFT" --help | sed -n '/^Verbs:$/,/^$/s/^  \([a-z-]*\) .*/\1/p'
}

@test "--help lists the verbs on stdout" {
    peft --help
    [ "$status" -eq 0 ]
    [ -z "$stderr" ]
    [[ "$output" == "Usage: peft VERB"* ]]
    [[ "$(verbs)" == *completion* ]]
}

@test "every verb's --help begins with an example of that verb" {
    for verb in $(verbs); do
        peft "$verb" --help
        [ "$status" -eq 0 ]
        [ "${lines[0]}" = "Example:" ]
        [[ "${lines[1]}" == *"peft $verb"* || "${lines[2]}" == *"peft $verb"* ]]
    done
}

@test "help keeps to 100 columns" {
    for verb in $(verbs); do
        "$PEFT" "$verb" --help | { ! grep -E '.{101}'; }
    done
}

@test "--version is one line, --verbose adds the libraries" {
    peft --version
    [ "$status" -eq 0 ]
    [[ "$output" =~ ^peft\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
    peft --version --verbose
    [[ "$output" == *$'\n'"jansson "* ]]
}

@test "--help and --version load no numeric library" {
    run ldd "$PEFT"
    [[ ! "$output" =~ (blis|dnnl|lapack|openblas|mpi) ]]
}

@test "wrong usage: one line, exit code 2, the nearest word" {
    peft
    fails 2 "a verb is missing"
    peft completoin
    fails 2 'did you mean "completion"?'
    peft man --thraeds 2
    fails 2 "did you mean --threads?"
    peft man --threads many
    fails 2 'expected an integer from 0 to 1024, found "many"'
    peft man --threads -1
    fails 2 'expected an integer from 0 to 1024, found "-1"'
    peft completion tcsh
    fails 2 "Known: bash, zsh, fish"
    peft completion
    fails 2 "bash|zsh|fish is missing"
    peft --quiet man
    fails 2 "options follow the verb"
}

@test "a configuration file: missing 3, malformed 3, unknown key 2" {
    cd "$BATS_TEST_TMPDIR"
    peft man --config none.yaml
    fails 3 "none.yaml"
    echo 'threads: [' > broken.yaml
    peft man --config broken.yaml
    fails 3 "broken.yaml"
    echo 'thread: 2' > unknown.yaml
    peft man --config unknown.yaml
    fails 2 "unknown.yaml: thread: there is no such setting; did you mean threads?"
    echo '{"threads": "2"}' > wrong.json
    peft man --config wrong.json
    fails 2 'wrong.json: threads: expected an integer from 0 to 1024, found "2"'
}

@test "--print-config: flags before file before defaults, and reads back" {
    cd "$BATS_TEST_TMPDIR"
    printf 'threads: 3\nquiet: true\n' > run.yaml
    "$PEFT" man --config run.yaml --threads 5 --print-config > shown.json
    grep -q '"threads": 5' shown.json
    grep -q '"quiet": true' shown.json
    grep -q '"verbose": false' shown.json
    "$PEFT" man --config shown.json --print-config | cmp - shown.json
}

@test "results that cannot be written are a failure" {
    [ -e /dev/full ] || skip "no /dev/full"
    run --separate-stderr bash -c '"$PEFT" --help > /dev/full'
    [ "$status" -eq 1 ]
    [[ "$stderr" == "peft: standard output: cannot write, there is no space for it: "* ]]
}

@test "variants: every method of the build and what to compare it with; one with all its options" {
    peft variants
    [ "$status" -eq 0 ]
    for name in $("$PEFT" variants --json | jq -r '.[].name') head full; do
        grep -qE "^$name +y = " <<< "$output"
        "$PEFT" train --variant "$name" --print-config | jq -e --arg name "$name" ".variant == \$name" > /dev/null
    done
    peft variants lora2
    [[ "$output" == *"y = W x + b + (alpha / r) B2 B1 (E * (A1 A2 x))"*"--orth-reg-weight"* ]]
    peft variants loar
    [ "$status" -eq 2 ]
    [[ "$stderr" == *"did you mean"*"Known: adalora, dora, "* ]]
}

@test "bash completes verbs, flags and known values" {
    eval "$("$PEFT" completion bash)"
    completes() { # WORD EXPECTED WORDS...: what is offered for the last word
        local expected=$1
        shift
        COMP_WORDS=("$@")
        COMP_CWORD=$(($# - 1))
        _peft
        [ "${COMPREPLY[*]}" = "$expected" ] || { echo "offered: ${COMPREPLY[*]}"; return 1; }
    }
    completes "completion" peft compl
    completes "--print-config" peft man --pri
    completes "zsh" peft completion z
    completes "" peft man --config ""
}

@test "manual pages have no errors" {
    command -v man > /dev/null || skip "no man"
    for verb in "" $(verbs); do
        run --separate-stderr bash -c '"$PEFT" man $1 | man --warnings -l - > /dev/null' bash "$verb"
        [ "$status" -eq 0 ]
        [ -z "$stderr" ] || { echo "$stderr"; return 1; }
    done
}
