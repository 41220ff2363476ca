#include "peft/task_objective.h"

#include "ops/ops.h"
#include "ops/side.h"

peft_tensor *peft_task_loss(peft_graph *g, const peft_task_objective *x, double normaliser)
{
    const peft_batch_memory *m = &x->memory;
    const peft_model_run run = {&m->batch, &m->input, x->options->checkpoint_layers};
    peft_tensor *logits = peft_model_logits(g, x->model, &run), *loss;
    int64_t sequences = m->batch.num_sequences;
    if (x->regression) {
        peft_tensor *scores = peft_constant(g, PEFT_F32, peft_shape_2(sequences, 1), m->scores, "scores");
        loss = peft_mse(g, logits, scores, normaliser);
    } else {
        peft_tensor *labels = peft_constant(g, PEFT_I32, peft_shape_1(sequences), m->classes, "labels");
        loss = peft_cross_entropy(g, logits, labels, NULL, x->options->label_smoothing, normaliser);
    }
    return peft_graph_total_loss(g, loss, (double)sequences / normaliser);
}

static peft_status describe(void *argument, peft_graph *g, const peft_examples *batch, peft_tensor **loss,
                            peft_error *error)
{
    peft_task_objective *x = argument;
    peft_status status = peft_tokens_gather(x->tokens, batch->rows, batch->count, &x->memory, error);
    if (status != PEFT_OK) return status;
    x->memory.batch.training = true;
    x->memory.batch.first_sequence = batch->first_example;
    x->memory.batch.first_token = batch->first_token;
    *loss = peft_task_loss(g, x, batch->normaliser);
    return PEFT_OK;
}

static int64_t tokens_of(const void *argument, uint32_t example)
{
    return peft_tokens_length(((const peft_task_objective *)argument)->tokens, example);
}

peft_objective peft_task_objective_of(peft_task_objective *x)
{
    return (peft_objective){.num_examples = x->tokens->count, .describe = describe, .tokens = tokens_of, .argument = x};
}
