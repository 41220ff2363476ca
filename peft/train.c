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
#include "peft/observations.h"
#include "peft/predictions.h"
#include "peft/run_folder.h"
#include "peft/run_json.h"
#include "peft/session.h"

enum { NONE = -1, MOST_SOURCES = 4 };

/* A run between its first and its last step. */
typedef struct run {
    peft_session session;
    peft_run_folder folder;
    peft_log *log;
    peft_observations observations;
    peft_progress_state state;
    float *logits;       /* [examples of dev, labels] of the last evaluation on dev */
    peft_scores scores;  /* and what they are worth */
    int64_t scored_step; /* the step that they are of */
    int64_t max_tokens;  /* of the largest training batch: evaluation keeps to the memory of training */
    double loss;         /* of the last step; NaN before it */
    int64_t saved_step;  /* of the checkpoint; NONE: there is none */
    const char *sources[MOST_SOURCES + 1];
    peft_run_place place;
} run;

static peft_status save_checkpoint(run *r, peft_error *error)
{
    peft_trainer *t = &r->session.trainer;
    peft_status status = peft_checkpoint_save(r->folder.checkpoint, t, &r->state, r->session.settings, error);
    if (status == PEFT_OK) r->saved_step = t->step;
    return status;
}

/* Tells the caller how far the run is. False: it shall stop. */
static bool report(run *r)
{
    const peft_callback *callback = &r->session.job->callback;
    const peft_trainer *t = &r->session.trainer;
    const peft_event event = {"train", t->step, t->num_steps, r->loss};
    return !callback->report || callback->report(callback->argument, &event);
}

/* During an evaluation the run is where it was. */
static bool report_evaluation(void *argument, const peft_event *event)
{
    (void)event;
    return report(argument);
}

static peft_predictor predictor(run *r)
{
    const peft_session *s = &r->session;
    return (peft_predictor){.ctx = s->ctx,
                            .g = peft_trainer_graph(&r->session.trainer),
                            .model = s->model,
                            .max_tokens = r->max_tokens,
                            .callback = {report_evaluation, r}};
}

/* The logits are kept: what the run reports is of the last ones. */
static peft_status score_dev(run *r, peft_error *error)
{
    const peft_session *s = &r->session;
    const peft_predictor p = predictor(r);
    peft_status status = peft_predict(&p, PEFT_PREDICT_LOGITS, s->dev, r->logits, error);
    if (status == PEFT_OK)
        status = peft_score(r->logits, peft_model_num_labels(s->model), s->dev, s->corpus.metrics, s->corpus.positive,
                            &r->scores, error);
    if (status == PEFT_OK) r->scored_step = s->trainer.step;
    return status;
}

static peft_status score_held_out(run *r, peft_scores *scores, peft_error *error)
{
    const peft_session *s = &r->session;
    const peft_predictor p = predictor(r);
    return peft_evaluate(&p, s->held_out, s->corpus.metrics, s->corpus.positive, scores, error);
}

static peft_status log_scores(run *r, const char *split, const peft_scores *scores, peft_error *error)
{
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
    if (s->dev) status = score_dev(r, error);
    if (s->dev && status == PEFT_OK) status = log_scores(r, "dev", &r->scores, error);
    if (status != PEFT_OK || !s->held_out) return status;
    peft_scores held;
    status = score_held_out(r, &held, error);
    if (status == PEFT_OK) status = log_scores(r, "held_out", &held, error);
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

/* One that is stopped is due still: the checkpoint says so, and resuming makes it up. */
static peft_status evaluate_if_due(run *r, peft_error *error)
{
    const peft_trainer *t = &r->session.trainer;
    r->state.evaluation_due = due(t->step, r->session.job->train->eval_every, t);
    peft_status status = r->state.evaluation_due ? evaluate_all(r, error) : PEFT_OK;
    if (status == PEFT_OK) r->state.evaluation_due = false;
    return status;
}

static peft_status save_if_due(run *r, peft_error *error)
{
    const peft_trainer *t = &r->session.trainer;
    return due(t->step, r->session.job->train->checkpoint_every, t) ? save_checkpoint(r, error) : PEFT_OK;
}

static peft_status one_step(run *r, peft_error *error)
{
    peft_step_record record;
    double began = peft_machine_seconds();
    peft_status status = peft_trainer_step(&r->session.trainer, &record, error);
    if (status == PEFT_OK) status = log_step(r, &record, peft_machine_seconds() - began, error);
    if (status != PEFT_OK) return status;
    r->loss = record.loss;
    status = evaluate_if_due(r, error);
    size_t anonymous = peft_machine_memory().anonymous;
    if (anonymous > r->state.peak_anonymous) r->state.peak_anonymous = anonymous;
    r->state.seconds += peft_machine_seconds() - began;
    r->state.tokens += record.tokens;
    return status == PEFT_OK ? save_if_due(r, error) : status;
}

/* What the checkpoint of a run that was stopped in an evaluation still asks for. */
static peft_status catch_up(run *r, peft_error *error)
{
    if (!r->state.evaluation_due) return PEFT_OK;
    peft_status status = evaluate_if_due(r, error);
    return status == PEFT_OK ? save_if_due(r, error) : status;
}

static peft_status stop_in_order(run *r, peft_error *error)
{
    const peft_trainer *t = &r->session.trainer;
    peft_status status = r->saved_step == t->step ? PEFT_OK : save_checkpoint(r, error);
    if (status != PEFT_OK) return status;
    return peft_fail(error, PEFT_ERR_CANCELLED, "%s: stopped after step %lld of %lld; go on with --resume",
                     r->session.job->output, (long long)t->step, (long long)t->num_steps);
}

/* Numbers that are not finite never reach a checkpoint. */
static peft_status name_checkpoint(const run *r, peft_status status, peft_error *error)
{
    if (status != PEFT_ERR_NUMERIC || r->saved_step == NONE) return status;
    char message[PEFT_MESSAGE_BYTES];
    memcpy(message, error->message, sizeof message);
    return peft_fail(error, status, "%s; the last checkpoint is good, it is of step %lld", message,
                     (long long)r->saved_step);
}

static peft_status all_steps(run *r, peft_error *error)
{
    const peft_trainer *t = &r->session.trainer;
    peft_status status = catch_up(r, error);
    while (status == PEFT_OK && t->step < t->num_steps && !stopped_early(r))
        status = report(r) ? one_step(r, error) : PEFT_ERR_CANCELLED;
    if (status == PEFT_ERR_CANCELLED) return stop_in_order(r, error);
    if (status == PEFT_OK) report(r);
    return name_checkpoint(r, status, error);
}

/* Takes the best adapter where that was asked for, and makes sure that scores and logits are those of what is kept. */
static peft_status choose(run *r, peft_error *error)
{
    peft_session *s = &r->session;
    if (s->held_out && r->state.best_step != s->trainer.step) {
        peft_parameters_copy_in(&s->trainer.parameters, r->state.best);
        r->scored_step = 0;
    }
    if (!s->held_out) r->state.best_step = s->trainer.step;
    if (!s->dev || r->scored_step == s->trainer.step) return PEFT_OK;
    return score_dev(r, error);
}

static peft_status save_result(const peft_session *s, peft_error *error)
{
    const peft_train_job *job = s->job;
    if (job->all_weights) return peft_model_save(s->model, PEFT_F32, s->corpus.train->label_names, job->output, error);
    return peft_adapter_save(s->model, s->adapters, job->targets, job->output, error);
}

static peft_status save_predictions(const run *r, peft_error *error)
{
    const peft_session *s = &r->session;
    if (!s->dev) return PEFT_OK;
    const char *fingerprint = json_string_value(json_object_get(s->fingerprints, "dev"));
    const peft_predictions_source source = {s->corpus.name, "dev", fingerprint ? fingerprint : ""};
    const peft_outcomes outcomes = {.count = (size_t)s->dev->count,
                                    .predicted_scores = r->logits,
                                    .classes = s->dev->classes,
                                    .scores = s->dev->scores,
                                    .positive = s->corpus.positive};
    return peft_predictions_save(&outcomes, peft_model_num_labels(s->model), &source, r->folder.predictions, error);
}

static peft_status finish(run *r, json_t **summary, peft_error *error)
{
    const peft_session *s = &r->session;
    peft_status status = choose(r, error);
    if (status == PEFT_OK) status = save_result(s, error);
    if (status == PEFT_OK) status = save_predictions(r, error);
    if (status == PEFT_OK) status = peft_run_json(s, &r->state, s->dev ? &r->scores : NULL, summary, error);
    if (status == PEFT_OK) status = peft_json_save(r->folder.run_json, *summary, PEFT_JSON_AS_IS, error);
    return status;
}

static void add_source(run *r, const char *path)
{
    size_t count = 0;
    while (r->sources[count]) count++;
    if (path) r->sources[count] = path;
}

static peft_status open_folder(run *r, const peft_train_job *job, peft_error *error)
{
    const char *const read[MOST_SOURCES] = {job->model, job->data->data, job->data->train, job->data->dev};
    for (int k = 0; k < MOST_SOURCES; k++) add_source(r, read[k]);
    r->place = (peft_run_place){job->output, job->force, job->resume, r->sources};
    return peft_run_folder_open(&r->folder, &r->place, error);
}

static peft_status resume(run *r, peft_error *error)
{
    peft_trainer *t = &r->session.trainer;
    peft_status status = peft_checkpoint_load(r->folder.checkpoint, t, &r->state, r->session.settings, error);
    if (status == PEFT_OK) r->saved_step = t->step;
    return status;
}

static void give_notes(const run *r)
{
    const peft_train_job *job = r->session.job;
    peft_session_notes(&r->session);
    if (!r->folder.lock && job->note)
        job->note(job->note_argument, "this file system has no locks: let no other run write into the folder");
}

static peft_status take_memory(run *r, peft_error *error)
{
    const peft_session *s = &r->session;
    size_t answers = s->dev ? (size_t)(s->dev->count * peft_model_num_labels(s->model)) : 0;
    if (s->dev && !(r->logits = calloc(answers + 1, sizeof *r->logits)))
        return peft_fail(error, PEFT_ERR_MEMORY, "train: out of memory for the predictions");
    size_t floats = (size_t)peft_parameters_floats(&s->trainer.parameters);
    if (s->held_out && !(r->state.best = calloc(floats + 1, sizeof *r->state.best)))
        return peft_fail(error, PEFT_ERR_MEMORY, "train: out of memory for the best adapter");
    return PEFT_OK;
}

static peft_status start(run *r, const peft_train_job *job, peft_error *error)
{
    peft_status status = open_folder(r, job, error);
    if (status == PEFT_OK) status = peft_session_open(&r->session, job, error);
    if (status == PEFT_OK) status = peft_run_folder_prepare(&r->folder, error);
    if (status != PEFT_OK) return status;
    status = take_memory(r, error);
    if (status != PEFT_OK) return status;
    peft_trainer *t = &r->session.trainer;
    if (r->folder.has_checkpoint) status = resume(r, error);
    if (status == PEFT_OK) status = peft_log_open(&r->log, r->folder.log, t->step, r->state.evaluation_due, error);
    peft_observations_open(&r->observations, r->folder.observations);
    t->observations = &r->observations;
    peft_plan plan = {0};
    if (status == PEFT_OK) status = peft_session_plan(&r->session, &plan, error);
    if (status == PEFT_OK) give_notes(r);
    r->max_tokens = plan.largest_batch_tokens;
    r->state.planned = plan.total;
    return status;
}

peft_status peft_train(const peft_train_job *job, json_t **summary, peft_error *error)
{
    *summary = NULL;
    if (!job->model || !job->output || !job->train || !job->data || !job->targets)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "train: model, output, train, data and targets must be set");
    run r = {.loss = (double)NAN, .saved_step = NONE};
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
    free(r.logits);
    peft_run_folder_close(&r.folder);
    peft_session_close(&r.session);
    return status;
}
