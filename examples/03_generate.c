/* examples/03_generate.c - trains a generator whose output is an adapter: a description goes in, a LoRA comes out.
 *
 * Each sequence of a batch comes with a description of its task, and with the LoRA that the generator makes of it:
 *
 *     A_s = H_A d_s    B_s = H_B d_s    y = W x + B_s A_s x   for the tokens x of sequence s
 *
 * The generator, H_A and H_B, is linear and all that is trained; its tensors are what the variant's list asks for. The
 * tasks are W + d_1 U_1 + d_2 U_2 with U of rank one, so that a generator of LoRAs of rank 2 can learn them, and in the
 * end makes the adapter of a description that it has not seen.
 *
 *     cc 03_generate.c $(pkg-config --cflags --libs peft)  */
#include <math.h>
#include <peft/peft.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IN = 12, OUT = 10, RANK = 2, DESCRIPTION = 3, TASKS = 8, LENGTH = 16, TOKENS = TASKS * LENGTH, STEPS = 600 };
enum { MAX_TENSORS = 4 };

static float W[OUT * IN], U[2][OUT * IN], x[TOKENS * IN], target[TOKENS * OUT];
static float descriptions[TASKS * DESCRIPTION]; /* the third number is always 1 */

/* out += (W + d_1 U_1 + d_2 U_2) x */
static void apply_task(const float *d, const float *input, float *out)
{
    for (int o = 0; o < OUT; o++)
        for (int i = 0; i < IN; i++)
            out[o] += (W[o * IN + i] + d[0] * U[0][o * IN + i] + d[1] * U[1][o * IN + i]) * input[i];
}

static void make_data(void)
{
    float u[2][OUT], v[2][IN];
    peft_random_normal(W, OUT * IN, 0, 0.3, 1, peft_stream("W"));
    peft_random_normal(u[0], 2 * OUT, 0, 0.5, 1, peft_stream("u"));
    peft_random_normal(v[0], 2 * IN, 0, 0.5, 1, peft_stream("v"));
    for (int k = 0; k < 2; k++)
        for (int o = 0; o < OUT; o++)
            for (int i = 0; i < IN; i++) U[k][o * IN + i] = u[k][o] * v[k][i];
    peft_random_normal(x, TOKENS * IN, 0, 1, 1, peft_stream("x"));
    peft_random_uniform(descriptions, TASKS * DESCRIPTION, -1, 1, 1, peft_stream("descriptions"));
    for (int s = 0; s < TASKS; s++) descriptions[s * DESCRIPTION + 2] = 1;
    for (int t = 0; t < TOKENS; t++) apply_task(descriptions + t / LENGTH * DESCRIPTION, x + t * IN, target + t * OUT);
}

/* Everything below fails the same way: print the library's message and stop. */
static void check(peft_status status, const peft_error *error)
{
    if (status == PEFT_OK) return;
    fprintf(stderr, "%s\n", error->message);
    exit(EXIT_FAILURE);
}

static peft_adapters *make_adapters(void)
{
    peft_error error = {0};
    const peft_variant *lora = peft_variant_find("lora");
    void *options = malloc(lora->options_bytes);
    check(peft_variant_options_init(lora, options, &error), &error);
    check(peft_options_set_text(lora->options, options, "rank", "2", &error), &error);
    check(peft_options_set_text(lora->options, options, "alpha", "2", &error), &error);
    const peft_layer layer = {"layer", IN, OUT};
    peft_adapters *adapters;
    check(peft_adapters_create(&adapters, lora, options, &layer, 1, 0, &error), &error);
    peft_options_free(lora->options, options);
    free(options);
    return adapters;
}

/* What is trained: a matrix [elements, DESCRIPTION] for each tensor of the adapter. */
typedef struct generator {
    peft_adapters *adapters;
    peft_value_set matrices; /* matrices.items[k] makes adapters->set.items[k] */
} generator;

static void open_generator(generator *made, peft_adapters *adapters)
{
    peft_error error = {0};
    peft_value_spec specs[MAX_TENSORS];
    const peft_value_set *emitted = &adapters->set;
    for (int64_t k = 0; k < emitted->count; k++) {
        const peft_value_spec *spec = &emitted->items[k].value->spec;
        /* As a LoRA itself: one side starts at random, the other at zero. */
        bool zero = spec->start == PEFT_START_ZERO;
        specs[k] = (peft_value_spec){.name = spec->name,
                                     .shape = peft_shape_2(peft_shape_count(&spec->shape), DESCRIPTION),
                                     .start = zero ? PEFT_START_ZERO : PEFT_START_NORMAL,
                                     .spread = 0.2,
                                     .role = PEFT_ROLE_OTHER};
        printf("%-20s %lld numbers\n", emitted->items[k].name, (long long)specs[k].shape.size[0]);
    }
    made->adapters = adapters;
    check(peft_value_set_create(&made->matrices, "generator", specs, emitted->count, 1, &error), &error);
}

/* Tensor k of the adapters of descriptions d [count, DESCRIPTION], one after another. */
static peft_tensor *emit(peft_graph *g, const generator *made, int64_t k, peft_tensor *d, int64_t count)
{
    const peft_shape *shape = &made->adapters->set.items[k].value->spec.shape;
    peft_tensor *H = peft_value_tensor(g, made->matrices.items[k].value, true);
    return peft_reshape(g, peft_linear(g, d, H, NULL), peft_shape_3(count, shape->size[0], shape->size[1]));
}

/* What the generator emits stands in for the adapter's values: one tensor for each sequence. A step takes all tasks, so
 * their order does not matter. */
static peft_status describe(void *argument, peft_graph *g, const peft_examples *examples, peft_tensor **loss,
                            peft_error *error)
{
    static const peft_weight weight = {.name = "W", .shape = {2, {OUT, IN}}, .stored.data = W};
    static const peft_base_linear base = {&weight, NULL};
    static int32_t starts[TASKS + 1];
    const generator *made = argument;
    (void)error;
    for (int s = 0; s <= TASKS; s++) starts[s] = s * LENGTH;
    const peft_batch batch = {.num_tokens = TOKENS, .num_sequences = TASKS, .starts = starts, .training = true};
    peft_tensor *d = peft_constant(g, PEFT_F32, peft_shape_2(TASKS, DESCRIPTION), descriptions, "descriptions");
    for (int64_t k = 0; k < made->matrices.count; k++)
        peft_graph_bind(g, made->adapters->set.items[k].value, emit(g, made, k, d, TASKS));
    peft_tensor *input = peft_constant(g, PEFT_F32, peft_shape_2(TOKENS, IN), x, "x");
    peft_tensor *wanted = peft_constant(g, PEFT_F32, peft_shape_2(TOKENS, OUT), target, "target");
    peft_tensor *y = peft_adapter_forward(g, &made->adapters->layers[0], &base, input, &batch);
    *loss = peft_mse(g, y, wanted, examples->normaliser * LENGTH * OUT);
    return PEFT_OK;
}

/* All batches are the same: one graph does for all steps. */
static bool keep_graph(void *argument, const peft_examples *examples)
{
    return argument && examples;
}

/* The adapter of one description, as an adapter of its own. */
static void materialize(const generator *made, peft_context *ctx, const float *description)
{
    peft_error error = {0};
    peft_graph *g;
    const peft_value_set *emitted = &made->adapters->set;
    check(peft_graph_create(&g, &error), &error);
    peft_tensor *d = peft_constant(g, PEFT_F32, peft_shape_2(1, DESCRIPTION), description, "description");
    peft_tensor *values[MAX_TENSORS];
    peft_named_tensor tensors[MAX_TENSORS];
    for (int64_t k = 0; k < emitted->count; k++) values[k] = peft_graph_keep(g, emit(g, made, k, d, 1));
    check(peft_graph_run(g, ctx, &error), &error);
    for (int64_t k = 0; k < emitted->count; k++)
        tensors[k] = (peft_named_tensor){emitted->items[k].name, emitted->items[k].value->spec.shape, values[k]->data};
    check(peft_adapters_set(made->adapters, tensors, (size_t)emitted->count, &error), &error);
    peft_graph_free(g);
}

/* Squared difference of the merged weight and the task's, as a share of the task's update. */
static double error_of_update(const peft_adapters *adapters, const float *d)
{
    peft_error error = {0};
    float merged[OUT * IN];
    double off = 0, size = 0;
    memcpy(merged, W, sizeof merged);
    check(peft_adapter_merge(&adapters->layers[0], merged, NULL, &error), &error);
    for (int k = 0; k < OUT * IN; k++) {
        double update = (double)(d[0] * U[0][k] + d[1] * U[1][k]), found = (double)(merged[k] - W[k]);
        off += (found - update) * (found - update);
        size += update * update;
    }
    return off / size;
}

/* Steps of the trainer of `peft train`: its settings, its rates, its checkpoints; only the objective is ours. */
static void train(generator *made, peft_context *ctx)
{
    peft_error error = {0};
    peft_train_options options;
    peft_trainer trainer;
    const peft_value_set *sets[] = {&made->matrices};
    const peft_objective objective = {
        .num_examples = TASKS, .describe = describe, .refill = keep_graph, .argument = made};
    check(peft_options_init(peft_train_option_table, &options, &error), &error);
    check(peft_options_set_text(peft_train_option_table, &options, "schedule", "constant", &error), &error);
    options.steps = STEPS;
    options.batch_size = TASKS;
    options.learning_rate = 0.01;
    options.weight_decay = 0;
    check(peft_trainer_open(&trainer, &options, ctx, sets, 1, &objective, &error), &error);
    while (trainer.step < trainer.num_steps) {
        peft_step_record record;
        check(peft_trainer_step(&trainer, &record, &error), &error);
        if (record.step % 100 == 0) printf("step %3d   loss %.6f\n", (int)record.step, record.loss);
    }
    peft_trainer_close(&trainer);
    peft_options_free(peft_train_option_table, &options);
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "generated-adapter";
    static const float unseen[DESCRIPTION] = {0.5F, -0.6F, 1};
    static generator made;
    peft_error error = {0};
    peft_context *ctx;
    make_data();
    peft_adapters *adapters = make_adapters();
    open_generator(&made, adapters);
    check(peft_context_open(&ctx, NULL, &error), &error);
    train(&made, ctx);
    materialize(&made, ctx, unseen);
    double off = error_of_update(adapters, unseen);
    check(peft_adapter_save(NULL, adapters, NULL, folder, &error), &error);
    printf("unseen     error %.6f of the update\nadapter in %s\n", off, folder);

    peft_value_set_free(&made.matrices);
    peft_adapters_free(adapters);
    peft_context_close(ctx);
    return off < 0.05 ? EXIT_SUCCESS : EXIT_FAILURE;
}
