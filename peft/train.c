#include "peft/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "peft/adapter_folder.h"
#include "peft/checkpoint.h"
#include "peft/evaluate.h"
#include "peft/log.h"
#include "peft/machine.h"
#include "peft/model_folder.h"
#include "peft/run_folder.h"
#include "peft/run_json.h"
#include "peft/session.h"

/* A run between its first and its last step. */
typedef struct run {
    peft_session session;
    peft_run_folder folder;
    peft_log *log;
    peft_observations observations;
    peft_progress_state state;
    peft_scores scores; /* of the last evaluation on dev */
    int64_t scored_step;
    int64_t max_tokens; /* of the largest training batch: evaluation keeps to the memory of training */
} run;

static peft_status save_checkpoint(run *r, peft_error *error)
{
    return peft_checkpoint_save(r->folder.checkpoint, &r->session.trainer, &r->state, r->session.settings, error);
}

static peft_status score(const run *r, const peft_tokens *tokens, peft_scores *scores, peft_error *error)
{
    const peft_session *s = &r->session;
    const peft_predictor predictor = {.ctx = s->ctx, .g = s->trainer.g, .model = s->model, .max_tokens = r->max_tokens};
    return peft_evaluate(&predictor, tokens, s->corpus.metrics, scores, error);
}

static peft_status evaluate(run *r, const char *split, const peft_tokens *tokens, peft_scores *scores,
                            peft_error *error)
{
    peft_status status = score(r, tokens, scores, error);
    if (status != PEFT_OK) return status;
    return peft_log_write(r->log,
                          json_pack("{s:I, s:s, s:o}", "step", (json_int_t)r->session.trainer.step, "split", split,
                                    "metrics", peft_scores_json(scores)),
                          error);
}

/* Scores the adapter as it is now; with --keep best it is remembered if it is the best so far. */
static peft_status evaluate_all(run *r, peft_error *error)
{
    peft_session *s = &r->session;
    peft_status status = PEFT_OK;
    if (s->dev) {
        status = evaluate(r, "dev", s->dev, &r->scores, error);
        r->scored_step = s->trainer.step;
    }
    if (status != PEFT_OK || !s->held_out) return status;
    peft_scores held;
    status = evaluate(r, "held_out", s->held_out, &held, error);
    if (status != PEFT_OK) return status;
    r->state.evaluations_since_best++;
    if (r->state.best_step && held.values[0] <= r->state.best_score) return PEFT_OK;
    r->state.best_score = held.values[0];
    r->state.best_step = s->trainer.step;
    r->state.evaluations_since_best = 0;
    peft_parameters_copy_out(&s->trainer.parameters, r->state.best);
    return PEFT_OK;
}

static peft_status log_step(run *r, const peft_step_record *record, double seconds, peft_error *error)
{
    return peft_log_write(r->log,
                          json_pack("{s:I, s:f, s:f, s:f, s:f, s:I, s:f}", "step", (json_int_t)record->step, "epoch",
                                    record->epoch, "loss", record->loss, "learning_rate", record->learning_rate,
                                    "grad_norm", record->grad_norm, "tokens", (json_int_t)record->tokens, "seconds",
                                    seconds),
                          error);
}

static bool due(int64_t step, int64_t every, const peft_trainer *t)
{
    return step % (every ? every : t->steps_per_epoch) == 0 || step == t->num_steps;
}

static bool stopped_early(const run *r)
{
    int64_t patience = r->session.job->train->early_stop;
    return patience && r->state.evaluations_since_best >= patience;
}

static peft_status one_step(run *r, peft_step_record *record, peft_error *error)
{
    peft_trainer *t = &r->session.trainer;
    const peft_train_options *o = r->session.job->train;
    double began = peft_machine_seconds();
    peft_status status = peft_trainer_step(t, record, error);
    if (status == PEFT_OK) status = log_step(r, record, peft_machine_seconds() - began, error);
    if (status == PEFT_OK && due(t->step, o->eval_every, t)) status = evaluate_all(r, error);
    size_t anonymous = peft_machine_memory().anonymous;
    if (anonymous > r->state.peak_anonymous) r->state.peak_anonymous = anonymous;
    r->state.seconds += peft_machine_seconds() - began;
    r->state.tokens += record->tokens;
    if (status == PEFT_OK && due(t->step, o->checkpoint_every, t)) status = save_checkpoint(r, error);
    return status;
}

static peft_status stop_in_order(run *r, peft_error *error)
{
    const peft_trainer *t = &r->session.trainer;
    bool saved = due(t->step, r->session.job->train->checkpoint_every, t);
    peft_status status = saved ? PEFT_OK : save_checkpoint(r, error);
    if (status != PEFT_OK) return status;
    return peft_fail(error, PEFT_ERR_CANCELLED, "%s: stopped after step %lld of %lld; go on with --resume",
                     r->session.job->output, (long long)t->step, (long long)t->num_steps);
}

static peft_status all_steps(run *r, peft_error *error)
{
    peft_trainer *t = &r->session.trainer;
    const peft_callback *callback = &r->session.job->callback;
    while (t->step < t->num_steps && !stopped_early(r)) {
        peft_step_record record;
        peft_status status = one_step(r, &record, error);
        if (status != PEFT_OK) return status;
        const peft_event event = {"train", t->step, t->num_steps, record.loss};
        if (callback->report && !callback->report(callback->argument, &event)) return stop_in_order(r, error);
    }
    return PEFT_OK;
}

/* Takes the best adapter where that was asked for, and makes sure that the scores are those of what is kept. */
static peft_status choose(run *r, peft_error *error)
{
    peft_session *s = &r->session;
    if (s->held_out && r->state.best_step != s->trainer.step) {
        peft_parameters_copy_in(&s->trainer.parameters, r->state.best);
        r->scored_step = 0;
    }
    if (!s->held_out) r->state.best_step = s->trainer.step;
    if (!s->dev || r->scored_step == s->trainer.step) return PEFT_OK;
    return score(r, s->dev, &r->scores, error);
}

static peft_status save_result(const peft_session *s, peft_error *error)
{
    const peft_train_job *job = s->job;
    if (job->all_weights) return peft_model_save(s->model, PEFT_F32, s->corpus.train->label_names, job->output, error);
    return peft_adapter_save(s->model, s->adapters, job->targets, job->output, error);
}

static peft_status finish(run *r, json_t **summary, peft_error *error)
{
    const peft_session *s = &r->session;
    peft_status status = choose(r, error);
    if (status == PEFT_OK) status = save_result(s, error);
    if (status == PEFT_OK) status = peft_run_json(s, &r->state, s->dev ? &r->scores : NULL, summary, error);
    if (status == PEFT_OK) status = peft_json_save(r->folder.run_json, *summary, PEFT_JSON_AS_IS, error);
    return status;
}

static peft_status start(run *r, const peft_train_job *job, peft_error *error)
{
    peft_status status = peft_run_folder_open(&r->folder, job->output, job->force, job->resume, error);
    if (status == PEFT_OK) status = peft_session_open(&r->session, job, error);
    if (status == PEFT_OK) status = peft_run_folder_prepare(&r->folder, job->resume, error);
    if (status != PEFT_OK) return status;
    peft_trainer *t = &r->session.trainer;
    if (r->session.held_out &&
        !(r->state.best = calloc((size_t)peft_parameters_floats(&t->parameters) + 1, sizeof *r->state.best)))
        return peft_fail(error, PEFT_ERR_MEMORY, "train: out of memory for the best adapter");
    if (job->resume && r->folder.has_checkpoint)
        status = peft_checkpoint_load(r->folder.checkpoint, t, &r->state, r->session.settings, error);
    if (status == PEFT_OK) status = peft_log_open(&r->log, r->folder.log, t->step, error);
    peft_observations_open(&r->observations, r->folder.observations);
    t->observations = &r->observations;
    peft_plan plan = {0};
    if (status == PEFT_OK) status = peft_session_plan(&r->session, &plan, error);
    r->max_tokens = plan.largest_batch_tokens;
    r->state.planned = plan.total;
    return status;
}

peft_status peft_train(const peft_train_job *job, json_t **summary, peft_error *error)
{
    *summary = NULL;
    run r = {0};
    peft_status status = start(&r, job, error);
    if (status == PEFT_OK) status = all_steps(&r, error);
    if (status == PEFT_OK) status = finish(&r, summary, error);
    if (status != PEFT_OK) {
        json_decref(*summary);
        *summary = NULL;
    }
    peft_log_close(r.log);
    peft_observations_close(&r.observations);
    free(r.state.best);
    peft_run_folder_close(&r.folder);
    peft_session_close(&r.session);
    return status;
}
