#!/usr/bin/env bats
# RoBERTa, DistilBERT and MPNet: what is done with a BERT is done with these.
# shellcheck disable=SC2154 # bats sets status, output and stderr; tiny.bash the paths

load helpers
load tiny

# GPT-2's tokenizer, of bytes that are never joined.
byte_tokenizer() {
    echo '{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4, "w": 5, "\u0120": 6, "0": 7, "1": 8, "2": 9, "3": 10,
        "4": 11, "5": 12, "6": 13, "7": 14, "8": 15, "9": 16}' > "$1/vocab.json"
    echo "#version: 0.2" > "$1/merges.txt"
    echo '{"tokenizer_class": "RobertaTokenizer"}' > "$1/tokenizer_config.json"
}

# model_of NAME: its folder, in the working folder
model_of() {
    mkdir "$1"
    cp "$fixtures/goldens/models/$1"/{config.json,model.safetensors} "$fixtures"/tiny-bert/* "$1"
    chmod -R u+w "$1"
    [ "$1" != roberta ] || { rm "$1/vocab.txt" && byte_tokenizer "$1"; }
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    awk 'BEGIN {
        print "text\tlabel"
        for (i = 0; i < 64; i++) print "w" (i % 2 ? 7 : 8) " w" (9 + i % 7) "\t" (i % 2 ? "odd" : "even")
    }' > train.tsv
    for name in roberta distilbert mpnet; do model_of $name; done
    settings=(--train train.tsv --dev train.tsv --batch-size 8 --rank 2)
}

@test "train, eval, predict and merge: what was learned is used" {
    for name in roberta distilbert mpnet; do
        works train --model $name "${settings[@]}" --output $name-run --epochs 20 --learning-rate 1e-2 --json
        holds '.metrics.accuracy == 1'
        works eval --model $name --adapter $name-run --dev train.tsv --json
        holds '.metrics.accuracy == 1'
        works predict --model $name --adapter $name-run --text "w7 w9" --json
        holds '.[0].label == "odd"'
        expected=$(jq -c '.[0].probabilities | map_values(. * 1e4 | round)' <<< "$output")
        works merge --model $name --adapter $name-run --output $name-merged --verify
        works predict --model $name-merged --text "w7 w9" --json
        holds ".[0].probabilities | map_values(. * 1e4 | round) == $expected"
        works inspect $name-merged
    done
}

@test "a run on each is the same for any number of threads, and after a stop" {
    for name in roberta distilbert mpnet; do
        works train --model $name "${settings[@]}" --output $name-one --steps 6 --threads 1
        works train --model $name "${settings[@]}" --output $name-two --steps 6 --threads 2 --checkpoint-every 4
        cmp $name-one/adapter_model.safetensors $name-two/adapter_model.safetensors
        rm $name-two/run.json
        works train --model $name "${settings[@]}" --output $name-two --steps 6 --checkpoint-every 4 --resume
        cmp $name-one/adapter_model.safetensors $name-two/adapter_model.safetensors
    done
}

@test "answer words and sentence vectors" {
    for name in roberta distilbert mpnet; do
        works embed --model $name --text "w7 w9" --json
        holds '.embeddings[0] | length == 32 and (map(. * .) | add - 1 | fabs < 1e-5)'
        works train --model $name "${settings[@]}" --head answer-words --answers w40,w50 \
            --output $name-run --epochs 20 --learning-rate 1e-2
        works eval --model $name --adapter $name-run --dev train.tsv --json
        holds '.metrics.accuracy == 1'
    done
    peft train --model mpnet "${settings[@]}" --head answer-words --output none
    fails 2 'answers: "even" and "odd" have the same vector; does the tokenizer know them?'
}

@test "every weight is trained, a bias to the scores among them" {
    for name in roberta distilbert mpnet; do
        works train --model $name --train train.tsv --batch-size 8 --variant full --output $name-full --steps 2
        works predict --model $name-full --text "w7 w9"
    done
}
