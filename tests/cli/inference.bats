#!/usr/bin/env bats
# embed, predict, eval: what they compute, what they print, and what they refuse.
# shellcheck disable=SC2154 # bats sets output and stderr, tiny.bash the paths

load helpers
load tiny

setup_file() {
    tiny_model "$BATS_FILE_TMPDIR/tiny"
}

setup() {
    model=$BATS_FILE_TMPDIR/tiny
    cd "$BATS_TEST_TMPDIR" || return
}

# close A B: numbers that differ by less than 2e-6, the rounding of six digits and of float32
close() {
    awk -v a="$1" -v b="$2" 'BEGIN { exit (a - b)^2 >= 4e-12 }' || { echo "$1, expected $2"; return 1; }
}

# closes EXPECTED...: the numbers in $output, one a line
closes() {
    local numbers
    mapfile -t numbers <<< "$output"
    [ "${#numbers[@]}" -eq $# ]
    for expected in "$@"; do
        close "${numbers[0]}" "$expected"
        numbers=("${numbers[@]:1}")
    done
}

probabilities() {
    run bash -c "jq '.[0].probabilities[]'" <<< "$output"
}

# ---- predict ----

# The known sequence is 118 69 25 8 93; transformers and PEFT give the logits -1.004220, 0.306577, 0.567106 without and
# -1.490763, -0.026199, 1.034275 with the adapter.
@test "predict agrees with transformers on the model's own head" {
    works predict --model "$model" --text "w69 w25 w8" --json
    [ -z "$stderr" ]
    holds '.[0].label == "LABEL_2"'
    probabilities
    closes 0.1050177 0.3895265 0.5054558
}

@test "predict agrees with PEFT on an adapter, on every backend" {
    for backend in $("$PEFT" --version --verbose | sed -n 's/^backends \(.*\),.*/\1/p'); do
        works predict --model "$model" --adapter "$lora" --text "w69 w25 w8" --json --backend "$backend"
        probabilities
        closes 0.0561261 0.2427821 0.7010918
    done
}

# Weights and features rounded to 8 bits: probabilities move in the third digit.
@test "predict and embed in bf16 are near those in f32, and differ" {
    "$PEFT" --version --verbose | grep -q '^dtypes.* bf16' || skip "no bf16 on this CPU or in this build"
    works predict --model "$model" --adapter "$lora" --text "w69 w25 w8" --json --dtype bf16
    holds '[.[0].probabilities[] | . * 50 | round] == [3, 12, 35]'
    holds '.[0].probabilities.LABEL_0 | (. - 0.0561261 | fabs) > 1e-6'
    works embed --model "$model" --text "w69 w25 w8" --dtype bf16 --json
}

@test "bf16 with a backend that lacks it is refused" {
    peft predict --model "$model" --text w5 --dtype bf16 --backend portable
    fails 1 "bf16: backend portable has f32 alone; expected onednn"
}

@test "predict prints a table: a heading, then a row for each text" {
    printf 'w69 w25 w8\n\nw5\n' > texts.txt
    works predict --model "$model" --adapter "$lora" --input texts.txt
    [ "${lines[0]}" = "label"$'\t'"LABEL_0"$'\t'"LABEL_1"$'\t'"LABEL_2" ]
    [ "${lines[1]}" = "LABEL_2"$'\t'"0.056126"$'\t'"0.242782"$'\t'"0.701092" ]
    [ "${#lines[@]}" -eq 4 ]
}

@test "predict takes pairs from words, lines and columns alike" {
    works predict --model "$model" --text "w5 w6" --text-pair "w7"
    expected=$output
    printf 'w5 w6\tw7\n' > pairs.txt
    works predict --model "$model" --input pairs.txt
    [ "$output" = "$expected" ]
    printf 'a\tb\nw5 w6\tw7\n' > pairs.tsv
    works predict --model "$model" --input pairs.tsv --text-column a --text-pair-column b
    [ "$output" = "$expected" ]
    printf '{"a": "w5 w6", "b": "w7"}\n' > pairs.jsonl
    works predict --model "$model" --input pairs.jsonl --text-column a --text-pair-column b
    [ "$output" = "$expected" ]
    works predict --model "$model" --text "w5 w6 w7"
    [ "$output" != "$expected" ]
}

@test "a head that nobody trained is refused" {
    # The same file with the head under names of equal length that a pre-training head may have.
    tiny_model headless
    LC_ALL=C sed 's/"classifier.weight"/"predictions.weigh"/; s/"classifier.bias"/"predictions.bia"/' \
        "$model/model.safetensors" > headless/model.safetensors
    peft predict --model headless --text w5
    fails 2 "headless has no trained head (classifier)"
    works predict --model headless --adapter "$lora" --text "w69 w25 w8" --json
    probabilities
    closes 0.0561261 0.2427821 0.7010918
    works embed --model headless --text w5
}

# A base as masked-word checkpoints are: its pooler lies under a name that nobody knows.
without_pooler() {
    tiny_model "$1"
    LC_ALL=C sed 's/"bert\.pooler\.dense/"misc.poolin.dense/g' "$model/model.safetensors" > "$1/model.safetensors"
}

@test "a base without pooler: drawn with a note, trained, saved, and then no word about it" {
    without_pooler base
    works predict --model base --adapter "$lora" --text "w69 w25 w8"
    [[ "$stderr" == *"2 tensors of the file not used by this model: misc.poolin.dense.bias, misc.poolin.dense.weight"* ]]
    [[ "$stderr" == *"drawn at random: results are arbitrary until trained: bert.pooler.dense.weight"* ]]
    works train --model base --task rte --data "$fixtures/glue" --output run --target-modules all-linear --steps 3
    [[ "$stderr" == *"drawn at random"*"bert.pooler.dense.weight"* ]]
    jq -e '.modules_to_save == ["bert.pooler.dense", "classifier"]' run/adapter_config.json
    works predict --model base --adapter run --text "w69 w25 w8"
    [[ "$stderr" != *"drawn at random"* ]]
    expected=$output
    works merge --model base --adapter run --output merged --verify
    works predict --model merged --text "w69 w25 w8"
    [ "$output" = "$expected" ]
    [ -z "$stderr" ]
}

@test "hidden states need no pooler" {
    without_pooler base
    works embed --model base --text w5
    [[ "$stderr" != *pooler* ]]
}

# Little-endian bytes of a number of 64 bits.
little_endian() {
    local shift
    for shift in 0 8 16 24 32 40 48 56; do
        # shellcheck disable=SC2059 # the format is the byte
        printf "\\x$(printf %02x $(($1 >> shift & 255)))"
    done
}

# A base of one token type: the row of the second becomes a tensor that nobody knows.
of_one_type() {
    local from=$model/model.safetensors size header
    tiny_model "$1"
    jq '.type_vocab_size = 1' "$model/config.json" > "$1/config.json"
    size=$(od -An -t u8 -N 8 "$from" | tr -d ' ')
    header=$(head -c $((8 + size)) "$from" | tail -c +9 | jq -c '
        .["bert.embeddings.token_type_embeddings.weight"] as {data_offsets: [$first, $last]}
        | .["bert.embeddings.token_type_embeddings.weight"] |=
            (.shape = [1, 32] | .data_offsets = [$first, ($first + $last) / 2])
        | .second = {dtype: "F32", shape: [1, 32], data_offsets: [($first + $last) / 2, $last]}')
    { little_endian ${#header}; printf '%s' "$header"; tail -c +$((9 + size)) "$from"; } > "$1/model.safetensors"
}

@test "a model of one token type takes single texts and no pairs" {
    of_one_type base
    works embed --model base --text w5
    peft predict --model base --adapter "$lora" --text w5 --text-pair w6
    [ "$status" -eq 2 ]
    [[ "$stderr" == *"base: type_vocab_size is 1: this model takes single texts, no pairs"* ]]
    jq '.type_vocab_size = 1' "$model/config.json" > base/config.json
    cp "$model/model.safetensors" base
    peft embed --model base --text w5
    fails 3 "token_type_embeddings.weight: expected [1, 32], found [2, 32]"
}

# ---- embed ----

@test "embed: a row for each line, also for an empty one and without a last line end; each of length 1" {
    printf 'w5 w6\n\nw7' > texts.txt
    works embed --model "$model" --input texts.txt
    [ -z "$stderr" ]
    [ "${#lines[@]}" -eq 3 ]
    for line in "${lines[@]}"; do
        [ "$(wc -w <<< "$line")" -eq 32 ]
        close "$(awk '{ for (k = 1; k <= NF; k++) s += $k * $k; print s }' <<< "$line")" 1
    done
    empty=${lines[1]}
    works embed --model "$model" --text ""
    [ "$output" = "$empty" ]
}

@test "embed: standard input, a file, CR LF and a byte-order mark give the same numbers" {
    printf 'w5 w6\nw7\n' > unix.txt
    printf '\xef\xbb\xbfw5 w6\r\nw7\r\n' > windows.txt
    works embed --model "$model" --input unix.txt
    expected=$output
    works embed --model "$model" --input windows.txt
    [ "$output" = "$expected" ]
    works embed --model "$model" --input - < unix.txt
    [ "$output" = "$expected" ]
}

@test "embed: what stands beside a text in a batch does not change its vector" {
    for k in $(seq 1 100); do echo "w$k w$((k % 7)) w$((k % 13))"; done > texts.txt
    "$PEFT" embed --model "$model" --input texts.txt --quiet > together
    "$PEFT" embed --model "$model" --input texts.txt --quiet --batch-tokens 8 --threads 1 > apart
    cmp together apart
}

@test "embed --json is one document with the same numbers" {
    printf 'w5 w6\nw7\n' > texts.txt
    works embed --model "$model" --input texts.txt
    rows=$output
    works embed --model "$model" --input texts.txt --json
    holds '.embeddings | length == 2'
    [ "$(tr -d '[],{}' <<< "$output" | sed '1d; $d; s/  */ /g')" = "$rows" ]
}

@test "embed with an adapter is another vector, and long texts are cut with a note" {
    works embed --model "$model" --text "w5 w6 w7"
    base=$output
    works embed --model "$model" --adapter "$lora" --text "w5 w6 w7"
    [ "$output" != "$base" ]
    works embed --model "$model" --text "w5 w6 w7" --max-length 4
    [[ "$stderr" == "peft: 1 of 1 texts are longer than 4 tokens and were cut" ]]
    cut=$output
    works embed --model "$model" --text "w5 w6"
    [ "$output" = "$cut" ]
}

@test "embed pools, normalizes and cuts as modules.json says" {
    cp -r "$model" st
    chmod -R u+w st
    mkdir st/1_Pooling
    module() { printf '{"path": "%s", "type": "sentence_transformers.models.%s"}' "$1" "$2"; }
    echo '{"pooling_mode_cls_token": true}' > st/1_Pooling/config.json
    echo "[$(module "" Transformer), $(module 1_Pooling Pooling)]" > st/modules.json
    works embed --model st --text "w5 w6 w7" --json
    cls=$output
    echo '{"pooling_mode_mean_tokens": true}' > st/1_Pooling/config.json
    echo "[$(module "" Transformer), $(module 1_Pooling Pooling), $(module 2_Normalize Normalize)]" > st/modules.json
    works embed --model st --text "w5 w6 w7" --json
    [ "$output" != "$cls" ]
    mean=$output
    works embed --model "$model" --text "w5 w6 w7" --json
    [ "$output" = "$mean" ]
    echo '{"max_seq_length": 4}' > st/sentence_bert_config.json
    works embed --model st --text "w5 w6 w7"
    [[ "$stderr" == *"longer than 4 tokens"* ]]
    works embed --model st --text "w5 w6 w7" --max-length 32 --json
    [ "$output" = "$mean" ]
    [ -z "$stderr" ]
    works embed --model st --text "w5 w6 w7" --max-length 100000 --json
    [[ "$stderr" == *"--max-length is 100000: the model has positions for 64"* ]]
    echo "[$(module "" Transformer), $(module 1_Pooling Pooling), $(module 2_LSTM LSTM)]" > st/modules.json
    peft embed --model st --text w5
    fails 1 "a module of type LSTM is not offered"
}

@test "embed, predict: what is asked for has to be clear" {
    peft embed --model "$model"
    fails 2 "either --text S or --input FILE, found neither"
    peft embed --model "$model" --text a --input b
    fails 2 "found both"
    peft embed --text a
    fails 2 "--model"
    peft embed --model "$model" --text a --max-lenght 3
    fails 2 "did you mean --max-length?"
    peft predict --model "$model" --input a.txt --text-pair b
    fails 2 "--text-pair goes with --text"
    peft predict --model "$model" --input a.txt --text-pair-column b
    fails 2 "--text-pair-column goes with"
    peft embed --model "$model" --text a --backend abacus
    fails 2 "abacus"
}

@test "bad texts: code 3, file and line" {
    peft embed --model "$model" --input none.txt
    fails 3 "none.txt"
    : > empty.txt
    peft embed --model "$model" --input empty.txt
    fails 3 "empty.txt: the file is empty"
    printf 'w5\nw\x00x\n' > nul.txt
    peft embed --model "$model" --input nul.txt
    fails 3 "nul.txt:2: byte 2 of the line: a NUL byte"
    printf 'w5\nw\xff\n' > latin.txt
    peft embed --model "$model" --input latin.txt
    fails 3 "latin.txt:2: byte 2 of the line: expected UTF-8, found 0xFF"
    peft embed --model "$model" --text $'w\xff'
    fails 2 "--text: the value is not valid UTF-8"
    printf 'text\tother\nw5\tw6\n' > table.tsv
    peft embed --model "$model" --input table.tsv --text-column txet
    fails 3 'table.tsv:1: column "txet": unknown; did you mean "text"?'
    printf 'w5\tw6\nw7\n' > pairs.txt
    peft predict --model "$model" --input pairs.txt
    fails 3 "pairs.txt:2: expected two texts with one tab between them, found 0 tabs"
    peft embed --model "$model" --input - < /dev/null
    fails 3 "standard input: the file is empty"
}

@test "bad models and adapters: code 3, the file" {
    peft embed --model nowhere --text a
    fails 3 "nowhere/config.json"
    tiny_model cut
    head -c 50000 "$model/model.safetensors" > cut/model.safetensors
    peft embed --model cut --text a
    fails 3 "cut/model.safetensors"
    peft predict --model "$model" --adapter nowhere --text a
    fails 3 "nowhere/adapter_model.safetensors"
    cp -r "$lora" damaged
    chmod -R u+w damaged
    head -c 100 "$lora/adapter_model.safetensors" > damaged/adapter_model.safetensors
    peft predict --model "$model" --adapter damaged --text a
    fails 3 "damaged/adapter_model.safetensors"
    # An adapter of another model: this one has a layer less.
    tiny_model shallow
    jq '.num_hidden_layers = 1' "$model/config.json" > shallow/config.json
    peft embed --model shallow --text a
    fails 3 "unexpected in a bert model of 1 layers"
    tiny_model wordy
    printf 'w%s\n' $(seq 120 140) >> wordy/vocab.txt
    peft embed --model wordy --text a
    fails 3 "the tokenizer has ids up to 140, the model 120 embeddings"
}

# ---- eval ----

@test "eval says of a trained run what the run said of itself" {
    works train --model "$model" --task rte --data "$fixtures/glue" --output run --rank 2 --steps 3 --quiet
    works eval --model "$model" --adapter run --task rte --data "$fixtures/glue" --json
    holds "(.metrics.accuracy - $(jq .metrics.accuracy run/run.json)) | fabs < 1e-12"
    holds '([.examples, .task, .split, .truncated_examples]) == [3,"rte","dev",0]'
    works eval --model "$model" --adapter run --task rte --data "$fixtures/glue"
    [[ "$output" == "rte, dev, 3 examples: accuracy "* ]]
    works eval --model "$model" --adapter run --task rte --data "$fixtures/glue" --split train
    [[ "$output" == "rte, train, 2 examples: accuracy "* ]]

    # run.json names the classes: predict shows them, and own files may have them in any number and order.
    works predict --model "$model" --adapter run --text w5
    [ "${lines[0]}" = "label"$'\t'"entailment"$'\t'"not_entailment" ]
    predicted=${lines[1]%%$'\t'*}
    printf 'text\tlabel\nw5\t%s\n' "$predicted" > own.tsv
    works eval --model "$model" --adapter run --dev own.tsv --json
    holds '([.metrics.accuracy, .task, .examples]) == [1.0,"own",1]'
    printf 'text\tlabel\nw5\tentialment\n' > own.tsv
    peft eval --model "$model" --adapter run --dev own.tsv
    fails 3 'own.tsv:2: label "entialment": unknown; did you mean "entailment"?'
}

@test "eval and predict of a score" {
    works train --model "$model" --task stsb --data "$fixtures/glue" --output run --rank 2 --steps 2 --quiet
    works predict --model "$model" --adapter run --text w5 --text-pair w6
    [ "${lines[0]}" = score ]
    [[ "${lines[1]}" =~ ^-?[0-9.]+$ ]]
    works predict --model "$model" --adapter run --text w5 --text-pair w6 --json
    holds '.[0].score | type == "number"'
    printf 'text\tlabel\nw5\t1.5\nw6 w7\t0.5\nw8\t2\n' > own.tsv
    works eval --model "$model" --adapter run --dev own.tsv --regression --json
    holds '(.metrics | keys) == ["pearson","spearman"]'
}

@test "eval: the data and the head have to fit, and to be there" {
    peft eval --model "$model" --adapter "$lora"
    fails 2 "no data"
    peft eval --model "$model" --adapter "$lora" --task rte
    fails 2 "--task rte needs --data DIR"
    peft eval --model "$model" --adapter "$lora" --task rtee --data "$fixtures/glue"
    fails 2 'did you mean "rte"?'
    peft eval --model "$model" --adapter "$lora" --task rte --data "$fixtures/glue"
    fails 3 "task rte has 2 classes, the model's head has 3 classes"
    peft eval --model "$model" --task mnli --data "$fixtures/glue" --split devv
    fails 2 "devv"
    peft eval --model "$model" --task mnli --data "$fixtures/glue" --split test
    fails 2 "no labels"
    peft eval --model "$model" --dev x.tsv --split test
    fails 2 "--split test goes with --task"
}

# ---- answers in place of a head ----

@test "texts are compared with answers, and need no head" {
    works predict --model "$model" --answers "w69 w25 w8,w5" --text "w69 w25 w8" --json
    # its own vector: a logit of 20, and of 20 times the cosine
    holds '.[0].label == "w69 w25 w8"'
    works embed --model "$model" --text "w69 w25 w8" --json
    first=$output
    works embed --model "$model" --text "w5" --json
    expected=$(jq -s '[.[0].embeddings[0], .[1].embeddings[0]] | transpose | map(.[0] * .[1]) | add |
        1 / (1 + (20 * (. - 1) | exp))' <<< "$first$output")
    works predict --model "$model" --answers '{"a": "w69 w25 w8", "b": "w5"}' --text "w69 w25 w8" --json
    holds ".[0].label == \"a\" and (.[0].probabilities.a - $expected | fabs) < 1e-5"
    works predict --model "$model" --answers '{"a": "w69 w25 w8", "b": "w5"}' --answer-scale 1e-3 --text "w69" --json
    holds '.[0].probabilities.a - 0.5 | fabs < 1e-3'
}

@test "answers that cannot be" {
    peft predict --model "$model" --answers w5 --text w5
    fails 2 "answers: expected at least 2, found 1"
    peft predict --model "$model" --answers w5,w5 --text w5
    fails 2 'answers: "w5" stands for two classes'
    peft predict --model "$model" --answers '{"a": 3, "b": "w5"}' --text w5
    fails 2 "answers: expected texts, found 3"
    peft predict --model "$model" --adapter "$lora" --answers w5,w6 --text w5
    fails 2 "has a head of its own: leave the answers out"
    cp -r "$model" dense && mkdir dense/1_Dense
    echo '[{"type": "sentence_transformers.models.Transformer", "path": ""},
           {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}]' > dense/modules.json
    mkdir dense/1_Pooling
    echo '{"word_embedding_dimension": 32, "pooling_mode_max_tokens": true}' > dense/1_Pooling/config.json
    peft predict --model dense --answers w5,w6 --text w5
    fails 1 "pooling: expected mean or cls alone, found max"
}
