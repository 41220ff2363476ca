#!/usr/bin/env bats
# Own files: what their labels become and what is said of them, quotes, files that are something else.
# shellcheck disable=SC2154 # bats sets status, output and stderr; tiny.bash the paths

load helpers
load tiny

setup_file() {
    tiny_model "$BATS_FILE_TMPDIR/model"
}

setup() {
    model=$BATS_FILE_TMPDIR/model
    mkdir "$BATS_TEST_TMPDIR/here" && cd "$BATS_TEST_TMPDIR/here" || return
    printf 'text,label\nw7 w1,pos\nw8 w2,neg\nw7 w3,pos\n' > own.csv
}

trains() {
    works train --model "$model" --train own.csv --steps 1 --output run "$@"
}

# says TEXT: on standard error
says() {
    [[ $stderr == *"$1"* ]] || { echo "$stderr"; return 1; }
}

says_nothing_of() {
    [[ $stderr != *"$1"* ]] || { echo "$stderr"; return 1; }
}

# refuses CODE TEXT WORD...: the program fails with that exit code, and one line with the text
refuses() {
    local code=$1 text=$2
    shift 2
    peft "$@"
    fails "$code" "$text"
}

# names_classes DIR NAMES: a copy of the model whose id2label has these names
names_classes() {
    cp -r "$model" "$1"
    jq --argjson names "$2" '.id2label = ($names | to_entries | map({(.key | tostring): .value}) | add)' \
        "$model/config.json" > "$1/config.json"
}

@test "the classes are shown with their counts, and their order" {
    trains
    says 'classes in sorted order, with their examples: 0 "neg" (1), 1 "pos" (2)'
    [ "$(jq -c .label_names run/run.json)" = '["neg","pos"]' ]
}

@test "a label that is missing is refused with its line" {
    for label in '' nan None ' '; do
        printf 'text,label\nw1,a\n"w2\nw3",b\nw4,%s\n' "$label" > own.csv
        refuses 3 "own.csv:5: label: it is missing (\"$label\"" train --model "$model" --train own.csv --output run --steps 1
    done
}

@test "labels that are nearly alike, and numbers that look like scores, are noted" {
    printf 'text,label\nw1,neg\nw2,neg \nw3,pos\nw4,Pos\n' > own.csv
    trains
    says '"neg" and "neg " are nearly alike'
    says '"Pos" and "pos" are nearly alike'
    printf 'text,label\nw1,1\nw2,1.0\nw3,2\n' > own.csv
    trains --force
    says '"1" and "1.0" are nearly alike'
    printf 'text,label\nw1,0.5\nw2,1.5\nw3,4\n' > own.csv
    trains --force
    says 'for scores on a scale give --regression'
    trains --force --regression
    says_nothing_of regression
    printf 'text,label\nw1,0\nw2,1\nw3,10\nw4,2\n' > own.csv
    trains --force
    says '0 "0" (1), 1 "1" (1), 2 "2" (1), 3 "10" (1)'
}

@test "a model that names its classes gives their order, in training and in evaluation" {
    names_classes named '["pos", "other", "neg"]'
    works train --model named --train own.csv --dev own.csv --steps 20 --learning-rate 1e-2 --output run
    says "classes as the model's id2label orders them, with their examples: 0 \"pos\" (2), 1 \"other\" (0), 2 \"neg\" (1)"
    [ "$(jq -c .label_names run/run.json)" = '["pos","other","neg"]' ]
    # An adapter as PEFT leaves it says nothing of names: the model's hold, also for a file that lacks a class.
    mkdir plain && cp run/adapter_* plain
    works eval --model named --adapter run --dev own.csv --json
    accuracy=$(jq .metrics.accuracy <<< "$output")
    works eval --model named --adapter plain --dev own.csv --json
    holds ".metrics.accuracy == $accuracy"
    works predict --model named --adapter plain --text w7 --json
    holds '.[0].probabilities | keys == ["neg", "other", "pos"]'
    works merge --model named --adapter plain --output merged
    [ "$(jq -c .id2label merged/config.json)" = '{"0":"pos","1":"other","2":"neg"}' ]
    # Where nothing names them the order is a guess, and that is said.
    works train --model "$model" --train own.csv --steps 1 --output two
    mkdir nameless && cp two/adapter_* nameless
    works eval --model "$model" --adapter nameless --dev own.csv
    says 'nothing names the classes of the head; they are taken in sorted order'
    printf 'text,label\nw1,0\nw2,1\n' > numbers.csv
    works eval --model "$model" --adapter nameless --dev numbers.csv
    says_nothing_of 'sorted'
}

@test "names of classes may be numbers, or a list" {
    for names in '{"0": 5, "1": 6, "2": 7}' '["5", "6", "7"]'; do
        rm -rf named && cp -r "$model" named
        jq --argjson names "$names" '.id2label = $names' "$model/config.json" > named/config.json
        works predict --model named --adapter "$lora" --text w7 --json
        holds '.[0].probabilities | keys == ["5", "6", "7"]'
    done
}

@test "names that two classes share are none" {
    names_classes named '["a", "a", "b"]'
    works predict --model named --adapter "$lora" --text w7 --json
    holds '.[0].probabilities | keys == ["LABEL_0", "LABEL_1", "LABEL_2"]'
}

@test "a label with a NUL in it is no shorter label" {
    printf '{"text": "w1", "label": "1"}\n{"text": "w2", "label": "0"}\n{"text": "w3", "label": "1\\u00002"}\n' > own.jsonl
    refuses 3 'own.jsonl:3: label: expected plain text, found "1\u0000..."' \
        train --model "$model" --train own.jsonl --output run --steps 1
    refuses 3 'own.jsonl:3: score: expected plain text' train --model "$model" --train own.jsonl --output run --steps 1 --regression
}

@test "f1 is about the second class, or the one that is asked for, and it is shown" {
    works train --model "$model" --train own.csv --dev own.csv --steps 1 --output run
    [[ $output == *"(positive: pos)"* ]]
    works train --model "$model" --train own.csv --dev own.csv --steps 1 --output neg --positive-class neg --json
    holds '.positive_class == "neg"'
    works eval --model "$model" --adapter neg --dev own.csv --json
    holds '.positive_class == "neg"'
    of_neg=$(jq .metrics.f1 <<< "$output")
    holds ".metrics.f1 == $(jq .metrics.f1 neg/run.json)"
    works eval --model "$model" --adapter neg --dev own.csv --positive-class pos --json
    holds ".positive_class == \"pos\" and .metrics.f1 != $of_neg"
    refuses 2 'class "ned": unknown; did you mean "neg"?' eval --model "$model" --adapter run --dev own.csv --positive-class ned
    printf 'text,label\nw1,a\nw2,b\nw3,c\n' > own.csv
    refuses 2 'goes with two classes, found 3' train --model "$model" --train own.csv --positive-class a --output x
}

@test "own tables are quoted; GLUE's folders are not; --no-quoting says that own ones are not" {
    printf 'text\tlabel\n"w1 ""w2""\tw3"\ta\nw4\tb\n' > own.tsv
    works train --model "$model" --train own.tsv --steps 1 --output run
    [ "$(jq -r .quoting run/run.json)" = quoted ]
    printf 'text\tlabel\nw1 "w2" w3\ta\nw4\tb\n' > raw.tsv
    refuses 3 'raw.tsv:2: a '\''"'\'' out of place' train --model "$model" --train raw.tsv --steps 1 --output x
    says '--no-quoting'
    printf 'text\tlabel\nw4\tb\n"w1\ta\nw4\tb\n' > open.tsv
    refuses 3 'open.tsv:3: a quoted field in the row that begins here has no closing' \
        train --model "$model" --train open.tsv --steps 1 --output x
    says '--no-quoting'
    works train --model "$model" --train raw.tsv --steps 1 --output raw --no-quoting
    [ "$(jq -r .quoting raw/run.json)" = unquoted ]
    works eval --model "$model" --adapter raw --dev raw.tsv
    says 'read without quotes, as that of the run was'
    works predict --model "$model" --adapter raw --input raw.tsv
    says 'read without quotes, as that of the run was'
    works predict --model "$model" --adapter raw --input raw.tsv --no-quoting
    says_nothing_of 'without quotes'
    mkdir -p data/SST-2
    printf 'sentence\tlabel\nw1 "w2\t0\n"w3" w4\t1\n' | tee data/SST-2/train.tsv > data/SST-2/dev.tsv
    works train --model "$model" --task sst2 --data data --steps 1 --output glue
}

@test "a run of an older version, which says nothing of quotes, goes on without them" {
    printf 'text\tlabel\nw1 "w2" w3\ta\nw4\tb\n' > raw.tsv
    works train --model "$model" --train raw.tsv --steps 2 --output run --no-quoting
    cp run/adapter_model.safetensors before
    # The record leaves the settings, and the checksum the file; as many blanks keep the header as long as it says.
    blanks=$(printf '%25s' '')
    LC_ALL=C sed -i -e "s/\(\"settings\":\".*\)\\\\\"quoting\\\\\":\\\\\"unquoted\\\\\",/$blanks\1/" \
        -e "s/,\"xxh3\":\"[0-9a-f]\{16\}\"/$blanks /" run/checkpoint/checkpoint.safetensors
    ! grep -q unquoted run/checkpoint/checkpoint.safetensors
    rm run/run.json
    works train --model "$model" --train raw.tsv --steps 2 --output run --resume
    cmp run/adapter_model.safetensors before
    [ "$(jq -r .quoting run/run.json)" = 'quoted csv' ]
    works eval --model "$model" --adapter run --dev raw.tsv
    says 'read without quotes, as that of the run was'
}

@test "huge scores are called by their name" {
    printf 'text,label\nw1,1.5\nw2,3e30\n' > own.csv
    refuses 3 'own.csv:3: score: expected a number from -1e+16 to 1e+16, found 3e30' \
        train --model "$model" --train own.csv --regression --steps 1 --output run
    printf 'text,label\nw1,1.5\nw2,3000000000\n' > own.csv
    works train --model "$model" --train own.csv --regression --steps 1 --output run
}

@test "files that are something else are called by their name" {
    printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n' > pointer.csv
    refuses 3 'pointer.csv: this is a Git LFS pointer' train --model "$model" --train pointer.csv --output x
    cp pointer.csv pointer.txt
    refuses 3 'pointer.txt: this is a Git LFS pointer' embed --model "$model" --input pointer.txt
    cp -r "$model" broken
    for file in model.safetensors config.json vocab.txt; do
        cp "$model/config.json" "$model/model.safetensors" "$model/vocab.txt" broken
        cp pointer.csv "broken/$file"
        refuses 3 "$file: this is a Git LFS pointer" embed --model broken --text w1
    done
    printf 'text,label\rw1,a\rw2,b\r' > mac.csv
    refuses 3 'mac.csv: this is text whose lines end with CR alone' train --model "$model" --train mac.csv --output x
    iconv -f UTF-8 -t UTF-16 own.csv > utf16.csv
    refuses 3 'utf16.csv: this is UTF-16 text' train --model "$model" --train utf16.csv --output x
    gzip -c own.csv > packed.csv
    refuses 3 'packed.csv: this is compressed by gzip' train --model "$model" --train packed.csv --output x
}

@test "names from files break no line" {
    printf 'text,"a\nb"\nw1,2\n' > own.csv
    refuses 3 'Known: text, a\nb' train --model "$model" --train own.csv --output x
    printf 'text,label\nw1,"a\tb"\nw2,"c\nd"\n' > own.csv
    trains
    [ "$(wc -l <<< "$stderr")" -eq "$(grep -c '^peft: ' <<< "$stderr")" ]
    works predict --model "$model" --adapter run --text w1
    [ "$(wc -l <<< "$output")" -eq 2 ]
    [ "$(head -n 1 <<< "$output")" = $'label\ta\\tb\tc\\nd' ]
}

@test "a length that the model does not take is said to be cut" {
    trains --max-length 100000
    says '--max-length 100000 is cut to the 64 tokens that the model takes'
    works embed --model "$model" --text w1 --max-length 100000
    says '--max-length is 100000: the model has positions for 64'
    trains --force
    says_nothing_of max-length
}

# ---- task files ----

# writes_tasks: two tasks over own files, in a folder of their own
writes_tasks() {
    mkdir -p tasks
    cp own.csv tasks/train.csv
    printf 'a\tw7 w1\t2\nb\tw8 w2\t1\nc\tw7\t2\n' > tasks/bare.tsv
    cat > tasks/two.yaml << 'EOF'
- name: plain
  description: Tell good from bad.
  files: {train: train.csv, dev: train.csv}
- name: marked
  descriptions: [Tell good from bad.]
  files: {train: bare.tsv, dev: bare.tsv}
  header: [id, body, mark]
  columns: {text: body, label: mark}
  labels: {2: good, 1: bad}
  metrics: [f1, accuracy]
  positive_class: good
EOF
}

@test "a task file trains as the same files do, and its labels and metrics are its own" {
    writes_tasks
    works train --model "$model" --task tasks/two.yaml:plain --steps 3 --output run
    works train --model "$model" --train own.csv --dev own.csv --steps 3 --output own
    cmp run/adapter_model.safetensors own/adapter_model.safetensors
    [ "$(jq -c '[.task, .label_names, .metrics]' run/run.json)" = "$(jq -c '["plain", .label_names, .metrics]' own/run.json)" ]
    works train --model "$model" --task tasks/two.yaml:marked --steps 3 --output marked
    [ "$(jq -c '[.task, .label_names, (.metrics | keys_unsorted), .positive_class]' marked/run.json)" = '["marked",["good","bad"],["f1","accuracy"],"good"]' ]
    works eval --model "$model" --adapter marked --task tasks/two.yaml:marked --json
    holds "(.metrics.accuracy - $(jq .metrics.accuracy marked/run.json) | fabs) < 1e-9"
    works eval --model "$model" --adapter run --task tasks/two.yaml:plain --json
    holds "(.metrics.accuracy - $(jq .metrics.accuracy run/run.json) | fabs) < 1e-9"
    refuses 2 "tasks/two.yaml: holds 2 tasks; name one of them: tasks/two.yaml:plain" train --model "$model" --task tasks/two.yaml --output x
    refuses 2 'tasks/two.yaml: task "plan": unknown; did you mean "plain"?' train --model "$model" --task tasks/two.yaml:plan --output x
    refuses 3 'nowhere/train.csv: cannot open' train --model "$model" --task tasks/two.yaml:plain --data nowhere --output x
    sed -i 's/2: good/3: good/' tasks/two.yaml
    refuses 3 'tasks/bare.tsv:1: label "2": unknown' train --model "$model" --task tasks/two.yaml:marked --output x
    sed -i 's/positive_class/positiv_class/' tasks/two.yaml
    refuses 3 'tasks/two.yaml:11: key "positiv_class": unknown; did you mean "positive_class"?' tasks tasks/two.yaml
}

@test "a task's answer words are those of --head answer-words, in the order of the classes" {
    writes_tasks
    printf '  answer_words: {bad: w40, good: w50}\n' >> tasks/two.yaml
    head=(--head answer-words --steps 2)
    works train --model "$model" --task tasks/two.yaml:marked "${head[@]}" --output run
    works train --model "$model" --task tasks/two.yaml:marked "${head[@]}" --output given --answers w50,w40
    cmp run/adapter_model.safetensors given/adapter_model.safetensors
    works train --model "$model" --task tasks/two.yaml:marked "${head[@]}" --output other --answers w40,w50
    ! cmp -s run/adapter_model.safetensors other/adapter_model.safetensors
}

@test "a run of a task file is resumed where its file lies elsewhere, and not where its labels changed" {
    writes_tasks
    works train --model "$model" --task tasks/two.yaml:marked --steps 4 --output whole
    works train --model "$model" --task tasks/two.yaml:marked --steps 4 --output run
    mv tasks moved
    sed -i 's/Tell good/Always tell good/' moved/two.yaml
    works train --model "$model" --task moved/two.yaml:marked --steps 4 --output run --resume
    cmp run/adapter_model.safetensors whole/adapter_model.safetensors
    sed -i 's/2: good, 1: bad/1: bad, 2: good/' moved/two.yaml
    peft train --model "$model" --task moved/two.yaml:marked --steps 4 --output run --resume
    fails 2 task
}

@test "peft tasks shows a file of tasks, and the example is one" {
    writes_tasks
    works tasks tasks/two.yaml
    [[ "$output" == *plain* && "$output" == *marked* ]]
    works tasks tasks/two.yaml:marked --json
    holds '.labels == ["good", "bad"] and .descriptions == ["Tell good from bad."] and .splits == ["train", "dev"]'
    works tasks "$BATS_TEST_DIRNAME/../../examples/tasks.yaml" --json
    holds 'map(.name) == ["kind", "sense"] and all(.[]; .descriptions | length > 0)'
}
