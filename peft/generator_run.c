#include "peft/generator_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "io/json.h"

static peft_status save_checkpoint(peft_generator_run *r, peft_error *error)
{
    peft_status status = peft_checkpoint_save(r->folder.checkpoint, r->trainer, &r->state, r->settings, error);
    if (status == PEFT_OK) r->saved_step = r->trainer->step;
    return status;
}

static bool report(const peft_generator_run *r)
{
    const peft_event event = {"train", r->trainer->step, r->trainer->num_steps, r->loss};
    return !r->callback.report || r->callback.report(r->callback.argument, &event);
}

static peft_status one_step(peft_generator_run *r, peft_error *error)
{
    peft_step_record record;
    peft_status status = peft_trainer_step(r->trainer, &record, error);
    if (status != PEFT_OK) return status;
    r->loss = r->state.best_score = record.loss; /* the checkpoint's number for it */
    status = peft_log_write(r->log,
                            json_pack("{s:I, s:f, s:f, s:f, s:f}", "step", (json_int_t)record.step, "epoch",
                                      record.epoch, "loss", record.loss, "learning_rate", record.learning_rate,
                                      "grad_norm", record.grad_norm),
                            error);
    const int64_t step = r->trainer->step;
    bool due = step == r->trainer->num_steps || (r->checkpoint_every && step % r->checkpoint_every == 0);
    return status == PEFT_OK && due ? save_checkpoint(r, error) : status;
}

peft_status peft_generator_run_steps(peft_generator_run *r, peft_error *error)
{
    peft_status status = PEFT_OK;
    while (status == PEFT_OK && r->trainer->step < r->trainer->num_steps)
        status = report(r) ? one_step(r, error) : PEFT_ERR_CANCELLED;
    if (status != PEFT_ERR_CANCELLED) return status;
    status = r->saved_step == r->trainer->step ? PEFT_OK : save_checkpoint(r, error);
    if (status != PEFT_OK) return status;
    return peft_fail(error, PEFT_ERR_CANCELLED, "%s: stopped after step %lld of %lld; go on with --resume",
                     r->place.path, (long long)r->trainer->step, (long long)r->trainer->num_steps);
}

peft_status peft_generator_run_open(peft_generator_run *r, peft_error *error)
{
    r->loss = (double)NAN;
    r->saved_step = -1;
    peft_status status = peft_run_folder_open(&r->folder, &r->place, error);
    if (status == PEFT_OK && r->place.resume && r->folder.has_checkpoint)
        status = peft_checkpoint_load(r->folder.checkpoint, r->trainer, &r->state, r->settings, error);
    if (status == PEFT_OK && r->trainer->step > 0) r->loss = r->state.best_score;
    if (status == PEFT_OK) status = peft_run_folder_prepare(&r->folder, error);
    return status == PEFT_OK ? peft_log_open(&r->log, r->folder.log, r->trainer->step, false, error) : status;
}

void peft_generator_run_close(peft_generator_run *r)
{
    peft_log_close(r->log);
    peft_run_folder_close(&r->folder);
}

json_t *peft_generator_run_training(const peft_train_options *o)
{
    return json_pack("{s:f, s:I, s:I, s:f, s:s, s:f, s:f, s:f, s:I}", "epochs", o->epochs, "steps",
                     (json_int_t)o->steps, "batch_size", (json_int_t)o->batch_size, "learning_rate", o->learning_rate,
                     "schedule", o->schedule, "warmup", o->warmup, "weight_decay", o->weight_decay, "max_grad_norm",
                     o->max_grad_norm, "seed", (json_int_t)o->seed);
}

json_t *peft_generator_run_hash(const void *data, size_t bytes)
{
    char text[24];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)XXH3_64bits(data, bytes));
    return json_string(text);
}
