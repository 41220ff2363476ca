#include "peft/answer_objective.h"

#include <inttypes.h>
#include <stdlib.h>

#include "ops/ops.h"
#include "ops/side.h"

/* ---- what the caller says ---- */

static int64_t count_answers(const peft_answer_objective *x, int64_t example)
{
    const int32_t *own = x->answers + example * x->max_answers;
    int64_t count = 0;
    while (count < x->max_answers && own[count] >= 0 && own[count] < x->num_vectors) count++;
    return count;
}

static peft_status check_example(const peft_answer_objective *x, int64_t example, peft_error *error)
{
    const int32_t *own = x->answers + example * x->max_answers;
    int64_t count = count_answers(x, example);
    for (int64_t k = count; k < x->max_answers; k++)
        if (own[k] != -1)
            return peft_fail(error, PEFT_ERR_ARGUMENT,
                             "example %" PRId64 ": answer %" PRId64 ": expected a row below %" PRId64
                             ", or -1 behind the last, found %" PRId32,
                             example, k, x->num_vectors, own[k]);
    if (x->tokens->classes[example] >= 0 && x->tokens->classes[example] < count) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_ARGUMENT,
                     "example %" PRId64 ": its class is %" PRId32 ", it has %" PRId64 " answers", example,
                     x->tokens->classes[example], count);
}

/* ---- one batch ---- */

static peft_status reserve(peft_answer_objective *x, int64_t count, peft_error *error)
{
    if (count <= x->capacity) return PEFT_OK;
    free(x->ids);
    free(x->missing);
    free(x->targets);
    x->ids = calloc((size_t)count, sizeof *x->ids);
    x->missing = calloc((size_t)count, sizeof *x->missing);
    x->targets = calloc((size_t)count, sizeof *x->targets);
    x->capacity = x->ids && x->missing && x->targets ? count : 0;
    return x->capacity ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "answers of a batch: out of memory");
}

/* An answer that is not there reads row 0, and its logit does not count. */
static void fill_row(peft_answer_objective *x, int64_t row, uint32_t example)
{
    const float far_below = -1e9F;
    const int64_t first = row * x->max_answers, count = count_answers(x, example);
    for (int64_t k = 0; k < x->max_answers; k++) {
        bool there = k < count, wanted = k == x->tokens->classes[example];
        double spread = there ? x->label_smoothing / (double)count : 0;
        x->ids[first + k] = there ? x->answers[example * x->max_answers + k] : 0;
        x->missing[first + k] = there ? 0 : far_below;
        x->targets[first + k] = (float)((wanted ? 1 - x->label_smoothing : 0) + spread);
    }
}

static peft_status fill(peft_answer_objective *x, const peft_examples *examples, peft_error *error)
{
    peft_status status = peft_tokens_gather(x->tokens, examples->rows, examples->count, &x->memory, error);
    if (status == PEFT_OK) status = reserve(x, examples->count * x->max_answers, error);
    for (int64_t row = 0; row < examples->count && status == PEFT_OK; row++) fill_row(x, row, examples->rows[row]);
    x->memory.batch.first_sequence = examples->first_example;
    x->memory.batch.first_token = examples->first_token;
    return status;
}

peft_status peft_answer_objective_logits(peft_answer_objective *x, peft_graph *g, const peft_examples *examples,
                                         bool training, peft_tensor **logits, peft_error *error)
{
    *logits = NULL;
    peft_status status = fill(x, examples, error);
    if (status != PEFT_OK) return status;
    peft_batch_memory *m = &x->memory;
    m->batch.training = training;
    if (x->bind) status = x->bind(x->argument, g, examples, &m->batch, error);
    if (status != PEFT_OK) return status;
    const int64_t count = examples->count, size = peft_model_hidden_size(x->model);
    const peft_model_run run = {&m->batch, &m->input, x->checkpoint_layers};
    peft_tensor *v = peft_model_sentence(g, x->model, &run);
    peft_tensor *all = peft_constant(g, PEFT_F32, peft_shape_2(x->num_vectors, size), x->vectors, "answers");
    peft_tensor *ids = peft_constant(g, PEFT_I32, peft_shape_1(count * x->max_answers), x->ids, "answers of examples");
    peft_tensor *own = peft_reshape(g, peft_embedding(g, all, ids), peft_shape_3(count, x->max_answers, size));
    peft_tensor *missing =
        peft_constant(g, PEFT_F32, peft_shape_2(count, x->max_answers), x->missing, "answers not there");
    *logits = peft_add(g, peft_answer_logits(g, v, own), missing);
    return PEFT_OK;
}

/* Cross-entropy with shares as targets: log sum exp(z) - sum of target times z. */
static peft_status describe(void *argument, peft_graph *g, const peft_examples *batch, peft_tensor **loss,
                            peft_error *error)
{
    peft_answer_objective *x = argument;
    peft_tensor *logits;
    peft_status status = peft_answer_objective_logits(x, g, batch, true, &logits, error);
    if (status != PEFT_OK) return status;
    peft_tensor *targets =
        peft_constant(g, PEFT_F32, peft_shape_2(batch->count, x->max_answers), x->targets, "targets");
    peft_tensor *normalisers = peft_sum(g, peft_log_sum_exp(g, logits), PEFT_ALL_DIMS);
    peft_tensor *wanted = peft_sum(g, peft_mul(g, logits, targets), PEFT_ALL_DIMS);
    peft_tensor *sum = peft_add(g, normalisers, peft_scale(g, wanted, -1));
    *loss =
        peft_graph_total_loss(g, peft_scale(g, sum, 1 / batch->normaliser), (double)batch->count / batch->normaliser);
    return PEFT_OK;
}

static int64_t tokens_of(const void *argument, uint32_t example)
{
    return peft_tokens_length(((const peft_answer_objective *)argument)->tokens, example);
}

peft_status peft_answer_objective_of(peft_answer_objective *x, peft_objective *objective, peft_error *error)
{
    peft_status status =
        x->tokens->classes ? PEFT_OK : peft_fail(error, PEFT_ERR_ARGUMENT, "answers: the examples have no classes");
    for (int64_t k = 0; k < x->tokens->count && status == PEFT_OK; k++) status = check_example(x, k, error);
    *objective =
        (peft_objective){.num_examples = x->tokens->count, .describe = describe, .tokens = tokens_of, .argument = x};
    return status;
}

void peft_answer_objective_free(peft_answer_objective *x)
{
    peft_batch_memory_free(&x->memory);
    free(x->ids);
    free(x->missing);
    free(x->targets);
    x->ids = NULL;
    x->missing = x->targets = NULL;
    x->capacity = 0;
}
