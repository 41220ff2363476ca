/* variants/lokr.c - low-rank Kronecker product.
 *
 *     y = (W + s C (x) D) x + b,   s = alpha / r              (Yeh et al. 2023, arXiv 2309.14859, section 3.2)
 *
 * The layer's sizes are factored, out = a b and in = c d; C [a, c], D [b, d], and block (i, j) of C (x) D is C_ij D. D
 * is a product of rank r, [b, r] [r, d], where that is smaller, and so is C with --decompose-both. The update is never
 * formed: with x as a matrix X [c, d] the product is C X D^T as a vector [a b]. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "variants/factors.h"
#include "variants/lycoris.h"

typedef struct lokr_options {
    peft_lycoris_options lycoris;
    bool decompose_both, rank_dropout_scale;
    int64_t decompose_factor;
    char *init;
} lokr_options;

static const char lycoris[] = "lycoris";
static const char *const init_choices[] = {"peft", lycoris, NULL};

static const peft_option option_table[] = {
    PEFT_LYCORIS_OPTION_ROWS,
    {.name = "decompose_factor",
     .type = PEFT_OPTION_INT,
     .offset = offsetof(lokr_options, decompose_factor),
     .initial = "-1",
     .min = -1,
     .max = PEFT_MAX_RANK,
     .placeholder = "N",
     .help = "size of C: this divisor of the layer's sizes, or the largest below it; -1: as near to a square as can be",
     .group = "Adapter"},
    {.name = "decompose_both",
     .type = PEFT_OPTION_BOOL,
     .offset = offsetof(lokr_options, decompose_both),
     .initial = "false",
     .help = "make C a product of rank r too, where that is smaller",
     .group = "Adapter"},
    {.name = "rank_dropout_scale",
     .type = PEFT_OPTION_BOOL,
     .offset = offsetof(lokr_options, rank_dropout_scale),
     .initial = "false",
     .help = "divide what rank_dropout leaves by its share",
     .group = "Adapter"},
    {.name = "init",
     .type = PEFT_OPTION_STRING,
     .offset = offsetof(lokr_options, init),
     .initial = "peft",
     .choices = init_choices,
     .placeholder = "NAME",
     .help = "what starts at zero: C (peft) or D (lycoris)",
     .group = "Adapter"},
    {0}};

static const struct peft_json_value init_json_values[] = {
    {"peft", "true"}, {lycoris, "\"lycoris\""}, {"peft", "false"}, {0}};

static const peft_json_name json_names[] = {
    PEFT_LYCORIS_JSON_NAME_ROWS, {.option = "init", .json = "init_weights", .values = init_json_values}, {0}};

static const peft_json_field json_fields[] = {{"use_effective_conv2d", "false", PEFT_FIELD_REFUSE}, {0}};

/* ---- sizes ---- */

/* m n = size, as PEFT factors it: m is `factor` where that divides; else m <= n are neighbouring divisors, m as large
 * as `factor` (-1: size) and a falling sum m + n allow. */
static void factor_size(int64_t size, int64_t factor, int64_t *m, int64_t *n)
{
    *m = factor > 0 && size % factor == 0 ? factor : 1;
    *n = size / *m;
    if (*m > 1 || factor == 1) return;
    int64_t limit = factor < 0 ? size : factor;
    for (int64_t next = 2; next * next <= size && next <= limit; next++)
        if (size % next == 0) *m = next;
    *n = size / *m;
}

/* One of the two matrices: a value of its own, or the product of two. */
typedef struct part {
    const char *name, *name_left, *name_right; /* in files */
    int32_t value;                             /* of the layer: the matrix or its left factor */
    int64_t rows, columns;
    bool is_product;
} part;

typedef struct parts {
    part C, D;
} parts;

static parts parts_of(const peft_adapter *adapter)
{
    const lokr_options *options = adapter->all->options;
    int64_t a, b, c, d, r = adapter->rank;
    factor_size(adapter->out_features, options->decompose_factor, &a, &b);
    factor_size(adapter->in_features, options->decompose_factor, &c, &d);
    parts p = {.C = {"lokr_w1", "lokr_w1_a", "lokr_w1_b", 0, a, c, false},
               .D = {"lokr_w2", "lokr_w2_a", "lokr_w2_b", 0, b, d, false}};
    p.C.is_product = options->decompose_both && 2 * r < (a > c ? a : c);
    p.D.is_product = 2 * r < (b > d ? b : d);
    p.D.value = p.C.is_product ? 2 : 1;
    return p;
}

static peft_value_spec spec_of(const char *name, int64_t rows, int64_t columns, bool zero, peft_role role)
{
    return (peft_value_spec){.name = name,
                             .shape = peft_shape_2(rows, columns),
                             .start = zero ? PEFT_START_ZERO : PEFT_START_UNIFORM,
                             .spread = 1.0 / sqrt((double)columns),
                             .role = role};
}

/* Of a product that starts at zero one factor does: the left one of C, the right one of D. */
static void add_values(const part *p, int64_t rank, bool zero, bool left, peft_role role, peft_value_spec *specs)
{
    if (p->is_product) {
        specs[p->value] = spec_of(p->name_left, p->rows, rank, zero && left, role);
        specs[p->value + 1] = spec_of(p->name_right, rank, p->columns, zero && !left, role);
    } else {
        specs[p->value] = spec_of(p->name, p->rows, p->columns, zero, role);
    }
}

static int32_t layer_values(const peft_adapter *a, peft_value_spec *specs)
{
    const lokr_options *options = a->all->options;
    parts p = parts_of(a);
    bool D_is_zero = strcmp(options->init, lycoris) == 0;
    add_values(&p.C, a->rank, !D_is_zero, true, PEFT_ROLE_UP, specs);
    add_values(&p.D, a->rank, D_is_zero, false, PEFT_ROLE_DOWN, specs);
    return p.D.value + (p.D.is_product ? 2 : 1);
}

/* ---- the method ---- */

static peft_tensor *matrix(peft_graph *g, const peft_adapter *a, const part *p, const peft_batch *batch)
{
    peft_tensor *first = peft_value_leaf(g, &a->values[p->value], batch);
    return p->is_product ? peft_matmul(g, first, false, peft_value_leaf(g, &a->values[p->value + 1], batch), false)
                         : first;
}

/* (X M^T)^T for each token: X [rows, columns of M] in x, M [by->rows, by->columns] -> [tokens, by->rows, rows] */
static peft_tensor *apply(peft_graph *g, peft_tensor *M, const part *by, peft_tensor *x, int64_t tokens, int64_t rows)
{
    static const int32_t swapped[] = {0, 2, 1};
    peft_tensor *X = peft_reshape(g, x, peft_shape_2(tokens * rows, by->columns));
    peft_tensor *XMt = peft_reshape(g, peft_linear(g, X, M, NULL), peft_shape_3(tokens, rows, by->rows));
    return peft_permute(g, XMt, swapped);
}

static peft_tensor *forward(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                            const peft_batch *batch)
{
    const lokr_options *options = a->all->options;
    parts p = parts_of(a);
    int64_t tokens = x ? x->shape.size[0] : 0;
    peft_tensor *C = peft_scale(g, matrix(g, a, &p.C, batch), a->scaling), *D = matrix(g, a, &p.D, batch);
    peft_tensor *DXt = apply(g, D, &p.D, x, tokens, p.C.columns); /* [T, b, c] */
    peft_tensor *CXDt = apply(g, C, &p.C, DXt, tokens, p.D.rows); /* [T, a, b] */
    peft_tensor *update = peft_reshape(g, CXDt, peft_shape_2(tokens, a->out_features));
    update = peft_lycoris_dropout(g, a, update, true, options->rank_dropout_scale, batch);
    return peft_add(g, peft_base_forward(g, base, x), update);
}

/* ---- as plain LoRA ---- */

typedef struct dense {
    int64_t rows, columns;
    const float *data; /* NULL: a unit matrix */
} dense;

/* A part as left times right: its factors, or itself and a unit matrix on the smaller side. */
typedef struct pair {
    dense left, right;
} pair;

static pair pair_of(const peft_adapter *a, const part *p)
{
    const float *data = a->values[p->value].data;
    if (p->is_product) return (pair){{p->rows, a->rank, data}, {a->rank, p->columns, a->values[p->value + 1].data}};
    if (p->rows <= p->columns) return (pair){{p->rows, p->rows, NULL}, {p->rows, p->columns, data}};
    return (pair){{p->rows, p->columns, data}, {p->columns, p->columns, NULL}};
}

static float entry(const dense *m, int64_t row, int64_t column)
{
    return m->data ? m->data[row * m->columns + column] : (float)(row == column);
}

/* out = x (x) z */
static void kronecker(const dense *x, const dense *z, float *out)
{
    for (int64_t i = 0; i < x->rows; i++)
        for (int64_t k = 0; k < z->rows; k++)
            for (int64_t j = 0; j < x->columns; j++)
                for (int64_t l = 0; l < z->columns; l++) *out++ = entry(x, i, j) * entry(z, k, l);
}

/* (L M) (x) (N O) = (L (x) N) (M (x) O) */
static peft_status to_lora(const peft_adapter *a, peft_lora_factors *factors, peft_error *error)
{
    parts p = parts_of(a);
    pair C = pair_of(a, &p.C), D = pair_of(a, &p.D);
    peft_status status = peft_lora_factors_allocate(a, C.right.rows * D.right.rows, factors, error);
    if (status) return status;
    kronecker(&C.left, &D.left, factors->B);
    kronecker(&C.right, &D.right, factors->A);
    return PEFT_OK;
}

const peft_variant peft_variant_lokr = {
    .name = "lokr",
    .equation = "y = W x + b + (alpha / r) (C (x) D) x, (x) the Kronecker product",
    .source = "Yeh et al. 2023, arXiv 2309.14859, section 3.2",
    .summary = "the Kronecker product of a small matrix and a low-rank one",
    .peft_type = "LOKR",
    .options_bytes = sizeof(lokr_options),
    .options = option_table,
    .json_names = json_names,
    .json_fields = json_fields,
    .absent_fields = peft_lycoris_absent_fields,
    .scaling = peft_lycoris_scaling,
    .layer_values = layer_values,
    .forward = forward,
    .by_token = true,
    .to_lora = to_lora,
};
