/* variants/mora.c - high-rank updating: a square matrix between two maps that have no parameters.
 *
 *     y = W x + b + D(M C(x))                                    (Jiang et al. 2024, arXiv 2405.12130, eq. 4)
 *
 * M [n, n] with n = sqrt((in + out) r), rounded: as many parameters as a LoRA of rank r, and an update of a rank up to
 * n instead of r. C makes n numbers of the layer's input and D the output of n numbers. They are the fold of ops/ops.h;
 * the numbers are those of the authors' program:
 *
 *     1  C adds columns that are n apart, D repeats all n in turns        (sharing, eq. 6)
 *     2  C adds neighbours, D repeats each n-th beside itself
 *     3  C as 2, D as 1
 *     4  C as 1, D as 2
 *     6  C cuts x into blocks of n, the last filled with the first columns of x, and turns block t by t angles, as RoPE
 *        turns token t; M is applied to each block, and D puts the results side by side, repeated or cut off
 *                                                                         (rotation, eq. 9; n even)
 *
 * M starts at zero, so the adapted layer starts as the base layer. There is no alpha. Dropout acts on the input of C.
 */
#include <math.h>
#include <string.h>

#include "ops/ops.h"
#include "variants/adapter.h"
#include "variants/factors.h"

typedef struct mora_options {
    peft_common_options common;
    char *type;
} mora_options;

typedef struct mora_type {
    bool rotates;
    peft_fold_layout compress, expand;
} mora_type;

static const char *const type_names[] = {"1", "2", "3", "4", "6", NULL};
static const mora_type types[] = {{false, PEFT_FOLD_WRAPPED, PEFT_FOLD_WRAPPED},
                                  {false, PEFT_FOLD_GROUPED, PEFT_FOLD_GROUPED},
                                  {false, PEFT_FOLD_GROUPED, PEFT_FOLD_WRAPPED},
                                  {false, PEFT_FOLD_WRAPPED, PEFT_FOLD_GROUPED},
                                  {true, PEFT_FOLD_WRAPPED, PEFT_FOLD_WRAPPED}};

enum { M, COS, SIN, VALUES };

static const mora_type *type_of(const peft_adapters *all)
{
    const mora_options *o = all->options;
    int k = 0;
    while (type_names[k + 1] && strcmp(type_names[k], o->type) != 0) k++;
    return &types[k];
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* n */
static int64_t size_of(const peft_adapter *a)
{
    const double half = 0.5;
    int64_t n = (int64_t)(sqrt((double)(a->in_features + a->out_features) * (double)a->rank) + half);
    if (!type_of(a->all)->rotates) return n;
    return n < 2 ? 2 : n / 2 * 2;
}

static int64_t num_blocks(const peft_adapter *a)
{
    return (a->in_features + size_of(a) - 1) / size_of(a);
}

static double scaling(const peft_adapter *a)
{
    (void)a;
    return 1;
}

static int32_t layer_values(const peft_adapter *a, peft_value_spec *specs)
{
    int64_t n = size_of(a);
    specs[M] = (peft_value_spec){.name = "mora_M", .shape = peft_shape_2(n, n), .role = PEFT_ROLE_OTHER};
    if (!type_of(a->all)->rotates) return COS;
    specs[COS] =
        (peft_value_spec){.name = "mora_cos", .shape = peft_shape_2(num_blocks(a), n), .kind = PEFT_VALUE_STATE};
    specs[SIN] =
        (peft_value_spec){.name = "mora_sin", .shape = peft_shape_2(num_blocks(a), n), .kind = PEFT_VALUE_STATE};
    return VALUES;
}

/* By which column c of block t is turned: RoPE's angles, whose pairs are n / 2 apart. */
static double angle(int64_t n, int64_t t, int64_t c)
{
    const double base = 10000;
    return (double)t * pow(base, -2 * (double)(c % (n / 2)) / (double)n);
}

static void draw(peft_adapters *all)
{
    for (int64_t l = 0; l < all->num_layers && type_of(all)->rotates; l++) {
        const peft_adapter *a = &all->layers[l];
        int64_t n = size_of(a);
        for (int64_t k = 0; k < num_blocks(a) * n; k++) {
            a->values[COS].data[k] = (float)cos(angle(n, k / n, k % n));
            a->values[SIN].data[k] = (float)sin(angle(n, k / n, k % n));
        }
    }
}

/* ---- in graphs ---- */

/* x cos + (-x_2, x_1) sin of blocks [T, blocks, n] with halves x_1, x_2. */
static peft_tensor *rotate(peft_graph *g, const peft_adapter *a, peft_tensor *blocks, const peft_batch *batch)
{
    int64_t half = size_of(a) / 2;
    peft_tensor *turned[] = {peft_scale(g, peft_slice(g, blocks, 2, half, half), -1),
                             peft_slice(g, blocks, 2, 0, half)};
    return peft_add(g, peft_mul(g, blocks, peft_value_leaf(g, &a->values[COS], batch)),
                    peft_mul(g, peft_concat(g, 2, turned, 2), peft_value_leaf(g, &a->values[SIN], batch)));
}

/* M on each turned block, side by side: [T, blocks n]. */
static peft_tensor *by_blocks(peft_graph *g, const peft_adapter *a, peft_tensor *x, const peft_batch *batch)
{
    if (!x) return NULL;
    int64_t n = size_of(a), blocks = num_blocks(a), tokens = peft_rows(x);
    peft_tensor *padded = peft_fold(g, x, blocks * n, PEFT_FOLD_WRAPPED);
    peft_tensor *turned = rotate(g, a, peft_reshape(g, padded, peft_shape_3(tokens, blocks, n)), batch);
    peft_tensor *z = peft_linear(g, peft_reshape(g, turned, peft_shape_2(tokens * blocks, n)),
                                 peft_value_leaf(g, &a->values[M], batch), NULL);
    return peft_reshape(g, z, peft_shape_2(tokens, blocks * n));
}

/* M C(x), as far as the output has room for it. A layer narrower than n has a group for each column, and others for
 * none. */
static peft_tensor *by_folding(peft_graph *g, const peft_adapter *a, peft_tensor *x, const peft_batch *batch)
{
    int64_t n = size_of(a), in = a->in_features, out = a->out_features;
    peft_fold_layout layout = type_of(a->all)->compress;
    bool narrow = layout == PEFT_FOLD_GROUPED && in < n;
    peft_tensor *rows = peft_slice(g, peft_value_leaf(g, &a->values[M], batch), 0, 0, smaller(n, out));
    if (narrow) return peft_linear(g, x, peft_slice(g, rows, 1, 0, in), NULL);
    return peft_linear(g, peft_fold(g, x, n, layout), rows, NULL);
}

static peft_tensor *forward(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                            const peft_batch *batch)
{
    const mora_type *type = type_of(a->all);
    int64_t out = a->out_features;
    peft_tensor *dropped = peft_adapter_dropout(g, a, x, batch);
    peft_tensor *z = type->rotates ? by_blocks(g, a, dropped, batch) : by_folding(g, a, dropped, batch);
    if (z && peft_columns(z) > out) z = peft_slice(g, z, 1, 0, out);
    return peft_add(g, peft_base_forward(g, base, x), peft_fold(g, z, out, type->expand));
}

/* ---- as a plain LoRA ---- */

/* Which of `groups` groups of neighbours place i of `count` is in. */
static int64_t group_of(int64_t i, int64_t count, int64_t groups)
{
    int64_t size = count / groups, more = count % groups, in_larger = more * (size + 1);
    return i < in_larger ? i / (size + 1) : more + (i - in_larger) / size;
}

/* Row k of M C, [in]: what the input does to number k. */
static void add_folded(const peft_adapter *a, int64_t k, float *row)
{
    int64_t n = size_of(a), in = a->in_features;
    const float *m = a->values[M].data + k * n;
    if (type_of(a->all)->compress == PEFT_FOLD_WRAPPED)
        for (int64_t p = 0; p < num_blocks(a) * n; p++) row[p % in] += m[p % n];
    else
        for (int64_t i = 0; i < in; i++) row[i] = m[in < n ? i : group_of(i, in, n)];
}

/* The same where block t = k / n of x is turned by R_t: row k % n of M R_t. */
static void add_turned(const peft_adapter *a, int64_t k, float *row)
{
    int64_t n = size_of(a), half = n / 2, t = k / n;
    const float *m = a->values[M].data + k % n * n;
    for (int64_t c = 0; c < n; c++) {
        double other = c < half ? (double)m[c + half] : -(double)m[c - half];
        row[(t * n + c) % a->in_features] += (float)((double)m[c] * cos(angle(n, t, c)) + other * sin(angle(n, t, c)));
    }
}

/* A: the numbers that the output is made of; B: which of them each output is. */
static peft_status to_lora(const peft_adapter *a, peft_lora_factors *factors, peft_error *error)
{
    const mora_type *type = type_of(a->all);
    int64_t in = a->in_features, out = a->out_features;
    int64_t rank = smaller(out, type->rotates ? num_blocks(a) * size_of(a) : size_of(a));
    peft_status status = peft_lora_factors_allocate(a, rank, factors, error);
    if (status) return status;
    memset(factors->A, 0, (size_t)(rank * in) * sizeof *factors->A);
    memset(factors->B, 0, (size_t)(rank * out) * sizeof *factors->B);
    for (int64_t k = 0; k < rank; k++) (type->rotates ? add_turned : add_folded)(a, k, factors->A + k * in);
    for (int64_t o = 0; o < out; o++) {
        int64_t k = type->expand == PEFT_FOLD_WRAPPED ? o % rank : group_of(o, out, rank);
        factors->B[o * rank + k] = 1;
    }
    return PEFT_OK;
}

/* ---- the table ---- */

static const peft_option option_table[] = {PEFT_RANK_OPTION_ROW("8"),
                                           PEFT_DROPOUT_OPTION_ROW,
                                           {.name = "mora_type",
                                            .type = PEFT_OPTION_STRING,
                                            .offset = offsetof(mora_options, type),
                                            .initial = "6",
                                            .choices = type_names,
                                            .placeholder = "N",
                                            .help = "how inputs are folded and outputs unfolded: 1 in turns, 2 by "
                                                    "neighbours, 3 and 4 one of each, 6 by turned blocks",
                                            .group = "Adapter"},
                                           {0}};

const peft_variant peft_variant_mora = {
    .name = "mora",
    .equation = "y = W x + b + D(M C(x))",
    .source = "Jiang et al. 2024, arXiv 2405.12130, eq. (4)",
    .summary = "a square matrix between folded inputs and repeated outputs: an update of high rank",
    .peft_type = "MORA",
    .own_format = "1",
    .options_bytes = sizeof(mora_options),
    .options = option_table,
    .scaling = scaling,
    .layer_values = layer_values,
    .draw = draw,
    .forward = forward,
    .by_token = true,
    .to_lora = to_lora,
};
