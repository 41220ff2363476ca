/* variants/vera.c - vector-based random matrix adaptation.
 *
 *     y = W x + b + l_b * B (l_d * (A x))                        (Kopiczko et al. 2023, arXiv 2310.11454, eq. 2)
 *
 * A [r, in] and B [out, r] are random, frozen and the same for all layers, which take the first columns of A and the
 * first rows of B; a layer trains l_b [out] and l_d [r] alone. l_b starts at zero, so the adapted layer starts as the
 * base layer.
 *
 * A and B are drawn from projection_prng_key alone, as Hugging Face PEFT draws them with PyTorch's generator, to the
 * bit: files without them (save_projection false) mean the same matrices there and here. */
#include <math.h>

#include "ops/ops.h"
#include "ops/torch_random.h"
#include "variants/factors.h"

typedef struct vera_options {
    peft_common_options common;
    double d_initial;
    int64_t projection_prng_key;
    bool save_projection;
} vera_options;

enum { LAMBDA_B, LAMBDA_D, LAYER_VALUES };
enum { A, B, MODEL_VALUES };

static const peft_option option_table[] = {PEFT_RANK_OPTION_ROW("256"),
                                           PEFT_DROPOUT_OPTION_ROW,
                                           {.name = "d_initial",
                                            .type = PEFT_OPTION_FLOAT,
                                            .offset = offsetof(vera_options, d_initial),
                                            .initial = "0.1",
                                            .placeholder = "X",
                                            .help = "start value of the factors between the projections",
                                            .group = "Adapter"},
                                           {.name = "projection_prng_key",
                                            .type = PEFT_OPTION_INT,
                                            .offset = offsetof(vera_options, projection_prng_key),
                                            .initial = "0",
                                            .max = UINT32_MAX,
                                            .placeholder = "N",
                                            .help = "seed of the random projections",
                                            .group = "Adapter"},
                                           {.name = "save_projection",
                                            .type = PEFT_OPTION_BOOL,
                                            .offset = offsetof(vera_options, save_projection),
                                            .initial = "true",
                                            .help = "write the random projections too, which their seed determines",
                                            .group = "Adapter"},
                                           {0}};

static const peft_json_name json_names[] = {
    {.option = "rank", .json = "r"}, {.option = "dropout", .json = "vera_dropout"}, {0}};
static const peft_json_field json_fields[] = {
    {"fan_in_fan_out", "false", PEFT_FIELD_NOTE}, {"init_weights", "true", PEFT_FIELD_IGNORE}, {0}};
static const char *const absent_fields[] = {"exclude_modules", "lora_only", NULL};

static double scaling(const peft_adapter *a)
{
    (void)a;
    return 1;
}

static int32_t layer_values(const peft_adapter *a, peft_value_spec *specs)
{
    const vera_options *options = a->all->options;
    specs[LAMBDA_B] =
        (peft_value_spec){.name = "vera_lambda_b", .shape = peft_shape_1(a->out_features), .role = PEFT_ROLE_UP};
    specs[LAMBDA_D] = (peft_value_spec){.name = "vera_lambda_d",
                                        .shape = peft_shape_1(a->rank),
                                        .start = PEFT_START_CONSTANT,
                                        .spread = options->d_initial,
                                        .role = PEFT_ROLE_GATE};
    return LAYER_VALUES;
}

/* ---- the projections ---- */

static int32_t model_values(const peft_adapters *all, peft_value_spec *specs)
{
    const vera_options *options = all->options;
    int64_t rank = options->common.rank, in = 0, out = 0;
    for (int64_t k = 0; k < all->num_layers; k++) {
        if (all->layers[k].in_features > in) in = all->layers[k].in_features;
        if (all->layers[k].out_features > out) out = all->layers[k].out_features;
    }
    peft_value_kind kind = options->save_projection ? PEFT_VALUE_FROZEN : PEFT_VALUE_STATE;
    specs[A] =
        (peft_value_spec){.name = "vera_A", .shape = peft_shape_2(rank, in), .kind = kind, .role = PEFT_ROLE_DOWN};
    specs[B] =
        (peft_value_spec){.name = "vera_B", .shape = peft_shape_2(out, rank), .kind = kind, .role = PEFT_ROLE_UP};
    return MODEL_VALUES;
}

/* Kaiming's uniform distribution over the second size, one matrix after the other. */
static void draw(peft_adapters *all)
{
    const vera_options *options = all->options;
    peft_torch_generator generator;
    peft_torch_seed(&generator, (uint64_t)options->projection_prng_key);
    for (int32_t v = 0; v < MODEL_VALUES; v++) {
        const peft_shape *shape = &all->values[v].spec.shape;
        double bound = sqrt(3.0) * (sqrt(2.0) / sqrt((double)shape->size[1]));
        peft_torch_uniform(&generator, all->values[v].data, (size_t)peft_shape_count(shape), -bound, bound);
    }
}

/* ---- the layer ---- */

static peft_tensor *first_of(peft_graph *g, peft_tensor *x, int32_t dim, int64_t length)
{
    return x && x->shape.size[dim] == length ? x : peft_slice(g, x, dim, 0, length);
}

static peft_tensor *forward(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                            const peft_batch *batch)
{
    peft_tensor *own_A = first_of(g, peft_value_leaf(g, &a->all->values[A], batch), 1, a->in_features);
    peft_tensor *own_B = first_of(g, peft_value_leaf(g, &a->all->values[B], batch), 0, a->out_features);
    peft_tensor *lambda_b = peft_value_leaf(g, &a->values[LAMBDA_B], batch);
    peft_tensor *lambda_d = peft_value_leaf(g, &a->values[LAMBDA_D], batch);
    peft_tensor *dropped = peft_adapter_dropout(g, a, x, batch);
    peft_tensor *update = peft_low_rank(g, NULL, dropped, own_A, own_B, lambda_d, NULL, 1);
    return peft_add(g, peft_base_forward(g, base, x), peft_mul(g, update, lambda_b));
}

/* A' = l_d * A, B' = l_b * B */
static peft_status to_lora(const peft_adapter *a, peft_lora_factors *factors, peft_error *error)
{
    peft_status status = peft_lora_factors_allocate(a, a->rank, factors, error);
    if (status) return status;
    const float *lambda_b = a->values[LAMBDA_B].data, *lambda_d = a->values[LAMBDA_D].data;
    const peft_value *shared_A = &a->all->values[A], *shared_B = &a->all->values[B];
    for (int64_t r = 0; r < a->rank; r++)
        for (int64_t i = 0; i < a->in_features; i++)
            factors->A[r * a->in_features + i] = lambda_d[r] * shared_A->data[r * shared_A->spec.shape.size[1] + i];
    for (int64_t k = 0; k < a->out_features * a->rank; k++) factors->B[k] = lambda_b[k / a->rank] * shared_B->data[k];
    return PEFT_OK;
}

const peft_variant peft_variant_vera = {
    .name = "vera",
    .equation = "y = W x + b + l_b B (l_d (A x)), A and B random and shared",
    .source = "Kopiczko et al. 2023, arXiv 2310.11454, eq. (2)",
    .summary = "two vectors a layer around random projections that all layers share",
    .peft_type = "VERA",
    .options_bytes = sizeof(vera_options),
    .options = option_table,
    .json_names = json_names,
    .json_fields = json_fields,
    .absent_fields = absent_fields,
    .scaling = scaling,
    .layer_values = layer_values,
    .model_values = model_values,
    .draw = draw,
    .forward = forward,
    .by_token = true,
    .to_lora = to_lora,
};
