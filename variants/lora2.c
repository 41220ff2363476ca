/* variants/lora2.c - LoRA on two planes: an update like a singular value decomposition, each side of which is factored
 * once more.
 *
 *     y = W x + b + s B2 B1 (E * (A1 A2 x)),   s = alpha / (r + 1e-5)               (Zhang et al. 2024, arXiv
 * 2408.06854)
 *
 * A2 [k, in], A1 [r, k], E [r, 1], B1 [k, r], B2 [out, k]. The paper writes P = v u and Q = U V for our (A1 A2)^T and
 * (B2 B1)^T. An update has rank min(k, r) at most. E starts at zero, so the adapted layer starts as the base layer, the
 * others normal with deviation 0.02 or orthonormal. The budget is AdaLoRA's (budget.h), with scores of E, A1 and B1
 * alone: A2 and B2, nearly all of the parameters, serve all r directions alike and cannot tell them apart.
 *
 * The penalty is the mean of |S|^2 over all matrices of the model, S = Gram matrix - I (orthogonality.h), of
 *
 *     recommended   A2 A2^T, B2^T B2 [k, k], and of A1 and B1 the smaller Gram matrix: together they make the rows of
 *                   A1 A2 and the columns of B2 B1 orthonormal where r <= k, and all of them can be 0 at once
 *     paper         P^T P, Q Q^T, U^T U, V V^T, u^T u, v^T v; the paper has v v^T, which cannot be I, since v has k <
 * in columns; all of them can be 0 only where k = r
 *
 * The authors' program merges by products of shapes that do not fit, and its terms of P and Q never give a gradient. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/side.h"
#include "variants/budget.h"
#include "variants/by_sequence.h"
#include "variants/factors.h"
#include "variants/orthogonality.h"

enum { A2, A1, E, B1, B2, STATE, VALUES = STATE + PEFT_BUDGET_STATE };

static const peft_budget_values budget = {.key = "lora2_E", .E = E, .rows = A1, .columns = B1, .state = STATE};

typedef struct lora2_options {
    peft_budget_options budget;
    int64_t k;
    char *orthogonality, *init;
} lora2_options;

static int64_t k_of(const peft_adapter *a)
{
    return ((const lora2_options *)a->all->options)->k;
}

static int32_t layer_values(const peft_adapter *a, peft_value_spec *specs)
{
    const struct {
        const char *name, *authors;
        int64_t rows, columns;
        peft_role role;
    } table[] = {[A2] = {"lora2_A2", "lora_A", k_of(a), a->in_features, PEFT_ROLE_DOWN},
                 [A1] = {"lora2_A1", "lora_B", a->rank, k_of(a), PEFT_ROLE_DOWN},
                 [E] = {"lora2_E", "lora_E", a->rank, 1, PEFT_ROLE_GATE},
                 [B1] = {"lora2_B1", "lora_aa", k_of(a), a->rank, PEFT_ROLE_UP},
                 [B2] = {"lora2_B2", "lora_bb", a->out_features, k_of(a), PEFT_ROLE_UP}};
    for (int v = A2; v <= B2; v++)
        specs[v] = (peft_value_spec){.name = table[v].name,
                                     .other_name = table[v].authors,
                                     .shape = peft_shape_2(table[v].rows, table[v].columns),
                                     .start = v == E ? PEFT_START_ZERO : PEFT_START_NORMAL,
                                     .spread = 0.02,
                                     .role = table[v].role};
    peft_budget_state_values(&budget, specs);
    return VALUES;
}

static bool starts_orthonormal(const lora2_options *o)
{
    return strcmp(o->init, "orthonormal") == 0;
}

static peft_status init(peft_adapter *a, const peft_base_linear *base, uint64_t seed, peft_error *error)
{
    const lora2_options *o = a->all->options;
    (void)base;
    (void)seed;
    (void)error;
    for (int v = A2; v <= B2 && starts_orthonormal(o); v++) {
        const peft_value *value = &a->values[v];
        if (v != E) peft_orthonormalize(value->data, value->spec.shape.size[0], value->spec.shape.size[1]);
    }
    return PEFT_OK;
}

/* ---- in graphs ---- */

/* The matrices of a layer, and the products that the update is made of: A [r, in], B [out, r]. */
typedef struct planes {
    peft_tensor *A2, *A1, *E, *B1, *B2, *A, *B;
} planes;

static planes describe_planes(peft_graph *g, const peft_adapter *a, const peft_batch *batch)
{
    peft_tensor *leaf[STATE];
    for (int v = A2; v <= B2; v++) leaf[v] = peft_value_leaf(g, &a->values[v], batch);
    return (planes){leaf[A2],
                    leaf[A1],
                    leaf[E],
                    leaf[B1],
                    leaf[B2],
                    peft_matmul(g, leaf[A1], false, leaf[A2], false),
                    peft_matmul(g, leaf[B2], false, leaf[B1], false)};
}

/* Terms of a penalty: which matrix, and which of its Gram matrices. */
typedef struct penalty_term {
    peft_tensor *matrix;
    peft_gram gram;
} penalty_term;

/* Orthonormal planes start at its minimum, up to rounding. */
static peft_tensor *penalty_of(peft_graph *g, const lora2_options *o, const penalty_term *term)
{
    const double rounding = 1e-6;
    if (!starts_orthonormal(o)) return peft_orthogonality(g, term->matrix, term->gram);
    return peft_orthogonality_beyond(g, term->matrix, term->gram, rounding);
}

static void add_terms(peft_graph *g, const peft_adapter *a, const penalty_term *terms, int32_t count)
{
    const lora2_options *o = a->all->options;
    peft_tensor *sum = penalty_of(g, o, &terms[0]);
    for (int32_t t = 1; t < count; t++) sum = peft_add(g, sum, penalty_of(g, o, &terms[t]));
    peft_graph_add_loss(g, a->module, "orthogonality", sum,
                        o->budget.orth_reg_weight / ((double)count * (double)a->all->num_layers));
}

static void add_penalty(peft_graph *g, const peft_adapter *a, const planes *p)
{
    const lora2_options *o = a->all->options;
    bool wide = a->rank <= o->k;
    const penalty_term recommended[] = {{p->A2, PEFT_GRAM_ROWS},
                                        {p->B2, PEFT_GRAM_COLUMNS},
                                        {p->A1, wide ? PEFT_GRAM_ROWS : PEFT_GRAM_COLUMNS},
                                        {p->B1, wide ? PEFT_GRAM_COLUMNS : PEFT_GRAM_ROWS}};
    const penalty_term paper[] = {{p->A, PEFT_GRAM_ROWS},     {p->B, PEFT_GRAM_COLUMNS}, {p->B1, PEFT_GRAM_ROWS},
                                  {p->B2, PEFT_GRAM_COLUMNS}, {p->A1, PEFT_GRAM_ROWS},   {p->A2, PEFT_GRAM_ROWS}};
    if (o->budget.orth_reg_weight == 0) return;
    if (strcmp(o->orthogonality, "paper") == 0)
        add_terms(g, a, paper, sizeof paper / sizeof *paper);
    else
        add_terms(g, a, recommended, sizeof recommended / sizeof *recommended);
}

/* Those of one sequence's adapter. */
static planes planes_of_sequence(peft_graph *g, const planes *p, int64_t s)
{
    return (planes){peft_entry_of_sequence(g, p->A2, s), peft_entry_of_sequence(g, p->A1, s),
                    peft_entry_of_sequence(g, p->E, s),  peft_entry_of_sequence(g, p->B1, s),
                    peft_entry_of_sequence(g, p->B2, s), peft_entry_of_sequence(g, p->A, s),
                    peft_entry_of_sequence(g, p->B, s)};
}

static void add_penalties(peft_graph *g, const peft_adapter *a, const planes *p, const peft_batch *batch)
{
    for (int64_t s = 0; s < batch->num_sequences; s++) {
        const planes own = planes_of_sequence(g, p, s);
        add_penalty(g, a, &own);
    }
}

static peft_tensor *forward(peft_graph *g, const peft_adapter *a, const peft_base_linear *base, peft_tensor *x,
                            const peft_batch *batch)
{
    peft_tensor *y0 = peft_base_forward(g, base, x);
    if (a->rank == 0) return y0; /* all of it was pruned */
    planes p = describe_planes(g, a, batch);
    peft_tensor *starts = peft_value_starts(g, &a->values[A2], batch);
    peft_shape gates = starts ? peft_shape_2(batch->num_sequences, a->rank) : peft_shape_1(a->rank);
    if (batch->training && starts) add_penalties(g, a, &p, batch);
    if (batch->training && !starts) add_penalty(g, a, &p);
    return peft_low_rank(g, y0, peft_adapter_dropout(g, a, x, batch), p.A, p.B, peft_reshape(g, p.E, gates), starts,
                         a->scaling);
}

/* ---- as a plain LoRA ---- */

/* out [m, n] = left [m, inner] right [inner, n] */
static void multiply(const float *left, const float *right, int64_t m, int64_t inner, int64_t n, float *out)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < inner; k++) sum += (double)left[i * inner + k] * (double)right[k * n + j];
            out[i * n + j] = (float)sum;
        }
}

static float *make_product(const peft_adapter *a, const float *left, const float *right, int64_t m, int64_t inner,
                           int64_t n, peft_error *error)
{
    float *out = malloc((size_t)(m * n + 1) * sizeof *out);
    if (out)
        multiply(left, right, m, inner, n, out);
    else
        peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory for its factors", a->module);
    return out;
}

/* Rank r: A = A1 A2, B = B2 B1, gate E. */
static peft_status to_lora_of_r(const peft_adapter *a, peft_lora_factors *factors, peft_error *error)
{
    const peft_value *v = a->values;
    int64_t r = a->rank, k = k_of(a);
    float *A = make_product(a, v[A1].data, v[A2].data, r, k, a->in_features, error);
    float *B = make_product(a, v[B2].data, v[B1].data, a->out_features, k, r, error);
    peft_status status = PEFT_ERR_MEMORY;
    if (A && B) status = peft_lora_factors_gated(a, r, A, B, v[E].data, factors, error);
    free(A);
    free(B);
    return status;
}

/* Rank k: A = A2, B = B2 (B1 diag(E) A1). */
static peft_status to_lora_of_k(const peft_adapter *a, peft_lora_factors *factors, peft_error *error)
{
    const peft_value *v = a->values;
    int64_t r = a->rank, k = k_of(a);
    float *scaled = malloc((size_t)(r * k + 1) * sizeof *scaled);
    if (!scaled) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory for its factors", a->module);
    for (int64_t i = 0; i < r * k; i++) scaled[i] = v[E].data[i / k] * v[A1].data[i];
    float *inner = make_product(a, v[B1].data, scaled, k, r, k, error);
    peft_status status = inner ? peft_lora_factors_allocate(a, k, factors, error) : PEFT_ERR_MEMORY;
    if (status == PEFT_OK) {
        memcpy(factors->A, v[A2].data, (size_t)(k * a->in_features) * sizeof(float));
        multiply(v[B2].data, inner, a->out_features, k, k, factors->B);
    }
    free(scaled);
    free(inner);
    return status;
}

static peft_status to_lora(const peft_adapter *a, peft_lora_factors *factors, peft_error *error)
{
    int64_t left = 0;
    for (int64_t j = 0; j < a->rank; j++) left += a->values[E].data[j] != 0;
    return left <= k_of(a) ? to_lora_of_r(a, factors, error) : to_lora_of_k(a, factors, error);
}

/* ---- the budget ---- */

static peft_status arrange(peft_adapters *all, peft_error *error)
{
    return peft_budget_arrange(&budget, all, error);
}

static peft_status after_step(peft_adapters *all, const peft_training_step *step, peft_error *error)
{
    return peft_budget_after_step(&budget, all, step, error);
}

static peft_status compact(const peft_adapters *all, peft_adapters **smaller, peft_error *error)
{
    return peft_budget_compact(&budget, all, smaller, error);
}

static void notes(const peft_adapters *all, peft_note_function *note, void *argument)
{
    const lora2_options *o = all->options;
    char text[PEFT_MESSAGE_BYTES];
    if (o->budget.common.rank <= o->k) return;
    snprintf(text, sizeof text,
             "lora2: the rank is above k, %lld: an update has rank %lld at most, and pruning one direction leaves much "
             "of it to the others",
             (long long)o->k, (long long)o->k);
    note(argument, text);
}

/* ---- the table ---- */

static const char *const orthogonality_choices[] = {"recommended", "paper", NULL};
static const char *const init_choices[] = {"normal", "orthonormal", NULL};

static const peft_option options[] = {
    PEFT_BUDGET_OPTION_ROWS("8", "16", "0.1"),
    {.name = "k",
     .type = PEFT_OPTION_INT,
     .offset = offsetof(lora2_options, k),
     .initial = "8",
     .min = 1,
     .max = PEFT_MAX_RANK,
     .placeholder = "N",
     .help = "rows of A2 and columns of B2; the rank should not be above it",
     .group = "Adapter"},
    {.name = "orthogonality",
     .type = PEFT_OPTION_STRING,
     .offset = offsetof(lora2_options, orthogonality),
     .initial = "recommended",
     .choices = orthogonality_choices,
     .placeholder = "NAME",
     .help = "what the penalty is made of: the four matrices, or the six terms of the paper",
     .group = "Budget"},
    {.name = "init",
     .type = PEFT_OPTION_STRING,
     .offset = offsetof(lora2_options, init),
     .initial = "normal",
     .choices = init_choices,
     .placeholder = "NAME",
     .help = "start values of the four matrices: normal with deviation 0.02, or orthonormal",
     .group = "Adapter"},
    {0}};

const peft_variant peft_variant_lora2 = {
    .name = "lora2",
    .equation = "y = W x + b + (alpha / r) B2 B1 (E * (A1 A2 x))",
    .source = "Zhang et al. 2024, arXiv 2408.06854",
    .summary = "AdaLoRA with each side of the update factored once more",
    .peft_type = "LORA2",
    .own_format = "1",
    .options_bytes = sizeof(lora2_options),
    .options = options,
    .json_names = peft_budget_json_names,
    .arrange = arrange,
    .notes = notes,
    .scaling = peft_budget_scaling,
    .layer_values = layer_values,
    .forward = forward,
    .grouped = true,
    .by_token = true,
    .init = init,
    .check_steps = peft_budget_check_steps,
    .after_step = after_step,
    .compact = compact,
    .to_lora = to_lora,
};
