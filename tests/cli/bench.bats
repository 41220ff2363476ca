#!/usr/bin/env bats
# bench: what the documents hold and how its figures hang together; no figure itself, since those are the machine's.
# shellcheck disable=SC2154,SC2016 # bats sets output and stderr, tiny.bash the paths; $ in filters is jq's

load helpers
load tiny

setup_file() {
    tiny_model "$BATS_FILE_TMPDIR/tiny"
}

setup() {
    model=$BATS_FILE_TMPDIR/tiny
    cd "$BATS_TEST_TMPDIR" || return
}

# steps WORD...: `bench step` on full batches of 8 sequences of 16 tokens
steps() {
    works bench step --model "$model" --sequences 8 --length 16 --steps 3 --json --quiet "$@"
    [ -z "$stderr" ]
}

@test "gemm: the products of a model beside the peak" {
    works bench gemm --model "$model" --sequences 8 --length 16 --dtype f32 --json --quiet
    holds '[.bench, .rows] == ["gemm", 128]'
    # two layers of 32 and 80 features: query, key, value and output; intermediate; output
    holds '[.products[] | [.out_features, .in_features, .layers]] == [[32, 32, 8], [80, 32, 2], [32, 80, 2]]'
    holds '.limits.peak_gflops.f32 as $peak | [.products[] | [.forward_gflops / $peak / .forward_share,
        .backward_gflops / $peak / .backward_share]] | flatten | all(. > 0.999 and . < 1.001)'
    holds '[.limits.bandwidth_gbs, .cpu.model, .cpu.backend, .versions.blis] | all(. != null)'
    works bench gemm --shape minilm --sequences 1 --length 8 --dtype f32 --quiet
    [[ "$output" == *"limits of this machine: "*" GFLOP/s in f32 "*"minilm  1536 x 384 "* ]]
}

@test "gemm: a backend without bf16 has f32 alone, and the shapes are MiniLM's and BERT-base's where no model is given" {
    works bench gemm --backend portable --sequences 1 --length 8 --json --quiet
    holds '[.products[].dtype] | unique == ["f32"]'
    holds '[.products[] | [.model, .layers]] == [["minilm", 24], ["minilm", 6], ["minilm", 6],
        ["bert-base", 48], ["bert-base", 12], ["bert-base", 12]]'
}

@test "step: stable keys" {
    steps --rank 2
    holds '[.bench, .variant, .data, .sequences, .length, .steps, .tokens, .checkpoint_layers]
        == ["step", "lora", "full batches", 8, 16, 3, 384, false]'
    holds '[.tokens_per_second, .tokens_per_second_best, .tokens_per_second_mean, .step_seconds, .step_seconds_best,
        .achieved_gflops, .share_of_peak, .peak_memory_bytes, .anonymous_bytes, .planned_memory_bytes, .mapped_bytes,
        .start_seconds.model, .start_seconds.packing, .start_seconds.plan, .start_seconds.first_step,
        .start_seconds.total, .limits.peak_gflops.f32, .limits.bandwidth_gbs] | all(. > 0)'
    holds '[.model, .cpu.model, .versions.libpeft] | all(. != null)'
    holds '.tokens_per_second <= .tokens_per_second_best and .step_seconds_best <= .step_seconds'
    holds '.start_seconds | .total >= ([to_entries[] | select(.key != "total") | .value] | add)'
}

@test "step: the shares of all ops and of the rest are the whole step" {
    steps
    holds '([.ops[].share] | add) + .rest.share | . > 0.999999 and . < 1.000001'
    holds '([.ops[].seconds] | add) + .rest.seconds | . > 0'
    holds '[.ops[].seconds] | . == (sort | reverse)'
    holds '[.ops[] | .limit == "compute" or .limit == "memory"] | all'
}

# T tokens in S sequences; P weights of hidden layers, 1024 each of query, key, value. A row a sequence is seen by pooler
# 32 x 32, classifier 2 x 32, and the last layer: F weights, and those of key and value with biases in other products.
# Nothing below the first layer wants a gradient, and the classifier is trained.
@test "step: operations are those of the shapes" {
    steps --rank 2
    holds '.linear_parameters == 2 * (4 * 32 * 32 + 2 * 32 * 80) and .flops_per_token == 4 * .linear_parameters'
    holds '.achieved_gflops / (.tokens_per_second * .flops_per_token / 1e9) | . > 0.999999 and . < 1.000001'
    op='def op(name; pass): .ops[] | select(.op == name and .pass == pass);'
    known='8 as $S | 128 as $T | .linear_parameters as $P | (2 * 1024 + 2 * 32 * 80) as $F |'
    holds "$op $known"' (5 * 32 + 80) as $bias | (3 * 32 + 80) as $few
        | op("linear"; "forward") | .calls == 12 and
            .flops == 2 * $T * ($P - 2 * 1024 - $F) + $T * $bias + $S * (2 * $F + $few + 2 * (1024 + 64) + 32 + 2)'
    holds "$op $known"' op("linear"; "backward")
        | .flops == 2 * $T * ($P - 5 * 1024 - $F) + $S * (2 * $F + 2 * 1024 + 2 * 2 * 64 + 2)'
    # query and value of the first layer and query of the last, rank 2; its value as B A
    holds "$op $known"' op("low_rank"; "forward") | .calls == 3 and .flops == (2 * $T + $S) * 2 * 2 * (32 + 32)'
    holds "$op $known"' op("matmul"; "forward") | .calls == 3 and .flops == 2 * 2 * 1024 + $S * 2 * 2 * 32 * 33'
    forward=$(jq "$op"' op("linear"; "forward") | .flops' <<< "$output")
    steps --rank 2 --checkpoint-layers --threads 1
    holds "$op"' op("linear"; "forward") | .flops > 1.5 * '"$forward"
}

@test "step: real text as train batches it" {
    works bench step --model "$model" --task rte --data "$fixtures/glue" --sequences 2 --length 32 --steps 4 --json --quiet
    holds '[.data, .sequences, .steps] == ["rte", 2, 4]'
    tokens=$(jq .tokens <<< "$output")
    # the same steps, of which the first is not among those that are timed
    works train --model "$model" --task rte --data "$fixtures/glue" --batch-size 2 --max-length 32 --steps 5 --output run --quiet
    [ "$(jq -s '[.[] | select(.loss and .step > 1) | .tokens] | add' run/log.jsonl)" -eq "$tokens" ]
}

@test "step: any variant, head and full, with options of its own" {
    for variant in "head" "full" "dora --rank 2" "molora --num-experts 3"; do
        # shellcheck disable=SC2086 # the words are options
        steps --variant $variant
        holds '.ops | length > 5'
    done
    works bench step --model "$model" --length 16 --steps 1 --quiet
    [[ "$output" == *"limits of this machine: "*"linear forward "*"graph, batch, optimizer "* ]]
}

@test "step: a shape of other depth has that many layers" {
    works bench step --shape minilm --layers 2 --sequences 1 --length 8 --steps 1 --json --quiet
    # 12 h^2 weights a layer: four products of h x h and two of h x 4 h
    holds '.linear_parameters == 2 * 12 * 384 * 384'
}

@test "step: a shape with random weights leaves no folder behind" {
    TMPDIR=$PWD works bench step --shape minilm --sequences 1 --length 8 --steps 1 --json --quiet
    holds '[.model, .linear_parameters] == ["minilm", 6 * (4 * 384 * 384 + 2 * 384 * 1536)]'
    [ -z "$(compgen -G "peft-bench-*")" ]
}

@test "memory: a process a case, planned and measured, layers stored and computed again" {
    works bench memory --model "$model" --sequences 4 --length 16 --json --quiet
    holds '[.cases[] | [.sequences, .checkpoint_layers, .tokens]]
        == [[1, false, 16], [1, true, 16], [2, false, 32], [2, true, 32], [4, false, 64], [4, true, 64]]'
    holds '[.cases[] | .planned_bytes == .plan.total_bytes and .measured_bytes > 0 and .mapped_bytes > 0] | all'
    holds '[.cases[] | .plan.lines[] | select(.name == "activations") | .bytes] | .[1] < .[0] and .[5] < .[4]'
    works bench memory --model "$model" --sequences 1 --length 16 --quiet
    [[ "$output" == *"1      16  computed again"* ]]
}

@test "bad input: one line, the option or the file" {
    peft bench
    fails 2 "gemm|step|memory is missing"
    peft bench speed
    fails 2 'gemm|step|memory "speed": unknown'
    peft bench step
    fails 2 "step: no model: give --model DIR"
    peft bench step --model "$model" --shape minilm
    fails 2 "--model and --shape exclude each other"
    peft bench step --shape minilm --task rte --data "$fixtures/glue"
    fails 2 "--shape minilm has no tokenizer"
    peft bench gemm --task rte --data "$fixtures/glue"
    fails 2 "gemm: expected no data"
    peft bench step --model "$model" --layers 2
    fails 2 "step: --layers belongs to a --shape that is run"
    peft bench step --shape minilmm
    fails 2 "minilm"
    peft bench step --model "$model" --length 65
    fails 2 "a sequence has at most 64 tokens, wanted were 65"
    peft bench step --model "$model" --task rte
    fails 2 "--data"
    peft bench step --model "$model" --length 16 --target-modules nothing
    fails 2 "nothing"
    for subject in gemm step memory; do
        peft bench $subject --model nowhere
        fails 3 "nowhere/config.json"
    done
    peft bench step --model "$model" --length 16 --dtype bf16 --backend portable
    fails 1 "bf16: backend portable has f32 alone"
}
