/* variants/sora.c - Sparse Low-Rank Adaptation.
 *
 *     y = W x + b + s B (g * (A x)),   s = alpha / r                    (Ding et al. 2023, arXiv 2311.11696)
 *     after each step: g <- sign(g) max(|g| - xi, 0)
 *
 * A [r, in], B [out, r], gate g [r]. B starts at zero, so the adapted layer starts as the base layer; A starts as
 * LoRA's, g normal with deviation 1. The soft threshold drives gates that the loss does not hold to exactly 0; such a
 * direction gives no update, but its gate has a gradient and may open again. The gate has no weight decay. xi may rise
 * in a few values over the run. Theory scales it by the learning rate; the authors' default program takes it as it is,
 * and then zeroes what is left below xi as well, which is no soft threshold: we do not. */
#include <math.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/side.h"
#include "variants/factors.h"

enum { A, B, GATE, VALUES };

typedef struct sora_options {
    peft_common_options common;
    double threshold, threshold_end;
    int64_t threshold_values;
    char *threshold_schedule;
    bool threshold_by_rate;
    double l1;
} sora_options;

/* ---- the values of the threshold ---- */

static double same(double x)
{
    return x;
}

/* Values between both ends lie evenly in `to` of the threshold, of which `from` is the inverse. */
static const struct {
    const char *name;
    double (*to)(double), (*from)(double);
} schedules[] = {{"linear", same, same}, {"log_linear", exp, log}, {"exp_linear", log, exp}};

enum { NUM_SCHEDULES = sizeof schedules / sizeof *schedules };

static const char *const schedule_choices[] = {"constant", "linear", "log_linear", "exp_linear", NULL};

/* That of a step: the run has as many parts of equal length as there are values. */
static double threshold_at(const sora_options *o, const peft_training_step *step)
{
    int64_t part = (step->step - 1) * o->threshold_values / (step->num_steps > 0 ? step->num_steps : 1);
    int64_t last = o->threshold_values - 1;
    double along = last > 0 ? fmin((double)part / (double)last, 1) : 0, threshold = o->threshold;
    for (int k = 0; k < NUM_SCHEDULES; k++)
        if (strcmp(schedules[k].name, o->threshold_schedule) == 0) {
            double begin = schedules[k].to(o->threshold), end = schedules[k].to(o->threshold_end);
            threshold = schedules[k].from(begin + along * (end - begin));
        }
    return o->threshold_by_rate ? threshold * step->learning_rate : threshold;
}

static peft_status check(const void *options, peft_error *error)
{
    const sora_options *o = options;
    if (strcmp(o->threshold_schedule, "exp_linear") == 0 && (o->threshold <= 0 || o->threshold_end <= 0))
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "sora: threshold_schedule exp_linear: expected thresholds above 0, found %g and %g",
                         o->threshold, o->threshold_end);
    return PEFT_OK;
}

static peft_status after_step(peft_adapters *all, const peft_training_step *step, peft_error *error)
{
    (void)error;
    const float threshold = (float)threshold_at(all->options, step);
    for (int64_t l = 0; l < all->num_layers; l++) {
        float *gate = all->layers[l].values[GATE].data;
        for (int64_t j = 0; j < all->layers[l].rank; j++)
            gate[j] = copysignf(fmaxf(fabsf(gate[j]) - threshold, 0), gate[j]);
    }
    return PEFT_OK;
}

/* ---- the layer ---- */

static int32_t layer_values(const peft_adapter *a, peft_value_spec *specs)
{
    specs[A] = (peft_value_spec){.name = "lora_A",
                                 .shape = peft_shape_2(a->rank, a->in_features),
                                 .start = PEFT_START_UNIFORM,
                                 .spread = 1 / sqrt((double)a->in_features),
                                 .role = PEFT_ROLE_DOWN};
    specs[B] =
        (peft_value_spec){.name = "lora_B", .shape = peft_shape_2(a->out_features, a->rank), .role = PEFT_ROLE_UP};
    specs[GATE] = (peft_value_spec){.name = "lora_gate",
                                    .shape = peft_shape_1(a->rank),
                                    .start = PEFT_START_NORMAL,
                                    .spread = 1,
                                    .role = PEFT_ROLE_GATE,
                                    .no_decay = true};
    return VALUES;
}

/* l1 times the mean of |g| over all gates of the model; |g| = relu(g) + relu(-g) has no slope at 0. */
static void add_l1(peft_graph *g, const peft_adapter *a, peft_tensor *gate)
{
    const sora_options *o = a->all->options;
    int64_t gates = 0;
    if (o->l1 == 0) return;
    for (int64_t l = 0; l < a->all->num_layers; l++) gates += a->all->layers[l].rank;
    peft_tensor *size = peft_add(g, peft_activation(g, gate, PEFT_ACTIVATION_relu),
                                 peft_activation(g, peft_scale(g, gate, -1), PEFT_ACTIVATION_relu));
    peft_graph_add_loss(g, a->module, "gates", peft_sum(g, size, PEFT_ALL_DIMS), o->l1 / (double)gates);
}

static peft_tensor *forward(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                            const peft_batch *batch)
{
    peft_tensor *tensor_A = peft_value_leaf(g, &a->values[A], batch);
    peft_tensor *tensor_B = peft_value_leaf(g, &a->values[B], batch);
    peft_tensor *gate = peft_value_leaf(g, &a->values[GATE], batch);
    peft_tensor *starts = peft_value_starts(g, &a->values[A], batch);
    if (batch->training) add_l1(g, a, gate);
    return peft_low_rank(g, peft_base_forward(g, base, x), peft_adapter_dropout(g, a, x, batch), tensor_A, tensor_B,
                         gate, starts, a->scaling);
}

static double scaling(const peft_adapter *a)
{
    return a->alpha / (double)a->rank;
}

static peft_status to_lora(const peft_adapter *a, peft_lora_factors *factors, peft_error *error)
{
    const peft_value *v = a->values;
    return peft_lora_factors_gated(a, a->rank, v[A].data, v[B].data, v[GATE].data, factors, error);
}

/* ---- the table ---- */

static const peft_option options[] = {PEFT_COMMON_OPTION_ROWS("8", "16"),
                                      {.name = "threshold",
                                       .type = PEFT_OPTION_FLOAT,
                                       .offset = offsetof(sora_options, threshold),
                                       .initial = "3e-4",
                                       .max = HUGE_VAL,
                                       .placeholder = "X",
                                       .help = "what each step takes off a gate",
                                       .group = "Sparsity"},
                                      {.name = "threshold_schedule",
                                       .type = PEFT_OPTION_STRING,
                                       .offset = offsetof(sora_options, threshold_schedule),
                                       .initial = "constant",
                                       .choices = schedule_choices,
                                       .placeholder = "NAME",
                                       .help = "how the threshold rises to its last value over the run",
                                       .group = "Sparsity"},
                                      {.name = "threshold_end",
                                       .type = PEFT_OPTION_FLOAT,
                                       .offset = offsetof(sora_options, threshold_end),
                                       .initial = "7e-4",
                                       .max = HUGE_VAL,
                                       .placeholder = "X",
                                       .help = "the last value, where it rises",
                                       .group = "Sparsity"},
                                      {.name = "threshold_values",
                                       .type = PEFT_OPTION_INT,
                                       .offset = offsetof(sora_options, threshold_values),
                                       .initial = "7",
                                       .min = 1,
                                       .max = 1000000,
                                       .placeholder = "N",
                                       .help = "how many values it takes, where it rises",
                                       .group = "Sparsity"},
                                      {.name = "threshold_by_rate",
                                       .type = PEFT_OPTION_BOOL,
                                       .offset = offsetof(sora_options, threshold_by_rate),
                                       .help = "multiply the threshold by the learning rate, as the theory has it",
                                       .group = "Sparsity"},
                                      {.name = "l1",
                                       .type = PEFT_OPTION_FLOAT,
                                       .offset = offsetof(sora_options, l1),
                                       .initial = "0",
                                       .max = HUGE_VAL,
                                       .placeholder = "X",
                                       .help = "weight of the mean size of the gates in the loss",
                                       .group = "Sparsity"},
                                      {0}};

static const peft_json_name json_names[] = {{.option = "rank", .json = "r"},
                                            {.option = "alpha", .json = "lora_alpha"},
                                            {.option = "dropout", .json = "lora_dropout"},
                                            {.option = "rank_pattern", .json = "rank_pattern", .initial = "{}"},
                                            {.option = "alpha_pattern", .json = "alpha_pattern", .initial = "{}"},
                                            {0}};

const peft_variant peft_variant_sora = {
    .name = "sora",
    .equation = "y = W x + b + (alpha / r) B (g * (A x))",
    .source = "Ding et al. 2023, arXiv 2311.11696",
    .summary = "LoRA with a gate for each direction, which a soft threshold closes",
    .peft_type = "SORA",
    .own_format = "1",
    .options_bytes = sizeof(sora_options),
    .options = options,
    .json_names = json_names,
    .check = check,
    .scaling = scaling,
    .layer_values = layer_values,
    .forward = forward,
    .grouped = true,
    .by_token = true,
    .after_step = after_step,
    .to_lora = to_lora,
};
