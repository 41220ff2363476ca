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

/* A matrix [elements, DESCRIPTION] for each tensor of the adapter's list. */
typedef struct generator {
    peft_adapter_list list;
    float *matrix[MAX_TENSORS], *gradient[MAX_TENSORS];
    peft_optimizer_parameter parameters[MAX_TENSORS];
} generator;

static void make_generator(generator *made, peft_adapters *adapters)
{
    peft_error error = {0};
    check(peft_adapters_list(adapters, &made->list, &error), &error);
    for (int64_t k = 0; k < made->list.count; k++) {
        const peft_value_spec *spec = &made->list.items[k].value->spec;
        size_t count = (size_t)peft_shape_count(&spec->shape) * DESCRIPTION;
        made->matrix[k] = calloc(count, sizeof(float));
        made->gradient[k] = calloc(count, sizeof(float));
        /* As a LoRA itself: one side starts at random, the other at zero. */
        if (spec->start != PEFT_START_ZERO)
            peft_random_normal(made->matrix[k], count, 0, 0.2, 1, peft_stream(spec->name));
        made->parameters[k] = (peft_optimizer_parameter){made->matrix[k], made->gradient[k], (int64_t)count, 1, 0};
        printf("%-20s %lld numbers\n", made->list.items[k].name, (long long)peft_shape_count(&spec->shape));
    }
}

static void free_generator(generator *made)
{
    for (int64_t k = 0; k < made->list.count; k++) {
        free(made->matrix[k]);
        free(made->gradient[k]);
    }
    peft_adapter_list_free(&made->list);
}

/* What the generator makes of the descriptions stands in for the adapter's values: one tensor for each sequence. */
static void generate(peft_graph *g, const generator *made, const peft_batch *batch)
{
    peft_tensor *d = peft_batch_vectors(g, batch);
    for (int64_t k = 0; k < made->list.count; k++) {
        const peft_adapter_value *value = made->list.items[k].value;
        const peft_shape *shape = &value->spec.shape;
        peft_shape whole = peft_shape_2(peft_shape_count(shape), DESCRIPTION);
        peft_tensor *H = peft_parameter(g, PEFT_F32, whole, made->matrix[k], made->gradient[k], value->spec.name);
        peft_tensor *emitted = peft_linear(g, d, H, NULL);
        peft_shape each = peft_shape_3(batch->num_sequences, shape->size[0], shape->size[1]);
        peft_graph_bind(g, value, peft_reshape(g, emitted, each));
    }
}

static float forward_and_backward(peft_graph *g, peft_context *ctx, const generator *made,
                                  const peft_adapters *adapters)
{
    peft_error error = {0};
    const peft_weight weight = {.name = "W", .shape = peft_shape_2(OUT, IN), .data = W};
    const peft_base_linear base = {&weight, NULL};
    int32_t starts[TASKS + 1];
    for (int s = 0; s <= TASKS; s++) starts[s] = s * LENGTH;
    const peft_batch batch = {.num_tokens = TOKENS,
                              .num_sequences = TASKS,
                              .starts = starts,
                              .training = true,
                              .vectors = descriptions,
                              .vector_size = DESCRIPTION};
    peft_graph_reset(g);
    generate(g, made, &batch);
    peft_tensor *input = peft_constant(g, PEFT_F32, peft_shape_2(TOKENS, IN), x, "x");
    peft_tensor *wanted = peft_constant(g, PEFT_F32, peft_shape_2(TOKENS, OUT), target, "target");
    peft_tensor *y = peft_adapter_forward(g, &adapters->layers[0], &base, input, &batch);
    peft_tensor *loss = peft_mse(g, y, wanted, 0);
    check(peft_graph_status(g, &error), &error);
    check(peft_graph_differentiate(g, loss, &error), &error);
    check(peft_graph_run(g, ctx, &error), &error);
    return *(const float *)loss->data;
}

/* The adapter of one description, as an adapter of its own. */
static void materialize(const generator *made, const float *d, peft_adapters *adapters)
{
    peft_error error = {0};
    peft_named_tensor tensors[MAX_TENSORS];
    float *data[MAX_TENSORS];
    for (int64_t k = 0; k < made->list.count; k++) {
        const peft_shape shape = made->list.items[k].value->spec.shape;
        int64_t count = peft_shape_count(&shape);
        data[k] = calloc((size_t)count, sizeof(float));
        for (int64_t i = 0; i < count; i++)
            for (int c = 0; c < DESCRIPTION; c++) data[k][i] += made->matrix[k][i * DESCRIPTION + c] * d[c];
        tensors[k] = (peft_named_tensor){made->list.items[k].name, shape, data[k]};
    }
    check(peft_adapters_set(adapters, tensors, (size_t)made->list.count, &error), &error);
    for (int64_t k = 0; k < made->list.count; k++) free(data[k]);
}

/* Mean squared difference of the merged weight and the task's, of an update of the size 1. */
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

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "generated-adapter";
    static const float unseen[DESCRIPTION] = {0.5F, -0.6F, 1};
    peft_error error = {0};
    peft_context *ctx;
    peft_graph *g;
    generator made;
    peft_optimizer *adamw;
    make_data();
    peft_adapters *adapters = make_adapters();
    make_generator(&made, adapters);
    check(peft_optimizer_create(&adamw, NULL, made.parameters, made.list.count, &error), &error);
    check(peft_context_open(&ctx, NULL, &error), &error);
    check(peft_graph_create(&g, &error), &error);

    for (int step = 0; step <= STEPS; step++) {
        for (int64_t k = 0; k < made.list.count; k++)
            memset(made.gradient[k], 0, (size_t)made.parameters[k].count * sizeof(float));
        float loss = forward_and_backward(g, ctx, &made, adapters);
        if (step % 100 == 0) printf("step %3d   loss %.6f\n", step, (double)loss);
        check(peft_optimizer_step(adamw, 0.01, &error), &error);
    }
    materialize(&made, unseen, adapters);
    double off = error_of_update(adapters, unseen);
    check(peft_adapter_save(NULL, adapters, NULL, folder, &error), &error);
    printf("unseen     error %.6f of the update\nadapter in %s\n", off, folder);

    free_generator(&made);
    peft_optimizer_free(adamw);
    peft_adapters_free(adapters);
    peft_graph_free(g);
    peft_context_close(ctx);
    return off < 0.05 ? EXIT_SUCCESS : EXIT_FAILURE;
}
