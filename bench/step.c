/* bench/step.c - one training step on full batches: tokens per second and memory.
 *
 *     bench_step MODEL_DIR [SEQUENCES [LENGTH [TARGETS [RANK [STEPS [THREADS [DTYPE [BACKEND]]]]]]]]
 *
 * Token ids are arbitrary: the work does not depend on them. TARGETS is a list or all-linear as of `peft train`.
 * Prints one JSON object; the rate is that of the fastest step, as of bench/peer_step.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "peft/inject.h"
#include "peft/machine.h"
#include "peft/parameters.h"
#include "peft/train_options.h"

static const char *argument(int argc, char **argv, int index, const char *otherwise)
{
    return index < argc ? argv[index] : otherwise;
}

static void check(peft_status status, const peft_error *error)
{
    if (status == PEFT_OK) return;
    fprintf(stderr, "bench_step: %s\n", error->message);
    exit(EXIT_FAILURE);
}

/* A full batch of arbitrary tokens. */
typedef struct full_batch {
    int32_t *starts, *ids, *types, *positions, *labels;
    peft_batch batch;
    peft_model_input input;
} full_batch;

static full_batch make_batch(int64_t sequences, int64_t length, int64_t vocab_size)
{
    int64_t tokens = sequences * length;
    full_batch b = {calloc((size_t)sequences + 1, sizeof(int32_t)),
                    calloc((size_t)tokens, sizeof(int32_t)),
                    calloc((size_t)tokens, sizeof(int32_t)),
                    calloc((size_t)tokens, sizeof(int32_t)),
                    calloc((size_t)sequences, sizeof(int32_t)),
                    {0},
                    {0}};
    for (int64_t s = 0; s <= sequences; s++) b.starts[s] = (int32_t)(s * length);
    for (int64_t t = 0; t < tokens; t++) {
        b.ids[t] = (int32_t)(t * 7919 % vocab_size);
        b.positions[t] = (int32_t)(t % length);
    }
    b.batch = (peft_batch){.num_tokens = tokens, .num_sequences = sequences, .starts = b.starts, .training = true};
    b.input = (peft_model_input){b.ids, b.types, b.positions};
    return b;
}

static double one_step(peft_graph *g, peft_context *ctx, peft_model *model, const full_batch *b,
                       const peft_parameters *parameters, peft_optimizer *optimizer)
{
    peft_error error = {0};
    double began = peft_machine_seconds(), norm;
    peft_graph_reset(g);
    peft_parameters_clear_gradients(parameters);
    const peft_model_run run = {&b->batch, &b->input, false};
    peft_tensor *labels = peft_constant(g, PEFT_I32, peft_shape_1(b->batch.num_sequences), b->labels, "labels");
    peft_tensor *loss = peft_cross_entropy(g, peft_model_logits(g, model, &run), labels, NULL, 0, 0);
    check(peft_graph_status(g, &error), &error);
    check(peft_graph_differentiate(g, loss, &error), &error);
    check(peft_graph_run(g, ctx, &error), &error);
    check(peft_optimizer_clip(optimizer, 1, &norm, &error), &error);
    check(peft_optimizer_step(optimizer, 1e-4, &error), &error);
    return peft_machine_seconds() - began;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(
            stderr,
            "usage: bench_step MODEL_DIR [SEQUENCES [LENGTH [TARGETS [RANK [STEPS [THREADS [DTYPE [BACKEND]]]]]]]]\n");
        return 2;
    }
    peft_error error = {0};
    int64_t sequences = atoll(argument(argc, argv, 2, "32")), length = atoll(argument(argc, argv, 3, "128"));
    const char *targets_text = argument(argc, argv, 4, "query,value");
    int steps = atoi(argument(argc, argv, 6, "6"));

    peft_model *model;
    const peft_model_options model_options = {.num_labels = 2};
    check(peft_model_open(&model, argv[1], &model_options, &error), &error);
    const peft_variant *lora = peft_variant_find("lora");
    void *options = calloc(1, lora->options_bytes);
    peft_target_options targets;
    check(peft_options_init(lora->options, options, &error), &error);
    check(peft_options_init(peft_target_option_table, &targets, &error), &error);
    check(peft_options_set_text(lora->options, options, "rank", argument(argc, argv, 5, "8"), &error), &error);
    check(peft_options_set_text(peft_target_option_table, &targets, "target_modules", targets_text, &error), &error);
    peft_adapters *adapters;
    check(peft_inject(model, lora, options, &targets, 0, &adapters, NULL, &error), &error);

    peft_context *ctx;
    const peft_context_options context = {.threads = atoi(argument(argc, argv, 7, "0")),
                                          .dtype = peft_dtype_chosen(argument(argc, argv, 8, "f32")),
                                          .backend = argument(argc, argv, 9, NULL)};
    check(peft_context_open(&ctx, &context, &error), &error);
    check(peft_model_pack(model, ctx, true, &error), &error);
    peft_graph *g;
    check(peft_graph_create(&g, &error), &error);
    peft_parameters parameters;
    check(peft_parameters_collect(&parameters, adapters, model, &error), &error);
    peft_optimizer *optimizer;
    check(peft_parameters_optimizer(&parameters, 0, 1, &optimizer, &error), &error);

    full_batch b = make_batch(sequences, length, peft_model_vocab_size(model));
    double best = 1e9;
    for (int k = 0; k < steps; k++) {
        double seconds = one_step(g, ctx, model, &b, &parameters, optimizer);
        if (seconds < best) best = seconds;
    }
    json_t *cpu = peft_machine_cpu(ctx);
    char *cpu_text = json_dumps(cpu, JSON_COMPACT);
    printf("{\"sequences\": %lld, \"length\": %lld, \"targets\": \"%s\", \"tokens_per_second\": %.0f, "
           "\"step_ms\": %.1f, \"plan_bytes\": %zu, \"peak_memory_bytes\": %zu, \"cpu\": %s}\n",
           (long long)sequences, (long long)length, targets_text, (double)b.batch.num_tokens / best, best * 1e3,
           peft_context_bytes(ctx), peft_machine_memory().peak, cpu_text);
    return 0;
}
