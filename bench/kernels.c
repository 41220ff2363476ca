/* bench/kernels.c - fast kernels against the portable ones: the same random work on both, results compared, both timed.
 *
 *     bench_kernels [ROUNDS [SEED [THREADS]]]
 *
 * Each round draws new shapes and values. A difference is the largest of any element of a result or of a gradient,
 * relative to the largest element of that tensor. Exits with 1 where one is beyond its limit. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/profile.h"
#include "ops/rng.h"
#include "ops/weight.h"
#include "peft/cli/table.h"
#include "peft/machine.h"

enum { MOST_TENSORS = 8, MOST_SEQUENCES = 24, MOST_ARRAYS = 32 };

/* One piece of work on one backend: what was drawn for it, and what came out. */
typedef struct work {
    uint64_t seed, draws;
    int64_t tokens, in, out, rank, heads, sequences;
    int32_t starts[MOST_SEQUENCES + 1];
    peft_graph *g;
    peft_context *ctx;
    peft_tensor *inputs[MOST_TENSORS];
    int num_inputs;
    float *arrays[MOST_ARRAYS]; /* to be freed */
    int num_arrays;
    peft_weight weights[2]; /* frozen */
    int num_weights;
    float *results[1 + MOST_TENSORS]; /* y, then a gradient for each input */
    int64_t counts[1 + MOST_TENSORS];
    double seconds;
} work;

static void check(peft_status status, const peft_error *error)
{
    if (status == PEFT_OK) return;
    fprintf(stderr, "bench_kernels: %s\n", error->message);
    exit(2);
}

/* ---- what is drawn ---- */

static uint64_t draw(work *w)
{
    return peft_random_u64(w->seed, peft_stream("bench_kernels"), w->draws++);
}

/* least ... most */
static int64_t choose(work *w, int64_t least, int64_t most)
{
    return least + (int64_t)(draw(w) % (uint64_t)(most - least + 1));
}

static float *values(work *w, int64_t count)
{
    float *made = malloc((size_t)count * sizeof *made);
    if (!made) check(PEFT_ERR_MEMORY, &(peft_error){.message = "out of memory"});
    peft_random_uniform(made, (size_t)count, -1, 1, w->seed, draw(w));
    return w->arrays[w->num_arrays++] = made;
}

static void draw_sizes(work *w)
{
    enum { MOST_TOKENS = 96, MOST_FEATURES = 800, MOST_RANK = 40, MOST_HEADS = 6, MOST_HEAD_SIZE = 80 };
    w->sequences = choose(w, 1, MOST_SEQUENCES);
    for (int64_t s = 0; s < w->sequences; s++) w->starts[s + 1] = w->starts[s] + (int32_t)choose(w, 1, MOST_TOKENS);
    w->tokens = w->starts[w->sequences];
    w->heads = choose(w, 1, MOST_HEADS);
    w->in = w->heads * choose(w, 1, MOST_HEAD_SIZE);
    w->out = choose(w, 1, MOST_FEATURES);
    w->rank = choose(w, 1, MOST_RANK);
}

/* A tensor whose gradient is compared too. */
static peft_tensor *input(work *w, peft_shape shape)
{
    float *data = values(w, peft_shape_count(&shape));
    return w->inputs[w->num_inputs++] = peft_variable(w->g, PEFT_F32, shape, data, "input");
}

static peft_tensor *x_of(work *w)
{
    return input(w, peft_shape_2(w->tokens, w->in));
}

static peft_tensor *starts_of(work *w)
{
    return peft_constant(w->g, PEFT_I32, peft_shape_1(w->sequences + 1), w->starts, "starts");
}

static peft_tensor *frozen(work *w, peft_shape shape, bool packed)
{
    peft_weight *weight = &w->weights[w->num_weights++];
    *weight = (peft_weight){.name = "weight", .shape = shape, .stored.data = values(w, peft_shape_count(&shape))};
    peft_error error = {0};
    if (packed) check(peft_weight_pack(weight, w->ctx, PEFT_PACK_BOTH, &error), &error);
    return peft_weight_leaf(w->g, weight);
}

/* ---- the work ---- */

static peft_tensor *linear(work *w)
{
    peft_tensor *W = frozen(w, peft_shape_2(w->out, w->in), true), *b = frozen(w, peft_shape_1(w->out), false);
    return peft_linear(w->g, x_of(w), W, b);
}

static peft_tensor *trained_linear(work *w)
{
    peft_tensor *W = input(w, peft_shape_2(w->out, w->in)), *b = input(w, peft_shape_1(w->out));
    return peft_linear(w->g, x_of(w), W, b);
}

static peft_tensor *low_rank_on(work *w, peft_tensor *y0, peft_tensor *x, peft_tensor *gate)
{
    peft_tensor *A = input(w, peft_shape_2(w->rank, w->in)), *B = input(w, peft_shape_2(w->out, w->rank));
    return peft_low_rank(w->g, y0, x, A, B, gate, NULL, 0.5);
}

static peft_tensor *low_rank(work *w)
{
    peft_tensor *gate = choose(w, 0, 1) ? input(w, peft_shape_2(w->tokens, w->rank)) : NULL;
    return low_rank_on(w, input(w, peft_shape_2(w->tokens, w->out)), x_of(w), gate);
}

static peft_tensor *attention(work *w)
{
    peft_attention_options options = {.num_heads = (int32_t)w->heads,
                                      .mask = (peft_mask)choose(w, PEFT_MASK_NONE, PEFT_MASK_WINDOW),
                                      .window = choose(w, 1, 64),
                                      .dropout = choose(w, 0, 1) ? 0.1 : 0,
                                      .dropout_stream = 1};
    peft_tensor *q = x_of(w), *k = x_of(w), *v = x_of(w);
    return peft_attention(w->g, q, k, v, starts_of(w), NULL, &options);
}

static peft_tensor *layer_norm(work *w)
{
    peft_tensor *weight = input(w, peft_shape_1(w->in)), *bias = input(w, peft_shape_1(w->in));
    return peft_layer_norm(w->g, x_of(w), weight, bias, 1e-5);
}

static peft_tensor *activation(work *w)
{
    return peft_activation(w->g, x_of(w), (peft_activation_kind)choose(w, 0, PEFT_NUM_ACTIVATIONS - 1));
}

static peft_tensor *softmax(work *w)
{
    return peft_softmax(w->g, x_of(w));
}

static peft_tensor *dropout(work *w)
{
    return peft_dropout(w->g, x_of(w), 0.1, 1, 0);
}

static peft_tensor *product(work *w)
{
    peft_tensor *a = x_of(w);
    return peft_mul(w->g, a, choose(w, 0, 1) ? x_of(w) : input(w, peft_shape_1(w->in)));
}

static peft_tensor *matmul(work *w)
{
    return peft_matmul(w->g, x_of(w), false, input(w, peft_shape_2(w->out, w->in)), true);
}

static peft_tensor *mean_pool(work *w)
{
    return peft_mean_pool(w->g, x_of(w), starts_of(w));
}

/* Steps that run together (ops/engine/chain.h). */
static peft_tensor *chain(work *w)
{
    peft_tensor *W = frozen(w, peft_shape_2(w->out, w->in), true), *x = x_of(w);
    peft_tensor *y = low_rank_on(w, peft_linear(w->g, x, W, NULL), x, NULL);
    y = peft_dropout(w->g, y, 0.1, 1, 0);
    y = peft_add(w->g, y, input(w, peft_shape_2(w->tokens, w->out)));
    return peft_activation(w->g, peft_layer_norm(w->g, y, frozen(w, peft_shape_1(w->out), false), NULL, 1e-5),
                           PEFT_ACTIVATION_gelu);
}

static const struct {
    const char *name;
    peft_tensor *(*build)(work *w);
    int products; /* one after the other, whose factors bf16 rounds */
} kinds[] = {{"linear, frozen", linear, 1}, {"linear, trained", trained_linear, 0},
             {"low_rank", low_rank, 2},     {"attention", attention, 3},
             {"layer_norm", layer_norm, 0}, {"activation", activation, 0},
             {"softmax", softmax, 0},       {"dropout", dropout, 0},
             {"mul", product, 0},           {"matmul", matmul, 0},
             {"mean_pool", mean_pool, 0},   {"linear to gelu", chain, 3}};
enum { NUM_KINDS = sizeof kinds / sizeof *kinds };

/* ---- one run ---- */

static void keep_result(work *w, int k, peft_tensor *t)
{
    const void *result;
    peft_error error = {0};
    check(peft_graph_read(w->g, t, &result, &error), &error);
    w->counts[k] = peft_shape_count(&t->shape);
    w->results[k] = values(w, w->counts[k]);
    memcpy(w->results[k], result, (size_t)w->counts[k] * sizeof *w->results[k]);
}

static void run(work *w, int kind, uint64_t seed, const peft_context_options *options)
{
    peft_error error = {0};
    *w = (work){.seed = seed};
    check(peft_context_open(&w->ctx, options, &error), &error);
    check(peft_graph_create(&w->g, &error), &error);
    draw_sizes(w);
    peft_tensor *y = kinds[kind].build(w);
    check(peft_graph_status(w->g, &error), &error);
    float *dy = values(w, peft_shape_count(&y->shape));
    check(peft_graph_differentiate_from(w->g, y, dy, &error), &error);
    check(peft_graph_run(w->g, w->ctx, &error), &error); /* for the caches and the memory */
    double began = peft_machine_seconds();
    check(peft_graph_run(w->g, w->ctx, &error), &error);
    w->seconds = peft_machine_seconds() - began;
    keep_result(w, 0, y);
    for (int k = 0; k < w->num_inputs; k++) keep_result(w, 1 + k, w->inputs[k]->grad);
}

static void release(work *w)
{
    for (int k = 0; k < w->num_weights; k++) peft_weight_unpack(&w->weights[k]);
    for (int k = 0; k < w->num_arrays; k++) free(w->arrays[k]);
    peft_graph_free(w->g);
    peft_context_close(w->ctx);
}

static double difference(const work *a, const work *b)
{
    double worst = 0;
    for (int k = 0; k < 1 + a->num_inputs; k++) {
        double largest = 0, apart = 0;
        for (int64_t i = 0; i < a->counts[k]; i++) {
            largest = fmax(largest, fabs((double)b->results[k][i]));
            double d = fabs((double)a->results[k][i] - (double)b->results[k][i]);
            if (!(d <= apart)) apart = isnan(d) ? HUGE_VAL : d;
        }
        if (apart > 0) worst = fmax(worst, apart / largest);
    }
    return worst;
}

/* ---- a backend ---- */

/* Both sum in float, in different orders: roundings of 2^-24, whose signs are random, so that of n terms, n up to some
 * thousand, they leave sqrt(n) times as much. bf16 rounds both factors of each term by 2^-9 at most; of a sum of random
 * signs that is less than 2^-7 of its largest. */
static double limit_of(int kind, peft_dtype dtype)
{
    const double f32 = 1e-5, bf16 = 1.0 / 128;
    return dtype == PEFT_BF16 && kinds[kind].products ? kinds[kind].products * bf16 : f32;
}

static bool compare(peft_text_table *table, int kind, const peft_context_options *options, int64_t rounds,
                    uint64_t seed)
{
    const peft_context_options portable = {.threads = options->threads, .backend = "portable"};
    double worst = 0, seconds = 0, portable_seconds = 0;
    for (int64_t round = 0; round < rounds; round++) {
        static work fast, slow;
        run(&slow, kind, seed + (uint64_t)round, &portable);
        run(&fast, kind, seed + (uint64_t)round, options);
        worst = fmax(worst, difference(&fast, &slow));
        seconds += fast.seconds;
        portable_seconds += slow.seconds;
        release(&fast);
        release(&slow);
    }
    double limit = limit_of(kind, options->dtype);
    peft_text_table_cell(table, "%s", kinds[kind].name);
    peft_text_table_cell(table, "%s", options->backend);
    peft_text_table_cell(table, "%s", peft_dtype_name(options->dtype));
    peft_text_table_cell(table, "%.1e", worst);
    peft_text_table_cell(table, "%.1e", limit);
    peft_text_table_cell(table, "%.1f x", portable_seconds / seconds);
    return worst <= limit;
}

int main(int argc, char **argv)
{
    static const char *const headings[] = {"work", "backend", "type", "difference", "limit", "speed"};
    int64_t rounds = argc > 1 ? strtoll(argv[1], NULL, 10) : 5;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    int threads = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0;
    const peft_dtype dtypes[] = {PEFT_F32, PEFT_BF16};
    peft_error error = {0};
    peft_text_table table;
    bool agree = true;
    peft_text_table_init(&table, headings, sizeof headings / sizeof *headings);
    for (int kind = 0; kind < NUM_KINDS; kind++)
        for (int k = 0; peft_backend_name(k); k++)
            for (int d = 0; d < 2; d++) {
                const char *name = peft_backend_name(k);
                const peft_context_options options = {.threads = threads, .backend = name, .dtype = dtypes[d]};
                bool packs = strcmp(name, "onednn") == 0;
                if (strcmp(name, "portable") == 0 || !peft_backend_available(name)) continue;
                if (dtypes[d] == PEFT_BF16 && !(packs && kinds[kind].products && peft_dtype_available(PEFT_BF16)))
                    continue;
                if (packs && !kinds[kind].products) continue; /* the same kernels as avx512 */
                agree = compare(&table, kind, &options, rounds, seed) && agree;
            }
    check(peft_text_table_print(&table, stdout, &error), &error);
    peft_text_table_free(&table);
    return agree ? EXIT_SUCCESS : EXIT_FAILURE;
}
