#include "peft/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/side.h"

peft_status peft_trainer_open(peft_trainer *t, const peft_train_options *options, peft_context *ctx, peft_model *model,
                              peft_adapters *adapters, const peft_tokens *train, bool regression, peft_error *error)
{
    *t = (peft_trainer){.options = options,
                        .ctx = ctx,
                        .model = model,
                        .adapters = adapters,
                        .train = train,
                        .regression = regression,
                        .order_epoch = -1};
    t->steps_per_epoch = peft_train_steps_per_epoch(options, train->count);
    t->num_steps = peft_train_num_steps(options, train->count);
    t->warmup_steps = peft_train_warmup_steps(options, t->num_steps);
    t->order = malloc((size_t)train->count * sizeof *t->order);
    peft_status status = t->order ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "trainer: out of memory");
    if (status == PEFT_OK) status = peft_graph_create(&t->g, error);
    if (status == PEFT_OK && adapters) status = peft_adapters_check_steps(adapters, t->num_steps, error);
    if (status == PEFT_OK) peft_graph_set_context(t->g, ctx);
    if (status == PEFT_OK && peft_context_dtype(ctx) == PEFT_BF16) peft_graph_keep_bf16(t->g);
    if (status == PEFT_OK) status = peft_parameters_collect(&t->parameters, adapters, model, error);
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
    peft_batch_memory_free(&t->memory);
    free(t->order);
    *t = (peft_trainer){0};
}

/* The examples of a step, as a part of its epoch's order. */
static const uint32_t *rows_of_step(peft_trainer *t, int64_t step, int64_t *count)
{
    int64_t epoch = step / t->steps_per_epoch, global = t->options->batch_size * t->options->gradient_accumulation;
    int64_t first = step % t->steps_per_epoch * global;
    if (epoch != t->order_epoch) {
        peft_tokens_order(t->order, t->train->count, (uint64_t)t->options->seed, epoch);
        t->order_epoch = epoch;
    }
    *count = t->train->count - first < global ? t->train->count - first : global;
    return t->order + first;
}

peft_tensor *peft_training_loss(peft_graph *g, const peft_loss_case *x)
{
    const peft_batch_memory *m = x->memory;
    const peft_model_run run = {&m->batch, &m->input, x->options->checkpoint_layers};
    peft_tensor *logits = peft_model_logits(g, x->model, &run), *loss;
    int64_t sequences = m->batch.num_sequences;
    if (x->regression) {
        peft_tensor *scores = peft_constant(g, PEFT_F32, peft_shape_2(sequences, 1), m->scores, "scores");
        loss = peft_mse(g, logits, scores, (double)x->examples);
    } else {
        peft_tensor *labels = peft_constant(g, PEFT_I32, peft_shape_1(sequences), m->classes, "labels");
        loss = peft_cross_entropy(g, logits, labels, NULL, x->options->label_smoothing, (double)x->examples);
    }
    return peft_graph_total_loss(g, loss, (double)sequences / (double)x->examples);
}

/* Describes and differentiates the loss of the batch in t->memory, as its share of a global batch of `examples`. */
static peft_status describe_loss(peft_trainer *t, int64_t examples, peft_tensor **loss, peft_error *error)
{
    peft_graph_reset(t->g);
    const peft_loss_case x = {t->model, &t->memory, t->options, t->regression, examples};
    *loss = peft_training_loss(t->g, &x);
    peft_status status = peft_graph_status(t->g, error);
    return status == PEFT_OK ? peft_graph_differentiate(t->g, *loss, error) : status;
}

/* Rows first ... of a step's examples become t->memory; `before` counts the tokens of the step's earlier batches. */
static peft_status gather(peft_trainer *t, const uint32_t *rows, int64_t first, int64_t examples, int64_t before,
                          peft_error *error)
{
    int64_t size = examples - first < t->options->batch_size ? examples - first : t->options->batch_size;
    peft_status status = peft_tokens_gather(t->train, rows + first, size, &t->memory, error);
    t->memory.batch.training = true;
    t->memory.batch.first_sequence = first;
    t->memory.batch.first_token = before;
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
        peft_tensor *loss = NULL;
        peft_status status = gather(t, rows, first, record->examples, record->tokens, error);
        if (status == PEFT_OK) status = describe_loss(t, record->examples, &loss, error);
        if (status == PEFT_OK) status = peft_graph_run(t->g, t->ctx, error);
        if (status == PEFT_OK && observes(t))
            status = peft_observations_add(t->observations, t->g, (double)t->memory.batch.num_tokens, error);
        if (status != PEFT_OK) return status;
        record->loss += (double)*(const float *)loss->data;
        record->tokens += t->memory.batch.num_tokens;
    }
    return PEFT_OK;
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
    if (t->adapters) status = peft_adapters_after_step(t->adapters, &done, error);
    if (status == PEFT_OK && observes(t))
        status = peft_observations_write(t->observations, done.step, t->adapters, error);
    t->step = done.step;
    record->epoch = (double)t->step / (double)t->steps_per_epoch;
    return status;
}

/* ---- the largest batch ---- */

/* Tokens decide how much a batch takes; attention's scratch memory by the longest sequence comes second. */
typedef struct largest {
    int64_t tokens, longest, step, first;
} largest;

static int64_t measure(const peft_tokens *tokens, const uint32_t *rows, int64_t count, int64_t *longest)
{
    int64_t total = 0;
    *longest = 0;
    for (int64_t s = 0; s < count; s++) {
        int64_t length = peft_tokens_length(tokens, rows[s]);
        total += length;
        if (length > *longest) *longest = length;
    }
    return total;
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
            int64_t size = examples - first < t->options->batch_size ? examples - first : t->options->batch_size;
            int64_t longest, tokens = measure(t->train, rows + first, size, &longest);
            const largest found = {tokens, longest, step, first};
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
    peft_tensor *loss = NULL;
    peft_status status = gather(t, rows, first, examples, 0, error);
    if (status == PEFT_OK) status = describe_loss(t, examples, &loss, error);
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

/* The longest examples in one batch: more than any batch that is not looked at. */
static peft_status plan_longest(peft_trainer *t, size_t *bytes, int64_t *tokens, peft_error *error)
{
    int64_t count = t->train->count, longest;
    int64_t size = count < t->options->batch_size ? count : t->options->batch_size;
    uint32_t *rows = malloc((size_t)count * sizeof *rows);
    if (!rows) return peft_fail(error, PEFT_ERR_MEMORY, "trainer: out of memory");
    peft_status status = peft_tokens_order_by_length(t->train, rows, error);
    if (status == PEFT_OK) {
        *tokens = measure(t->train, rows + count - size, size, &longest);
        peft_context_expect(t->ctx, *tokens);
        status = plan_rows(t, rows + count - size, 0, size, bytes, error);
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
