#include "peft/oral_objective.h"

#include "ops/ops.h"

static double share_of(const peft_examples *examples)
{
    return (double)examples->count / examples->normaliser;
}

static peft_status draw(peft_oral_objective *x, const peft_examples *examples, peft_error *error)
{
    return peft_oral_batch_draw(&x->batch, x->oral, x->library, x->diffusion, x->training, examples->rows, *x->step,
                                error);
}

static peft_status describe(void *argument, peft_graph *g, const peft_examples *examples, peft_tensor **loss,
                            peft_error *error)
{
    peft_oral_objective *x = argument;
    peft_status status = PEFT_OK;
    if (x->oral->sizes.denoiser.norm == PEFT_DENOISER_BATCH)
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "generator: batch norm is not trained here; take group norm");
    if (x->batch.count != examples->count) {
        peft_oral_batch_free(&x->batch);
        status = peft_oral_batch_create(&x->batch, x->oral, x->training, examples->count, error);
    }
    if (status == PEFT_OK) status = draw(x, examples, error);
    if (status != PEFT_OK) return status;
    const peft_net net = {g, &x->oral->set, true};
    x->share = share_of(examples);
    *loss = peft_scale(g, peft_oral_batch_loss(&net, x->oral, x->library, &x->batch, NULL), x->share);
    return PEFT_OK;
}

static bool refill(void *argument, const peft_examples *examples)
{
    peft_oral_objective *x = argument;
    return x->batch.count == examples->count && x->share == share_of(examples) && draw(x, examples, NULL) == PEFT_OK;
}

peft_objective peft_oral_objective_of(peft_oral_objective *x)
{
    return (peft_objective){.num_examples = x->library->members, .describe = describe, .refill = refill, .argument = x};
}

void peft_oral_objective_free(peft_oral_objective *x)
{
    peft_oral_batch_free(&x->batch);
}
