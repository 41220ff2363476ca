#include "peft/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "peft/observations.h"
#include "tasks/tokens.h"

static peft_status allocate(peft_trainer *t, const peft_value_set *const *sets, peft_error *error)
{
    t->order = malloc((size_t)t->objective->num_examples * sizeof *t->order);
    t->sets = calloc((size_t)t->num_sets + 1, sizeof *t->sets);
    if (!t->order || !t->sets) return peft_fail(error, PEFT_ERR_MEMORY, "trainer: out of memory");
    for (int64_t s = 0; s < t->num_sets; s++) t->sets[s] = sets[s];
    return peft_graph_create(&t->g, error);
}

static peft_status check_steps(const peft_trainer *t, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (int64_t s = 0; s < t->num_sets && status == PEFT_OK; s++)
        if (t->sets[s]->check_steps) status = t->sets[s]->check_steps(t->sets[s]->owner, t->num_steps, error);
    return status;
}

peft_status peft_trainer_open(peft_trainer *t, const peft_train_options *options, peft_context *ctx,
                              const peft_value_set *const *sets, int64_t num_sets, const peft_objective *objective,
                              peft_error *error)
{
    *t =
        (peft_trainer){.options = options, .ctx = ctx, .num_sets = num_sets, .objective = objective, .order_epoch = -1};
    if (objective->num_examples < 1) return peft_fail(error, PEFT_ERR_ARGUMENT, "trainer: there are no examples");
    t->steps_per_epoch = peft_train_steps_per_epoch(options, objective->num_examples);
    t->num_steps = peft_train_num_steps(options, objective->num_examples);
    t->warmup_steps = peft_train_warmup_steps(options, t->num_steps);
    peft_status status = allocate(t, sets, error);
    if (status == PEFT_OK) status = check_steps(t, error);
    if (status == PEFT_OK) peft_graph_set_context(t->g, ctx);
    if (status == PEFT_OK && peft_context_dtype(ctx) == PEFT_BF16) peft_graph_keep_bf16(t->g);
    if (status == PEFT_OK) status = peft_parameters_collect(&t->parameters, t->sets, num_sets, error);
    if (status == PEFT_OK)
        status = peft_parameters_optimizer(&t->parameters, ctx, options->weight_decay, options->loraplus_lr_ratio,
                                           &t->optimizer, error);
    if (status != PEFT_OK) peft_trainer_close(t);
    return status;
}

void peft_trainer_close(peft_trainer *t)
{
    peft_optimizer_free(t->optimizer);
    peft_parameters_free(&t->parameters);
    peft_graph_free(t->g);
    free(t->sets);
    free(t->order);
    *t = (peft_trainer){0};
}

peft_graph *peft_trainer_graph(peft_trainer *t)
{
    t->loss = NULL;
    peft_graph_reset(t->g);
    return t->g;
}

/* ---- the examples of a step ---- */

/* As a part of its epoch's order. */
static const uint32_t *rows_of_step(peft_trainer *t, int64_t step, int64_t *count)
{
    int64_t all = t->objective->num_examples, epoch = step / t->steps_per_epoch;
    int64_t global = t->options->batch_size * t->options->gradient_accumulation;
    int64_t first = step % t->steps_per_epoch * global;
    if (epoch != t->order_epoch) {
        peft_tokens_order(t->order, all, (uint64_t)t->options->seed, epoch);
        t->order_epoch = epoch;
    }
    *count = all - first < global ? all - first : global;
    return t->order + first;
}

static int64_t tokens_of(const peft_trainer *t, uint32_t example)
{
    return t->objective->tokens ? t->objective->tokens(t->objective->argument, example) : 1;
}

static int64_t count_tokens(const peft_trainer *t, const peft_examples *batch)
{
    int64_t tokens = 0;
    for (int64_t k = 0; k < batch->count; k++) tokens += tokens_of(t, batch->rows[k]);
    return tokens;
}

static double normaliser_of(const peft_trainer *t, const uint32_t *rows, int64_t count)
{
    if (!t->objective->counts) return (double)count;
    double sum = 0;
    for (int64_t k = 0; k < count; k++) sum += t->objective->counts(t->objective->argument, rows[k]);
    return sum;
}

/* The batch of the step's examples that begins with example `first` of them. */
static peft_examples batch_of(const peft_trainer *t, const uint32_t *rows, int64_t first, int64_t examples)
{
    int64_t left = examples - first, size = t->options->batch_size;
    return (peft_examples){.rows = rows + first,
                           .count = left < size ? left : size,
                           .first_example = first,
                           .normaliser = normaliser_of(t, rows, examples),
                           .step = t->step};
}

/* ---- one step ---- */

/* Describes and differentiates the loss of the batch, unless the graph of the last one will do. */
static peft_status describe(peft_trainer *t, const peft_examples *batch, peft_error *error)
{
    const peft_objective *o = t->objective;
    if (t->loss && o->refill && o->refill(o->argument, batch)) return PEFT_OK;
    peft_tensor *loss = NULL;
    peft_status status = o->describe(o->argument, peft_trainer_graph(t), batch, &loss, error);
    if (status == PEFT_OK) status = peft_graph_status(t->g, error);
    if (status == PEFT_OK) status = peft_graph_differentiate(t->g, loss, error);
    if (status == PEFT_OK) t->loss = loss;
    return status;
}

/* Is the step that follows t->step written down? */
static bool observes(const peft_trainer *t)
{
    return t->observations && peft_observations_due(t->step + 1, t->num_steps);
}

static peft_status compute_gradients(peft_trainer *t, peft_step_record *record, peft_error *error)
{
    const uint32_t *rows = rows_of_step(t, t->step, &record->examples);
    peft_parameters_clear_gradients(&t->parameters);
    peft_context_set_step(t->ctx, t->step);
    for (int64_t first = 0; first < record->examples; first += t->options->batch_size) {
        peft_examples batch = batch_of(t, rows, first, record->examples);
        batch.first_token = record->tokens;
        int64_t tokens = count_tokens(t, &batch);
        peft_status status = describe(t, &batch, error);
        if (status == PEFT_OK) status = peft_graph_run(t->g, t->ctx, error);
        const void *loss = NULL;
        if (status == PEFT_OK) status = peft_graph_read(t->g, t->loss, &loss, error);
        if (status == PEFT_OK && observes(t))
            status = peft_observations_add(t->observations, t->g, (double)tokens, error);
        if (status != PEFT_OK) return status;
        record->loss += (double)*(const float *)loss;
        record->tokens += tokens;
    }
    return PEFT_OK;
}

/* The rules of the sets, and what is written down. */
static peft_status after_update(peft_trainer *t, const peft_training_step *done, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (int64_t s = 0; s < t->num_sets && status == PEFT_OK; s++)
        if (t->sets[s]->after_step) status = t->sets[s]->after_step(t->sets[s]->owner, done, error);
    if (status == PEFT_OK && observes(t))
        status = peft_observations_write(t->observations, done->step, &t->parameters, error);
    return status;
}

static peft_status not_finite(const peft_step_record *record, const char *what, double value, peft_error *error)
{
    return peft_fail(error, PEFT_ERR_NUMERIC, "step %" PRId64 ": %s is %g; try a lower learning rate (it is %g now)",
                     record->step, what, value, record->learning_rate);
}

peft_status peft_trainer_step(peft_trainer *t, peft_step_record *record, peft_error *error)
{
    *record = (peft_step_record){.step = t->step + 1};
    peft_schedule schedule;
    if (!peft_schedule_find(t->options->schedule, &schedule))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "schedule: unknown name \"%s\"", t->options->schedule);
    record->learning_rate =
        t->options->learning_rate * peft_schedule_factor(schedule, t->step, t->warmup_steps, t->num_steps);
    peft_status status = compute_gradients(t, record, error);
    if (status != PEFT_OK) return status;
    if (!isfinite(record->loss)) return not_finite(record, "the loss", record->loss, error);
    status = peft_optimizer_clip(t->optimizer, t->options->max_grad_norm, &record->grad_norm, error);
    if (status == PEFT_ERR_NUMERIC) return not_finite(record, "the gradient's norm", record->grad_norm, error);
    if (status == PEFT_OK) status = peft_optimizer_step(t->optimizer, record->learning_rate, error);
    if (status != PEFT_OK) return status;
    const peft_training_step done = {t->step + 1, t->num_steps, record->learning_rate};
    status = after_update(t, &done, error);
    t->step = done.step;
    record->epoch = (double)t->step / (double)t->steps_per_epoch;
    return status;
}

/* ---- the largest batch ---- */

/* Tokens decide how much a batch takes; attention's scratch memory by the longest sequence comes second. */
typedef struct largest {
    int64_t tokens, longest, step, first;
} largest;

static int64_t longest_of(const peft_trainer *t, const peft_examples *batch)
{
    int64_t longest = 0;
    for (int64_t k = 0; k < batch->count; k++) {
        int64_t tokens = tokens_of(t, batch->rows[k]);
        if (tokens > longest) longest = tokens;
    }
    return longest;
}

static void keep_larger(largest *most, largest found)
{
    if (found.tokens > most->tokens || (found.tokens == most->tokens && found.longest > most->longest)) *most = found;
}

/* A long run is looked at in part: all batches of so many examples, and then the longest examples as one batch. */
static int64_t steps_to_look_at(const peft_trainer *t)
{
    const int64_t most_examples = 1 << 25, global = t->options->batch_size * t->options->gradient_accumulation;
    int64_t steps = most_examples / global > t->steps_per_epoch ? most_examples / global : t->steps_per_epoch;
    return steps < t->num_steps ? steps : t->num_steps;
}

/* Of all batches, which the context is told of, and of those small enough for their activations to be kept whole. */
static void find_largest(peft_trainer *t, int64_t steps, largest *of_all, largest *kept_whole)
{
    *of_all = *kept_whole = (largest){0};
    for (int64_t step = 0; step < steps; step++) {
        int64_t examples;
        const uint32_t *rows = rows_of_step(t, step, &examples);
        for (int64_t first = 0; first < examples; first += t->options->batch_size) {
            const peft_examples batch = batch_of(t, rows, first, examples);
            const int64_t tokens = count_tokens(t, &batch);
            const largest found = {tokens, longest_of(t, &batch), step, first};
            peft_context_expect(t->ctx, tokens);
            keep_larger(of_all, found);
            if (tokens < peft_context_least_recalled_rows(t->ctx)) keep_larger(kept_whole, found);
        }
    }
}

/* `bytes` grows to what the batch from rows[first] on takes. */
static peft_status plan_rows(peft_trainer *t, const uint32_t *rows, int64_t first, int64_t examples, size_t *bytes,
                             peft_error *error)
{
    size_t taken = 0;
    const peft_examples batch = batch_of(t, rows, first, examples);
    peft_status status = describe(t, &batch, error);
    if (status == PEFT_OK) status = peft_graph_plan(t->g, t->ctx, &taken, error);
    if (taken > *bytes) *bytes = taken;
    return status;
}

static peft_status plan_batch(peft_trainer *t, const largest *batch, size_t *bytes, peft_error *error)
{
    int64_t examples;
    const uint32_t *rows = rows_of_step(t, batch->step, &examples);
    return plan_rows(t, rows, batch->first, examples, bytes, error);
}

typedef struct sized {
    int64_t tokens;
    uint32_t row;
} sized;

static int compare_sizes(const void *a, const void *b)
{
    const sized *x = a, *y = b;
    if (x->tokens != y->tokens) return x->tokens < y->tokens ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

/* The numbers of the longest examples, after all others. rows [num_examples] */
static peft_status order_by_size(const peft_trainer *t, uint32_t *rows, peft_error *error)
{
    int64_t count = t->objective->num_examples;
    sized *all = malloc((size_t)count * sizeof *all);
    if (!all) return peft_fail(error, PEFT_ERR_MEMORY, "trainer: out of memory");
    for (int64_t k = 0; k < count; k++) all[k] = (sized){tokens_of(t, (uint32_t)k), (uint32_t)k};
    qsort(all, (size_t)count, sizeof *all, compare_sizes);
    for (int64_t k = 0; k < count; k++) rows[k] = all[k].row;
    free(all);
    return PEFT_OK;
}

/* The longest examples in one batch: more than any batch that is not looked at. */
static peft_status plan_longest(peft_trainer *t, size_t *bytes, int64_t *tokens, peft_error *error)
{
    int64_t count = t->objective->num_examples;
    int64_t size = count < t->options->batch_size ? count : t->options->batch_size;
    uint32_t *rows = malloc((size_t)count * sizeof *rows);
    if (!rows) return peft_fail(error, PEFT_ERR_MEMORY, "trainer: out of memory");
    peft_status status = order_by_size(t, rows, error);
    if (status == PEFT_OK) {
        const peft_examples batch = {.rows = rows + count - size, .count = size};
        *tokens = count_tokens(t, &batch);
        peft_context_expect(t->ctx, *tokens);
        status = plan_rows(t, batch.rows, 0, size, bytes, error);
    }
    free(rows);
    return status;
}

peft_status peft_trainer_plan(peft_trainer *t, size_t *bytes, int64_t *tokens, peft_error *error)
{
    largest of_all, kept_whole;
    int64_t steps = steps_to_look_at(t);
    find_largest(t, steps, &of_all, &kept_whole);
    *bytes = 0;
    *tokens = of_all.tokens;
    peft_status status = plan_batch(t, &of_all, bytes, error);
    bool two = kept_whole.tokens > 0 && kept_whole.tokens < of_all.tokens;
    if (status == PEFT_OK && two) status = plan_batch(t, &kept_whole, bytes, error);
    return status == PEFT_OK && steps < t->num_steps ? plan_longest(t, bytes, tokens, error) : status;
}
