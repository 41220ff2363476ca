/* The graph as a whole: shared gradients, views, recomputation, places in the plan, errors, running out of memory. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/engine/context_internal.h"
#include "ops/engine/graph_internal.h"
#include "ops/engine/tiles.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"
#include "tests/support/op_check.h"
#include "tests/support/read.h"

static peft_tensor *f(peft_graph *g, peft_tensor *x)
{
    return peft_activation(g, x, PEFT_ACTIVATION_tanh);
}

static peft_tensor *residual(peft_graph *g, peft_tensor *const *in)
{
    return peft_add(g, in[0], f(g, in[0]));
}

static peft_tensor *residuals(peft_graph *g, peft_tensor *const *in)
{
    peft_tensor *x = peft_scale(g, in[0], 1.5);
    for (int k = 0; k < 3; k++) x = peft_add(g, x, f(g, x));
    return peft_add(g, f(g, x), x);
}

static peft_tensor *used_three_times(peft_graph *g, peft_tensor *const *in)
{
    return peft_add(g, peft_add(g, in[0], peft_mul(g, in[0], in[1])), f(g, in[0]));
}

static peft_tensor *added_to_itself(peft_graph *g, peft_tensor *const *in)
{
    peft_tensor *x = peft_scale(g, in[0], 2);
    return f(g, peft_add(g, peft_add(g, x, x), x));
}

/* The gradients of both sums are one and the same, until x adds to one of them. */
static peft_tensor *shared_by_two(peft_graph *g, peft_tensor *const *in)
{
    peft_tensor *x = peft_scale(g, in[0], 2), *z = peft_scale(g, in[1], 3);
    return peft_add(g, peft_add(g, x, z), f(g, x));
}

static peft_tensor *reshapes(peft_graph *g, peft_tensor *const *in)
{
    peft_tensor *flat = peft_reshape(g, in[0], peft_shape_1(15));
    peft_tensor *y = peft_add(g, f(g, flat), peft_reshape(g, in[1], flat->shape));
    return peft_mul(g, peft_reshape(g, peft_reshape(g, y, peft_shape_2(5, 3)), in[0]->shape), in[0]);
}

static peft_tensor *parameter_alone(peft_graph *g, peft_tensor *const *in)
{
    return peft_reshape(g, peft_add(g, in[0], in[0]), peft_shape_1(15));
}

static peft_tensor *unused_input(peft_graph *g, peft_tensor *const *in)
{
    f(g, in[1]);
    return f(g, in[0]);
}

static const op_case cases[] = {
    {"x + f(x)", residual, {SHAPE2(3, 5)}, 0},
    {"residuals of residuals", residuals, {SHAPE2(3, 5)}, 0},
    {"x used three times", used_three_times, {SHAPE2(3, 5), SHAPE2(3, 5)}, 0},
    {"x + x + x", added_to_itself, {SHAPE2(3, 5)}, 0},
    {"a gradient shared by two", shared_by_two, {SHAPE2(3, 5), SHAPE2(3, 5)}, 0},
    {"reshapes", reshapes, {SHAPE2(3, 5), SHAPE2(5, 3)}, 0},
    {"a parameter alone", parameter_alone, {SHAPE2(3, 5)}, 0},
    {"an input that does not matter", unused_input, {SHAPE2(3, 5), SHAPE2(3, 5)}, 0},
};

START_TEST(shared_gradients_are_right)
{
    op_check(&cases[_i]);
}
END_TEST

/* Graphs of random nodes: every one that differs only in where its tensors lie, in what is computed twice, or in which
 * steps run together, has to give the same bits. Enough rows for several tiles; fewer for central differences. */
enum { ROWS = 140, FEW_ROWS = 6, COLUMNS = 10, ELEMENTS = ROWS * COLUMNS };
enum { NUM_LEAVES = 3, RANDOM_NODES = 24, RANDOM_GRAPHS = 60, WIDE = 72, HALF_RANK = 8, LAYERS = 4 };

typedef struct random_choice {
    uint64_t seed, count;
} random_choice;

static int choose(random_choice *r, int bound)
{
    int drawn = (int)((op_noise(r->seed * 1000 + r->count++) + 1) / 2 * bound);
    return drawn < bound ? drawn : bound - 1;
}

static peft_tensor *halves_exchanged(peft_graph *g, peft_tensor *a, peft_tensor *b)
{
    peft_tensor *halves[] = {peft_slice(g, a, 1, 4, COLUMNS - 4), peft_slice(g, b, 1, 0, 4)};
    return peft_concat(g, 1, halves, 2);
}

/* A neighbour computes A row by row, which is read as a whole. */
static peft_tensor *adapted(peft_graph *g, peft_tensor *a, peft_tensor *b)
{
    peft_tensor *B = peft_permute(g, b, (int32_t[]){1, 0});
    peft_tensor *A = peft_scale(g, a, 0.25);
    return f(g, peft_low_rank(g, b, a, A, B, NULL, NULL, 0.1));
}

static peft_tensor *random_node(peft_graph *g, random_choice *r, peft_tensor *a, peft_tensor *b, peft_tensor *row)
{
    if (!a || !b) return NULL;
    peft_shape flat = peft_shape_1(peft_shape_count(&a->shape)), shape = a->shape;
    switch (choose(r, 12)) {
    case 0:
        return peft_add(g, a, b);
    case 1:
        return peft_mul(g, a, b);
    case 2:
        return peft_add(g, a, row);
    case 3:
        return peft_mul(g, a, peft_mean(g, b, PEFT_ALL_DIMS));
    case 4:
        return peft_layer_norm(g, a, row, NULL, 1e-3);
    case 5:
        return peft_dropout(g, a, 0.2, r->count, 0);
    case 6:
        return peft_softmax(g, a);
    case 7:
        return peft_reshape(g, f(g, peft_reshape(g, a, flat)), shape);
    case 8:
        return halves_exchanged(g, a, b);
    case 9:
        return peft_add(g, peft_reshape(g, a, shape), peft_scale(g, b, 0.5));
    case 10:
        return adapted(g, a, b);
    default:
        return f(g, a);
    }
}

static peft_tensor *random_graph(peft_graph *g, uint64_t seed, peft_tensor *const leaves[NUM_LEAVES], bool checkpointed)
{
    random_choice r = {seed, 0};
    peft_tensor *made[2 + RANDOM_NODES] = {leaves[0], leaves[1]};
    int count = 2;
    for (int k = 0; k < RANDOM_NODES; k++) {
        if (checkpointed && k % 5 == 1) peft_graph_checkpoint_begin(g);
        int newest = count - 1, any = choose(&r, count);
        peft_tensor *a = made[choose(&r, 2) ? newest : any], *b = made[choose(&r, count)];
        made[count++] = random_node(g, &r, a, b, leaves[2]);
        if (checkpointed && k % 5 == 4) peft_graph_checkpoint_end(g);
    }
    return peft_add(g, made[count - 1], made[count - 2]);
}

static peft_tensor *adapted_linear(peft_graph *g, peft_tensor *x, peft_tensor *weight, peft_tensor *A, peft_tensor *B,
                                   double dropout, uint64_t stream)
{
    peft_tensor *dropped = dropout > 0 ? peft_dropout(g, x, dropout, stream, 0) : x;
    return peft_low_rank(g, peft_linear(g, x, weight, NULL), dropped, A, B, NULL, NULL, 0.5);
}

/* What a layer does after its attention. Its weights are parts of the leaves; ranks of 4 and of 16 have kernels of
 * their own. The first half may be a segment. */
static peft_tensor *feed_forward(peft_graph *g, peft_tensor *x, peft_tensor *const leaves[NUM_LEAVES], double dropout,
                                 bool low, bool half)
{
    const int32_t turned[] = {1, 0};
    peft_tensor *up = peft_slice(g, leaves[1], 0, 0, WIDE), *down = peft_permute(g, up, turned);
    peft_tensor *A = peft_slice(g, leaves[1], 0, 3, low ? 4 : 2 * HALF_RANK);
    peft_tensor *halves[] = {peft_slice(g, up, 1, 2, HALF_RANK), peft_slice(g, up, 1, 0, HALF_RANK)};
    peft_tensor *B = low ? peft_slice(g, up, 1, 2, 4) : peft_concat(g, 1, halves, 2);
    if (half) peft_graph_checkpoint_begin(g);
    peft_tensor *norm = peft_layer_norm(g, x, leaves[2], NULL, 1e-3);
    peft_tensor *wide = adapted_linear(g, norm, up, A, B, dropout, 1);
    wide = peft_activation(g, wide, PEFT_ACTIVATION_gelu);
    if (half) peft_graph_checkpoint_end(g);
    peft_tensor *narrow =
        adapted_linear(g, wide, down, peft_permute(g, B, turned), peft_permute(g, A, turned), dropout, 2);
    return peft_add(g, narrow, norm);
}

/* The first has dropout in front of its adapters. */
static peft_tensor *feed_forwards(peft_graph *g, uint64_t layers, peft_tensor *const leaves[NUM_LEAVES],
                                  bool checkpointed)
{
    peft_tensor *x = peft_scale(g, leaves[0], 2);
    for (uint64_t k = 0; k < layers; k++) {
        if (checkpointed && k % 2) peft_graph_checkpoint_begin(g);
        x = feed_forward(g, x, leaves, k ? 0 : 0.2, k % 3 == 0, checkpointed && k % 2 == 0);
        if (checkpointed && k % 2) peft_graph_checkpoint_end(g);
    }
    return x;
}

typedef peft_tensor *describe_function(peft_graph *g, uint64_t seed, peft_tensor *const leaves[NUM_LEAVES],
                                       bool checkpointed);

/* Where tensors lie, what is computed again, and what runs together. */
typedef struct arrangement {
    bool keeps_all, own_places, checkpointed, unchained, parameters, keeps_bf16;
    int threads; /* 0: 2 */
    peft_dtype dtype;
} arrangement;

typedef struct outcome {
    float y[ELEMENTS], dleaves[NUM_LEAVES][ELEMENTS];
} outcome;

/* Scratch memory of a step overlaps nothing that is in use meanwhile. */
static void check_scratch(const peft_graph *g, int32_t step, size_t offset, size_t bytes, size_t *end)
{
    if (bytes && offset + bytes > *end) *end = offset + bytes;
    for (int32_t i = 0; i < g->num_storages && bytes; i++) {
        const peft_storage *a = &g->storages[i];
        if (a->local || a->parent != i || a->first > step || a->last < step) continue;
        ck_assert(a->offset + a->bytes <= offset || offset + bytes <= a->offset);
    }
}

/* Pieces of the plan that are in use at the same step do not overlap, and the buffer ends with the last of them. */
/* The bytes of a storage: those of a thread's tile where it is local. */
static size_t bytes_of(const peft_graph *g, const peft_storage *s)
{
    if (!s->local) return s->bytes;
    const peft_step *first = &g->steps[g->steps[s->first].chain];
    int64_t rows = peft_rows(first->node->out[0]);
    return s->bytes / (size_t)rows * (size_t)peft_tile_rows(rows);
}

static void check_places(const peft_graph *g, size_t bytes)
{
    size_t end = 0;
    for (int32_t i = 0; i < g->num_storages; i++) {
        const peft_storage *a = &g->storages[i];
        size_t a_end = a->offset + bytes_of(g, a);
        if (a->parent != i || a->first < 0) continue;
        if (a->local) ck_assert_uint_le(a_end, g->steps[g->steps[a->first].chain].local_bytes);
        if (!a->local && a_end > end) end = a_end;
        for (int32_t j = 0; j < i; j++) {
            const peft_storage *b = &g->storages[j];
            if (b->parent != j || b->first < 0 || a->last < b->first || b->last < a->first) continue;
            ck_assert(a->local != b->local || a_end <= b->offset || b->offset + bytes_of(g, b) <= a->offset);
        }
    }
    for (int32_t step = 0; step < g->num_steps; step++) {
        const peft_step *s = &g->steps[step];
        size_t scratch = s->scratch_stride * (size_t)g->target.threads;
        check_scratch(g, step, s->shared_offset, s->shared_bytes, &end);
        if (s->chain == step) check_scratch(g, step, s->scratch_offset, scratch, &end);
    }
    ck_assert_uint_eq((end + 63) / 64 * 64, bytes);
}

static void fill_with_nan(peft_context *ctx, size_t bytes)
{
    const peft_device *device = ctx->backend->device;
    char *ones = malloc(bytes + 1);
    ck_assert_ptr_nonnull(ones);
    memset(ones, 0xFF, bytes);
    if (device)
        device->upload(ctx->state, PEFT_LEAF_FROZEN, ctx->buffer, ones, bytes);
    else
        memcpy(ctx->buffer, ones, bytes);
    free(ones);
}

/* Runs in a buffer that is full of NaN, so that a value read before it is written, or after its place was given away,
 * shows. Returns the bytes of the plan. */
static size_t run(describe_function *describe, uint64_t seed, arrangement how, outcome *o)
{
    peft_context *ctx;
    peft_graph *g;
    peft_error error = {0};
    peft_context_options options = {.threads = how.threads ? how.threads : 2, .seed = seed, .dtype = how.dtype};
    ck_assert(!peft_context_open(&ctx, &options, &error) && !peft_graph_create(&g, &error));
    float values[NUM_LEAVES][ELEMENTS], dy[ELEMENTS];
    peft_tensor *leaves[NUM_LEAVES];
    for (int i = 0; i < NUM_LEAVES; i++) {
        peft_shape shape = i < 2 ? peft_shape_2(ROWS, COLUMNS) : peft_shape_1(COLUMNS);
        for (int k = 0; k < ELEMENTS; k++) values[i][k] = (float)op_noise((uint64_t)(i * ELEMENTS + k));
        for (int k = 0; k < ELEMENTS; k++) o->dleaves[i][k] = 0;
        leaves[i] = how.parameters ? peft_parameter(g, PEFT_F32, shape, values[i], o->dleaves[i], "parameter")
                                   : peft_variable(g, PEFT_F32, shape, values[i], "variable");
    }
    for (int k = 0; k < ELEMENTS; k++) dy[k] = (float)op_noise((uint64_t)(1000 + k));

    peft_graph_set_context(g, ctx);
    g->least_recalled_rows = how.keeps_all ? INT64_MAX : 0;
    g->unchained = how.unchained;
    if (how.keeps_bf16) peft_graph_keep_bf16(g);
    peft_tensor *y = peft_graph_keep(g, describe(g, seed, leaves, how.checkpointed));
    ck_assert_msg(!peft_graph_differentiate_from(g, y, dy, &error), "%s", error.message);
    if (how.own_places)
        for (int32_t k = 0; k < g->num_tensors; k++) peft_graph_keep(g, g->tensors[k]);
    size_t bytes;
    ck_assert(!peft_graph_plan(g, ctx, &bytes, &error) && !peft_context_reserve(ctx, bytes, &error));
    check_places(g, bytes);
    fill_with_nan(ctx, bytes);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    ck_assert_uint_eq(peft_context_bytes(ctx), bytes);
    ck_assert_msg(!peft_graph_wait(g, &error), "%s", error.message);

    memcpy(o->y, read_values(g, y), sizeof o->y);
    for (int i = 0; i < NUM_LEAVES && !how.parameters; i++)
        if (leaves[i]->grad)
            memcpy(o->dleaves[i], read_values(g, leaves[i]->grad),
                   (size_t)peft_shape_count(&leaves[i]->shape) * sizeof(float));
    peft_graph_free(g);
    peft_context_close(ctx);
    return bytes;
}

static void check_arrangements(describe_function *describe, uint64_t seed, peft_dtype dtype)
{
    static const arrangement same_bits[] = {{.keeps_all = true},
                                            {.checkpointed = true},
                                            {.unchained = true},
                                            {.unchained = true, .keeps_all = true},
                                            {.checkpointed = true, .keeps_all = true},
                                            {.threads = 1},
                                            {.threads = 1, .unchained = true}};
    outcome planned, other;
    if (!peft_dtype_available(dtype)) return;
    size_t bytes = run(describe, seed, (arrangement){.dtype = dtype}, &planned);
    for (int k = 0; k < ELEMENTS; k++) ck_assert(!isnan(planned.y[k]));
    ck_assert_uint_lt(bytes, run(describe, seed, (arrangement){.dtype = dtype, .own_places = true}, &other));
    ck_assert_mem_eq(&planned, &other, sizeof planned);
    for (size_t k = 0; k < sizeof same_bits / sizeof *same_bits; k++) {
        arrangement how = same_bits[k];
        how.dtype = dtype;
        size_t others = run(describe, seed, how, &other);
        ck_assert_mem_eq(&planned, &other, sizeof planned);
        if (k == 0) ck_assert_uint_le(bytes, others);
    }
    run(describe, seed, (arrangement){.dtype = dtype, .parameters = true}, &other); /* 0 + -0 is 0 */
    for (int i = 0; i < NUM_LEAVES; i++)
        for (int k = 0; k < ELEMENTS; k++) ck_assert(planned.dleaves[i][k] == other.dleaves[i][k]);
}

START_TEST(places_and_recomputation_change_no_bit)
{
    check_arrangements(random_graph, (uint64_t)_i, PEFT_F32);
    check_arrangements(random_graph, (uint64_t)_i, PEFT_BF16);
}
END_TEST

START_TEST(layers_have_the_same_bits)
{
    check_arrangements(feed_forwards, 1 + (uint64_t)_i, PEFT_F32);
    check_arrangements(feed_forwards, 1 + (uint64_t)_i, PEFT_BF16);
}
END_TEST

static double largest_difference(const float *a, const float *b, int count, double *largest)
{
    double apart = 0;
    *largest = 0;
    for (int k = 0; k < count; k++) {
        apart = fmax(apart, fabs((double)a[k] - (double)b[k]));
        *largest = fmax(*largest, fabs((double)a[k]));
    }
    return apart;
}

/* Forward is as it was. A gradient is made of values that are off by 2^-9 of themselves, through a few layers. */
START_TEST(layers_kept_in_bf16_have_nearly_the_same_gradients)
{
    if (!peft_dtype_available(PEFT_BF16)) return;
    static const arrangement same_bits[] = {{.dtype = PEFT_BF16, .keeps_bf16 = true, .own_places = true},
                                            {.dtype = PEFT_BF16, .keeps_bf16 = true, .unchained = true},
                                            {.dtype = PEFT_BF16, .keeps_bf16 = true, .threads = 1}};
    uint64_t layers = 1 + (uint64_t)_i;
    outcome exact, rounded, other, segments;
    size_t bytes = run(feed_forwards, layers, (arrangement){.dtype = PEFT_BF16}, &exact);
    size_t fewer = run(feed_forwards, layers, (arrangement){.dtype = PEFT_BF16, .keeps_bf16 = true}, &rounded);
    /* The layer whose backward runs has its values in float once more. */
    if (layers > 2) ck_assert_uint_le(fewer + (layers - 2) * ROWS * WIDE * sizeof(uint16_t), bytes);
    ck_assert_mem_eq(exact.y, rounded.y, sizeof exact.y);
    ck_assert_mem_ne(exact.dleaves, rounded.dleaves, sizeof exact.dleaves);
    run(feed_forwards, layers, (arrangement){.dtype = PEFT_BF16, .keeps_bf16 = true, .checkpointed = true}, &segments);
    ck_assert_mem_eq(exact.y, segments.y, sizeof exact.y);
    for (int i = 0; i < NUM_LEAVES; i++) {
        double largest, apart = largest_difference(exact.dleaves[i], rounded.dleaves[i], ELEMENTS, &largest);
        ck_assert_double_le(apart, largest / 128);
        ck_assert_double_le(largest_difference(exact.dleaves[i], segments.dleaves[i], ELEMENTS, &largest),
                            largest / 128);
    }
    for (size_t k = 0; k < sizeof same_bits / sizeof *same_bits; k++) {
        run(feed_forwards, layers, same_bits[k], &other);
        ck_assert_mem_eq(&rounded, &other, sizeof rounded);
    }
    run(feed_forwards, layers,
        (arrangement){.dtype = PEFT_BF16, .keeps_bf16 = true, .checkpointed = true, .unchained = true}, &other);
    ck_assert_mem_eq(&segments, &other, sizeof segments);
}
END_TEST

/* As bits: the upper half, to the nearest, ties to even. */
START_TEST(a_cast_rounds_to_the_nearest)
{
    static const struct {
        uint32_t in;
        uint16_t out;
    } table[] = {{0x3F800000, 0x3F80}, {0x3F807FFF, 0x3F80}, {0x3F808000, 0x3F80}, {0x3F808001, 0x3F81},
                 {0x3F818000, 0x3F82}, {0xBF818000, 0xBF82}, {0x7F7FFFFF, 0x7F80}, {0x7F800000, 0x7F80},
                 {0xFF800000, 0xFF80}, {0x7F800001, 0x7FC0}, {0x00000000, 0x0000}, {0x80000000, 0x8000},
                 {0x00018000, 0x0002}, {0x7FC00000, 0x7FC0}};
    enum { COUNT = sizeof table / sizeof *table };
    uint32_t in[COUNT];
    for (int k = 0; k < COUNT; k++) in[k] = table[k].in;
    peft_context_options options = {.threads = 1, .backend = peft_backend_name(_i)};
    if (!options.backend || !peft_backend_available(options.backend)) return;
    peft_context *ctx;
    peft_graph *g;
    peft_error error = {0};
    ck_assert(!peft_context_open(&ctx, &options, &error) && !peft_graph_create(&g, &error));
    peft_tensor *x = peft_constant(g, PEFT_F32, peft_shape_2(1, COUNT), in, "x");
    peft_tensor *rounded =
        peft_node_output(g, peft_graph_append(g, PEFT_OP_cast, 1, &x, NULL, 0), PEFT_BF16, peft_shape_2(1, COUNT));
    peft_tensor *back =
        peft_node_output(g, peft_graph_append(g, PEFT_OP_cast, 1, &rounded, NULL, 0), PEFT_F32, peft_shape_2(1, COUNT));
    peft_graph_keep(g, rounded);
    peft_graph_keep(g, back);
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    for (int k = 0; k < COUNT; k++) {
        uint32_t bits;
        memcpy(&bits, (const float *)read_values(g, back) + k, sizeof bits);
        ck_assert_uint_eq(((const uint16_t *)read_values(g, rounded))[k], table[k].out);
        ck_assert_uint_eq(bits, (uint32_t)table[k].out << 16);
    }
    peft_graph_free(g);
    peft_context_close(ctx);
}
END_TEST

static peft_tensor *random_double(peft_graph *g, peft_tensor *const *in)
{
    return random_graph(g, (uint64_t)in[3]->shape.size[0], in, in[3]->shape.size[0] % 2);
}

/* Of a few adapters in a row, each of which rounds by 2^-7 all together. */
static const double BF16_TOLERANCE = 1.0 / 16;

START_TEST(random_graphs_have_the_right_gradients)
{
    static const int32_t nothing[1 + RANDOM_GRAPHS];
    op_case c = {"random graph",
                 random_double,
                 {SHAPE2(FEW_ROWS, COLUMNS),
                  SHAPE2(FEW_ROWS, COLUMNS),
                  SHAPE1(COLUMNS),
                  {.shape = {1, {1 + _i}}, .indices = nothing}}, /* its size tells the graph */
                 1e-3};
    op_check_rounded(&c, BF16_TOLERANCE);
}
END_TEST

/* 12 tensors, of which backward reads all */
static peft_tensor *activations(peft_graph *g, peft_tensor *x)
{
    for (int k = 0; k < 4; k++) x = f(g, peft_mul(g, x, f(g, x)));
    return x;
}

/* 12 tensors; backward reads the results of softmax, and nobody else does */
static peft_tensor *softmaxes(peft_graph *g, peft_tensor *x)
{
    for (int k = 0; k < 12; k++) x = peft_scale(g, peft_softmax(g, x), 2);
    return x;
}

static size_t bytes_of_layers(peft_tensor *(*layer)(peft_graph *g, peft_tensor *x), bool checkpointed)
{
    static float x[64 * 64];
    peft_context *ctx;
    peft_graph *g;
    size_t bytes;
    ck_assert(!peft_context_open(&ctx, NULL, NULL) && !peft_graph_create(&g, NULL));
    g->least_recalled_rows = INT64_MAX;
    peft_tensor *y = peft_variable(g, PEFT_F32, peft_shape_2(64, 64), x, "x");
    for (int k = 0; k < 8; k++) {
        if (checkpointed) peft_graph_checkpoint_begin(g);
        y = layer(g, y);
        if (checkpointed) peft_graph_checkpoint_end(g);
    }
    ck_assert(!peft_graph_differentiate(g, peft_sum(g, y, PEFT_ALL_DIMS), NULL));
    ck_assert(!peft_graph_plan(g, ctx, &bytes, NULL));
    peft_graph_free(g);
    peft_context_close(ctx);
    return bytes;
}

/* Stored: 8 layers of 12 tensors. Checkpointed: the 8 results, the 12 tensors of one layer at a time, and what its
 * backward computes. */
START_TEST(recomputation_saves_memory)
{
    peft_tensor *(*const layer)(peft_graph * g, peft_tensor * x) = _i ? softmaxes : activations;
    size_t stored = bytes_of_layers(layer, false), recomputed = bytes_of_layers(layer, true);
    size_t tensor = 64 * 64 * sizeof(float);
    ck_assert_uint_ge(stored, 8 * 12 * tensor);
    ck_assert_uint_le(recomputed, (8 + 12 + 4) * tensor);
}
END_TEST

typedef struct planned {
    size_t bytes;
    int32_t steps;
} planned;

static planned plan_layers(double dropout, bool keeps_all, bool observed)
{
    static float values[ELEMENTS], dy[ELEMENTS];
    peft_context *ctx;
    peft_graph *g;
    peft_tensor *leaves[NUM_LEAVES];
    ck_assert(!peft_context_open(&ctx, NULL, NULL) && !peft_graph_create(&g, NULL));
    for (int i = 0; i < NUM_LEAVES; i++)
        leaves[i] =
            peft_variable(g, PEFT_F32, i < 2 ? peft_shape_2(ROWS, COLUMNS) : peft_shape_1(COLUMNS), values, "x");
    peft_tensor *x = peft_scale(g, leaves[0], 2);
    for (int k = 0; k < LAYERS; k++) x = feed_forward(g, x, leaves, dropout, true, false);
    for (int32_t n = 0; n < g->num_nodes; n++)
        if (observed && g->nodes[n]->op == PEFT_OP_activation) peft_graph_keep(g, g->nodes[n]->out[0]);
    g->least_recalled_rows = keeps_all ? INT64_MAX : 0;
    planned p;
    ck_assert(!peft_graph_differentiate_from(g, x, dy, NULL) && !peft_graph_plan(g, ctx, &p.bytes, NULL));
    p.steps = g->num_steps;
    peft_graph_free(g);
    peft_context_close(ctx);
    return p;
}

/* All layers but the one whose backward runs do without the results of norm and activation, and without what dropout
 * makes of them. A result that is observed is there, and not computed again. */
START_TEST(cheap_results_are_not_kept)
{
    double dropout = _i ? 0.2 : 0;
    int32_t each = _i ? 4 : 2;
    planned kept = plan_layers(dropout, true, false), again = plan_layers(dropout, false, false);
    ck_assert_uint_le(again.bytes + (LAYERS - 1) * ROWS * (WIDE + COLUMNS) * sizeof(float), kept.bytes);
    ck_assert_int_eq(again.steps, kept.steps + LAYERS * each);
    ck_assert_int_eq(plan_layers(dropout, false, true).steps, kept.steps + LAYERS * (_i ? 2 : 1));
}
END_TEST

/* A chain without gradients needs the place of one tensor: every node writes over its input. */
START_TEST(a_chain_runs_in_place)
{
    static float x[256];
    peft_context *ctx;
    peft_graph *g;
    size_t bytes;
    ck_assert(!peft_context_open(&ctx, NULL, NULL) && !peft_graph_create(&g, NULL));
    peft_tensor *y = peft_constant(g, PEFT_F32, peft_shape_1(256), x, "x");
    for (int k = 0; k < 10; k++) y = f(g, peft_softmax(g, peft_scale(g, y, 2)));
    peft_graph_keep(g, y);
    ck_assert(!peft_graph_plan(g, ctx, &bytes, NULL));
    ck_assert_uint_eq(bytes, sizeof x);
    peft_graph_free(g);
    peft_context_close(ctx);
}
END_TEST

START_TEST(the_first_error_is_kept)
{
    static float x[15];
    peft_error error = {0};
    peft_context *ctx;
    peft_graph *g;
    size_t bytes;
    ck_assert(!peft_context_open(&ctx, NULL, NULL) && !peft_graph_create(&g, NULL));
    peft_tensor *a = peft_constant(g, PEFT_F32, peft_shape_2(3, 5), x, "a");
    ck_assert(!peft_graph_status(g, &error) && !error.status);
    ck_assert_ptr_null(peft_slice(g, a, 7, 0, 1));
    ck_assert_ptr_null(peft_add(g, NULL, a));
    ck_assert_ptr_null(f(g, peft_reshape(g, NULL, peft_shape_1(1))));
    ck_assert_ptr_null(peft_graph_keep(g, NULL));
    ck_assert_ptr_null(peft_constant(g, PEFT_F32, peft_shape_1(15), x, "later"));
    ck_assert_int_eq(peft_graph_differentiate(g, NULL, NULL), PEFT_ERR_ARGUMENT);
    ck_assert_int_eq(peft_graph_plan(g, ctx, &bytes, NULL), PEFT_ERR_ARGUMENT);
    ck_assert_int_eq(peft_graph_run(g, ctx, &error), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(error.message, "slice: dimension: expected less than 2, found 7");

    peft_graph_reset(g);
    peft_error again = {0};
    ck_assert(!peft_graph_status(g, &again));
    ck_assert_ptr_null(peft_add(g, NULL, NULL)); /* NULL without an error before is one */
    ck_assert_int_eq(peft_graph_status(g, &again), PEFT_ERR_ARGUMENT);
    ck_assert_str_eq(again.message, "add: a: expected a tensor, found NULL");
    peft_graph_free(g);
    peft_context_close(ctx);
}
END_TEST

/* What cannot be differentiated, in the order of _i. */
START_TEST(wrong_differentiation_is_refused)
{
    static float x[15], dx[15];
    static const char *const messages[] = {
        "expected [1], found [3, 5]", "depends on nothing", "expected a tensor", "is a leaf",
        "differentiated already",     "may not be nested",  "end without begin"};
    peft_graph *g;
    peft_error error = {0};
    ck_assert(!peft_graph_create(&g, NULL));
    peft_tensor *a = peft_constant(g, PEFT_F32, peft_shape_2(3, 5), x, "a");
    peft_tensor *p = peft_parameter(g, PEFT_F32, peft_shape_2(3, 5), x, dx, "p");
    peft_tensor *loss = peft_sum(g, peft_mul(g, a, p), PEFT_ALL_DIMS);
    peft_tensor *const wrong[] = {p, peft_sum(g, a, PEFT_ALL_DIMS), NULL};
    if (_i == 3) ck_assert(peft_graph_differentiate_from(g, p, x, NULL));
    if (_i == 4) ck_assert(!peft_graph_differentiate(g, loss, NULL));
    if (_i == 5) peft_graph_checkpoint_begin(g), peft_graph_checkpoint_begin(g);
    if (_i == 6) peft_graph_checkpoint_end(g);
    ck_assert(peft_graph_differentiate(g, _i < 3 ? wrong[_i] : loss, &error));
    ck_assert_msg(strstr(error.message, messages[_i]), "\"%s\" without \"%s\"", error.message, messages[_i]);
    peft_graph_free(g);
}
END_TEST

START_TEST(nothing_follows_differentiation)
{
    static float x[4], dx[4];
    peft_graph *g;
    peft_error error = {0};
    ck_assert(!peft_graph_create(&g, NULL));
    peft_tensor *loss = peft_sum(g, peft_parameter(g, PEFT_F32, peft_shape_1(4), x, dx, "p"), PEFT_ALL_DIMS);
    ck_assert(!peft_graph_differentiate(g, loss, NULL));
    ck_assert_ptr_null(f(g, loss));
    ck_assert_int_eq(peft_graph_status(g, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "activation: the graph has been differentiated already"));
    peft_graph_free(g);
}
END_TEST

/* A plan is made again where threads change, and a run may be repeated: parameters' gradients add up. */
START_TEST(runs_repeat)
{
    float x[3] = {1, 2, 3}, dx[3] = {0};
    peft_graph *g;
    ck_assert(!peft_graph_create(&g, NULL));
    peft_tensor *p = peft_parameter(g, PEFT_F32, peft_shape_1(3), x, dx, "p");
    peft_tensor *loss = peft_sum(g, peft_mul(g, p, p), PEFT_ALL_DIMS);
    ck_assert(!peft_graph_differentiate(g, loss, NULL));
    for (int threads = 1; threads <= 3; threads++) {
        peft_context *ctx;
        peft_context_options options = {.threads = threads, .backend = threads == 2 ? "portable" : NULL};
        ck_assert(!peft_context_open(&ctx, &options, NULL) && !peft_graph_run(g, ctx, NULL));
        ck_assert(*(const float *)read_values(g, loss) == 14 && dx[1] == (float)threads * 4);
        peft_context_close(ctx);
    }
    peft_graph_free(g);
}
END_TEST

/* Checks nothing: Check allocates too. */
static peft_status train_once(float y[ELEMENTS], float dx[ELEMENTS], peft_error *error)
{
    static float x[ELEMENTS];
    peft_graph *g = NULL;
    peft_context *ctx = NULL;
    peft_status status = peft_graph_create(&g, error);
    if (!status) status = peft_context_open(&ctx, NULL, error);
    if (!status) {
        peft_tensor *p = peft_parameter(g, PEFT_F32, peft_shape_2(ROWS, COLUMNS), x, dx, "p");
        peft_tensor *q = peft_variable(g, PEFT_F32, peft_shape_2(ROWS, COLUMNS), x, "q");
        for (int layer = 0; layer < 100; layer++) { /* more than any array has room for at first */
            peft_graph_checkpoint_begin(g);
            q = peft_add(g, q, f(g, peft_reshape(g, peft_mul(g, p, q), peft_shape_2(ROWS, COLUMNS))));
            peft_graph_checkpoint_end(g);
        }
        status = peft_graph_differentiate_from(g, q, y, error);
    }
    if (!status) status = peft_graph_run(g, ctx, error);
    peft_graph_free(g);
    peft_context_close(ctx);
    return status;
}

START_TEST(running_out_of_memory_is_an_error)
{
    bool failed = true;
    int64_t call = 0;
    for (; failed; call++) {
        float y[ELEMENTS] = {0}, dx[ELEMENTS] = {0};
        fail_allocation(call);
        peft_error error = {0};
        peft_status status = train_once(y, dx, &error);
        failed = allocation_failed();
        ck_assert_int_eq(status, error.status);
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
    }
    ck_assert_int_gt(call, 10);
}
END_TEST

TEST_MAIN("graph", tcase_add_loop_test(tc, shared_gradients_are_right, 0, sizeof cases / sizeof *cases);
          tcase_add_loop_test(tc, places_and_recomputation_change_no_bit, 0, RANDOM_GRAPHS);
          tcase_add_loop_test(tc, layers_have_the_same_bits, 0, LAYERS);
          tcase_add_loop_test(tc, layers_kept_in_bf16_have_nearly_the_same_gradients, 0, LAYERS);
          tcase_add_loop_test(tc, a_cast_rounds_to_the_nearest, 0, 8);
          tcase_add_loop_test(tc, random_graphs_have_the_right_gradients, 0, RANDOM_GRAPHS);
          tcase_add_loop_test(tc, recomputation_saves_memory, 0, 2);
          tcase_add_loop_test(tc, cheap_results_are_not_kept, 0, 2); tcase_add_test(tc, a_chain_runs_in_place);
          tcase_add_test(tc, the_first_error_is_kept); tcase_add_loop_test(tc, wrong_differentiation_is_refused, 0, 7);
          tcase_add_test(tc, nothing_follows_differentiation); tcase_add_test(tc, runs_repeat);
          tcase_add_test(tc, running_out_of_memory_is_an_error))
