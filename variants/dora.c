/* variants/dora.c - weight-decomposed low-rank adaptation: the rows of W + s B A keep a length of their own.
 *
 *     V = W + s B A        N_k = |V_k|        y = (m / N) * (V x) + b           (Liu et al. 2024, arXiv 2402.09353)
 *
 * s is LoRA's alpha / r, or rsLoRA's alpha / sqrt(r) (use_rslora). m [out] starts as the lengths of the rows of W and
 * A, B as LoRA's, so the adapted layer starts as the base layer. The bias is not scaled. With ratio = m / N this is
 *
 *     y = ratio * (W x + b + s B A x) + (1 - ratio) * b                         (1)
 *
 * one product with W, to which the base layer's bias may already have been added. The lengths come without B A
 * [out, in]:
 *
 *     N_k^2 = |W_k|^2 + sum_j (2 s W A^T + s^2 B (A A^T))_kj B_kj               (2)
 *
 * and |W_k|^2 is kept, since W is frozen. As section 4.3 of the paper and Hugging Face PEFT have it, backward takes N
 * for constant; `--norm-gradient full` differentiates (2) as well. Dropout is PEFT's: with x' the dropped input,
 *
 *     y = W x + b + (ratio - 1) * W x' + ratio * s B A x'                       (3)
 *
 * which takes a second product with W. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/side.h"
#include "variants/lora.h"

typedef struct dora_options {
    peft_lora_options lora;
    char *norm_gradient;
    bool use_rslora;
} dora_options;

enum { MAGNITUDE = PEFT_LORA_VALUES, SQUARES, VALUES };

/* Added to squares, so that a row of zeros has a length to divide by. Too small to show in any other. */
static const double SMALLEST_SQUARE = 1e-30;

static const char full[] = "full";
static const char *const norm_gradients[] = {"detached", full, NULL};

static const peft_option option_table[] = {PEFT_LORA_OPTION_ROWS,
                                           {.name = "norm_gradient",
                                            .type = PEFT_OPTION_STRING,
                                            .offset = offsetof(dora_options, norm_gradient),
                                            .initial = "detached",
                                            .choices = norm_gradients,
                                            .placeholder = "NAME",
                                            .help = "whether gradients pass through the lengths of the rows",
                                            .group = "Adapter"},
                                           {.name = "use_rslora",
                                            .type = PEFT_OPTION_BOOL,
                                            .offset = offsetof(dora_options, use_rslora),
                                            .initial = "false",
                                            .help = "scale by alpha / sqrt(r), as rslora does, not by alpha / r",
                                            .group = "Adapter"},
                                           {0}};

static const peft_json_name json_names[] = {PEFT_LORA_JSON_NAME_ROWS, {.option = "norm_gradient"}, {0}};

static double scaling(const peft_adapter *a)
{
    const dora_options *options = a->all->options;
    const double rank = (double)a->rank;
    return a->alpha / (options->use_rslora ? sqrt(rank) : rank);
}

static int32_t layer_values(const peft_adapter *a, peft_value_spec *specs)
{
    peft_lora_layer_values(a, specs);
    specs[MAGNITUDE] = (peft_value_spec){.name = "lora_magnitude_vector",
                                         .other_name = "lora_magnitude_vector.weight",
                                         .shape = peft_shape_1(a->out_features),
                                         .role = PEFT_ROLE_OTHER};
    specs[SQUARES] =
        (peft_value_spec){.name = "squares_of_base", .shape = peft_shape_1(a->out_features), .kind = PEFT_VALUE_STATE};
    return VALUES;
}

/* ---- lengths of rows ---- */

static double square_of_row(const float *row, int64_t count)
{
    double square = 0;
    for (int64_t i = 0; i < count; i++) square += (double)row[i] * (double)row[i];
    return square;
}

static void set_magnitude(peft_adapter *a, const float *W)
{
    float *squares = a->values[SQUARES].data, *magnitude = a->values[MAGNITUDE].data;
    for (int64_t k = 0; k < a->out_features; k++) {
        squares[k] = (float)square_of_row(W + k * a->in_features, a->in_features);
        magnitude[k] = sqrtf(squares[k] + (float)SMALLEST_SQUARE);
    }
}

/* The magnitudes are computed as the graph computes N, so that m / N is exactly 1 where B A starts as zero. */
static peft_status init(peft_adapter *a, const peft_base_linear *base, uint64_t seed, peft_error *error)
{
    peft_status status = peft_lora_init(a, base, seed, error);
    if (status) return status;
    float *copy;
    const float *W = peft_weight_values(base->weight, &copy);
    if (!W) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory for its weight", a->module);
    set_magnitude(a, W);
    free(copy);
    return PEFT_OK;
}

static peft_status check(const void *options, peft_error *error)
{
    const peft_adapters all = {.options = (void *)(uintptr_t)options}; /* only read */
    if (!peft_lora_start_of(&all)->subtracts) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_UNSUPPORTED,
                     "dora: init: \"%s\" takes its start from the weight whose rows keep their lengths here",
                     ((const peft_lora_options *)options)->init);
}

/* (2) */
static peft_tensor *lengths(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *A,
                            peft_tensor *B, const peft_batch *batch)
{
    double s = a->scaling;
    peft_tensor *W = peft_weight_leaf(g, base->weight);
    peft_tensor *WAt = peft_matmul(g, W, false, A, true);
    peft_tensor *BAAt = peft_matmul(g, B, false, peft_matmul(g, A, false, A, true), false);
    peft_tensor *both = peft_add(g, peft_scale(g, WAt, 2 * s), peft_scale(g, BAAt, s * s));
    peft_tensor *added = peft_sum(g, peft_mul(g, both, B), 1);
    peft_tensor *squares = peft_add(g, peft_value_leaf(g, &a->values[SQUARES], batch), added);
    peft_tensor *positive = peft_activation(g, squares, PEFT_ACTIVATION_relu);
    return peft_power(g, peft_shift(g, positive, SMALLEST_SQUARE), 0.5);
}

/* m / N - 1 = (m - N) / N, which is exactly 0 at the start */
static peft_tensor *change_of_length(peft_graph *g, peft_tensor *m, peft_tensor *N)
{
    return peft_mul(g, peft_add(g, m, peft_scale(g, N, -1)), peft_power(g, N, -1));
}

/* ---- the layer ---- */

static peft_tensor *forward(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                            const peft_batch *batch)
{
    const dora_options *options = a->all->options;
    bool through_norm = strcmp(options->norm_gradient, full) == 0;
    peft_tensor *A = peft_value_leaf(g, &a->values[PEFT_LORA_A], batch);
    peft_tensor *B = peft_value_leaf(g, &a->values[PEFT_LORA_B], batch);
    peft_tensor *m = peft_value_leaf(g, &a->values[MAGNITUDE], batch);
    peft_tensor *N = lengths(g, a, base, through_norm ? A : peft_stop_gradient(g, A),
                             through_norm ? B : peft_stop_gradient(g, B), batch);
    peft_tensor *change = change_of_length(g, m, N), *ratio = peft_shift(g, change, 1);
    peft_tensor *y0 = peft_base_forward(g, base, x), *dropped = peft_adapter_dropout(g, a, x, batch);
    if (dropped == x) { /* (1) */
        peft_tensor *y = peft_mul(g, peft_low_rank(g, y0, x, A, B, NULL, NULL, a->scaling), ratio);
        if (!base->bias) return y;
        return peft_add(g, y, peft_scale(g, peft_mul(g, change, peft_weight_leaf(g, base->bias)), -1));
    }
    /* (3), as (W x + b) + (ratio * (W x' + s B A x') - W x') */
    peft_tensor *z = peft_linear(g, dropped, peft_weight_leaf(g, base->weight), NULL);
    peft_tensor *scaled = peft_mul(g, peft_low_rank(g, z, dropped, A, B, NULL, NULL, a->scaling), ratio);
    return peft_add(g, y0, peft_add(g, scaled, peft_scale(g, z, -1)));
}

/* ---- folding in ---- */

/* Row k of W + s B A, in double. */
static void add_update(const peft_adapter *a, int64_t k, const float *W, double *row)
{
    const float *A = a->values[PEFT_LORA_A].data, *B = a->values[PEFT_LORA_B].data + k * a->rank;
    for (int64_t i = 0; i < a->in_features; i++) row[i] = (double)W[i];
    for (int64_t r = 0; r < a->rank; r++)
        for (int64_t i = 0; i < a->in_features; i++)
            row[i] += a->scaling * (double)B[r] * (double)A[r * a->in_features + i];
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is that of all variants' */
static peft_status merge(const peft_adapter *a, float *weight, float *bias, peft_error *error)
{
    (void)bias;
    double *row = malloc((size_t)a->in_features * sizeof *row);
    if (!row) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory for a row of its weight", a->module);
    for (int64_t k = 0; k < a->out_features; k++, weight += a->in_features) {
        add_update(a, k, weight, row);
        double square = SMALLEST_SQUARE;
        for (int64_t i = 0; i < a->in_features; i++) square += row[i] * row[i];
        double ratio = (double)a->values[MAGNITUDE].data[k] / sqrt(square);
        for (int64_t i = 0; i < a->in_features; i++) weight[i] = (float)(ratio * row[i]);
    }
    free(row);
    return PEFT_OK;
}

const peft_variant peft_variant_dora = {
    .name = "dora",
    .equation = "y = m (W + (alpha / r) B A) x / |W + (alpha / r) B A| + b, row by row",
    .source = "Liu et al. 2024, arXiv 2402.09353",
    .summary = "LoRA, and a length of its own for each row of the sum",
    .peft_type = "LORA",
    .peft_flag = "use_dora",
    .options_bytes = sizeof(dora_options),
    .options = option_table,
    .json_names = json_names,
    .json_fields = peft_lora_json_fields,
    .write_fields = peft_lora_write_fields,
    .check = check,
    .scaling = scaling,
    .layer_values = layer_values,
    .forward = forward,
    .by_token = true,
    .init = init,
    .trace_wish = peft_lora_trace_wish,
    .init_from_trace = peft_lora_init_from_trace,
    .merge = merge,
};
