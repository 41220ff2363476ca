#include "peft/generator_tune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "peft/answers.h"
#include "peft/end_to_end.h"
#include "peft/generator_format.h"
#include "peft/generator_run.h"
#include "peft/inject.h"
#include "peft/load.h"
#include "peft/provenance.h"

typedef struct run {
    const peft_tune_job *job;
    peft_context *ctx;
    peft_model *model;
    peft_tokenizer *tokenizer;
    peft_generator *generator;
    peft_task_mixture mixture;
    peft_end_to_end end_to_end;
    peft_answer_objective answers;
    peft_objective objective;
    peft_trainer trainer;
    peft_generator_run steps;
    const char *sources[3];
    json_t *settings;
    char *text;
} run;

static peft_status open_model(run *r, peft_error *error)
{
    const peft_tune_job *job = r->job;
    const peft_context_options context = {
        .threads = (int)job->threads, .backend = job->train->backend, .seed = (uint64_t)job->train->seed};
    enum { ANY_CLASSES = 2 }; /* each example has its own answers */
    peft_model_options options = {.part = PEFT_MODEL_ANSWERS, .num_labels = ANY_CLASSES};
    peft_status status = peft_answer_pooling(job->model, &options.pooling, error);
    if (status == PEFT_OK) status = peft_context_open(&r->ctx, &context, error);
    if (status == PEFT_OK) status = peft_model_open(&r->model, job->model, &options, error);
    if (status == PEFT_OK) status = peft_load_tokenizer(&r->tokenizer, r->model, error);
    return status == PEFT_OK ? peft_model_pack(r->model, r->ctx, PEFT_PACK_BOTH, error) : status;
}

/* The generator's adapters onto the model, after the answers, which are not to be seen through them. */
static peft_status open_generator(run *r, peft_error *error)
{
    const peft_tune_job *job = r->job;
    peft_status status = peft_generator_open(&r->generator, job->from, error);
    if (status != PEFT_OK) return status;
    peft_adapter_contents *start = &r->generator->start;
    if (r->generator->net.vector_size != job->vector_size)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "%s: reads vectors of %lld numbers, found %lld; is it the encoder that "
                         "it was trained with?",
                         job->from, (long long)r->generator->net.vector_size, (long long)job->vector_size);
    status = peft_base_check(r->model, start->adapters, start->file, job->from, NULL, error);
    if (status == PEFT_OK)
        status = peft_task_mixture_open(&r->mixture, job->tasks, r->model, r->ctx, r->tokenizer, error);
    if (status == PEFT_OK) status = peft_init_from_base(r->model, start->adapters, 0, error);
    return status == PEFT_OK ? peft_attach(r->model, start->adapters, error) : status;
}

static peft_status describe_settings(run *r, peft_error *error)
{
    const peft_train_options *o = r->job->train;
    const peft_task_mixture *m = &r->mixture;
    const peft_value_set *set = &r->generator->net.set;
    json_t *others = json_pack(
        "{s:f, s:f, s:o, s:o, s:o}", "label_smoothing", o->label_smoothing, "regulariser", r->job->regulariser, "from",
        peft_generator_run_hash(set->memory, (size_t)set->num_trained * sizeof(float)), "vectors",
        peft_generator_run_hash(r->job->vectors,
                                (size_t)(r->job->first[r->job->num_tasks] * r->job->vector_size) * sizeof(float)),
        "examples",
        peft_generator_run_hash(m->tokens.input_ids, (size_t)m->tokens.offsets[m->tokens.count] * sizeof(int32_t)));
    r->settings = peft_generator_run_training(o);
    const bool whole = others && r->settings && json_object_update(r->settings, others) == 0;
    json_decref(others);
    r->text = whole ? json_dumps(r->settings, JSON_COMPACT) : NULL;
    return r->text ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "train-generator: out of memory");
}

static peft_status open_trainer(run *r, peft_error *error)
{
    const peft_tune_job *job = r->job;
    const peft_value_set *const sets[] = {&r->generator->net.set};
    r->end_to_end = (peft_end_to_end){.net = &r->generator->net,
                                      .vectors = job->vectors,
                                      .first = job->first,
                                      .tasks = r->mixture.tasks,
                                      .seed = (uint64_t)job->train->seed,
                                      .regulariser = job->regulariser};
    r->answers = peft_task_mixture_objective(&r->mixture, r->model);
    r->answers.label_smoothing = job->train->label_smoothing;
    peft_end_to_end_attach(&r->end_to_end, &r->answers);
    peft_status status = peft_answer_objective_of(&r->answers, &r->objective, error);
    if (status == PEFT_OK) status = peft_trainer_open(&r->trainer, job->train, r->ctx, sets, 1, &r->objective, error);
    return status;
}

static peft_status start(run *r, peft_error *error)
{
    const peft_tune_job *job = r->job;
    r->sources[0] = job->from;
    r->sources[1] = job->model;
    r->steps = (peft_generator_run){.trainer = &r->trainer,
                                    .settings = r->text,
                                    .place = {job->output, job->force, job->resume, r->sources},
                                    .callback = job->callback,
                                    .checkpoint_every = job->train->checkpoint_every};
    return peft_generator_run_open(&r->steps, error);
}

static peft_status save_generator(run *r, peft_error *error)
{
    const peft_tune_job *job = r->job;
    const size_t count = (size_t)job->num_tasks, row = (size_t)job->vector_size * sizeof(float);
    peft_generator_task *tasks = calloc(count, sizeof *tasks);
    float *vectors = malloc(count * row);
    peft_status status =
        tasks && vectors ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", job->output);
    for (size_t k = 0; status == PEFT_OK && k < count; k++) {
        const peft_task *task = r->mixture.list.tasks[k];
        tasks[k] = (peft_generator_task){task->name, task->descriptions[0]};
        memcpy(vectors + k * (size_t)job->vector_size, job->vectors + job->first[k] * (size_t)job->vector_size, row);
    }
    const peft_generator_about about = {.encoder = job->encoder,
                                        .tasks = tasks,
                                        .num_tasks = job->num_tasks,
                                        .vectors = vectors,
                                        .like = &r->generator->start};
    if (status == PEFT_OK) status = peft_generator_save(job->output, &r->generator->net, NULL, NULL, &about, error);
    free(tasks);
    free(vectors);
    return status;
}

static peft_status finish(run *r, json_t **summary, peft_error *error)
{
    peft_status status = save_generator(r, error);
    if (status != PEFT_OK) return status;
    *summary = json_pack("{s:s, s:O, s:I, s:I, s:I, s:I, s:I, s:f}", "kind", "t2l", "settings", r->settings, "tasks",
                         (json_int_t)r->job->num_tasks, "descriptions", (json_int_t)r->job->first[r->job->num_tasks],
                         "examples", (json_int_t)r->mixture.tokens.count, "parameters",
                         (json_int_t)r->generator->net.set.num_trained, "steps", (json_int_t)r->trainer.step, "loss",
                         r->steps.loss);
    if (!*summary) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", r->job->output);
    return peft_json_save(r->steps.folder.run_json, *summary, PEFT_JSON_AS_IS, error);
}

static void close_run(run *r)
{
    peft_generator_run_close(&r->steps);
    if (r->trainer.g) peft_trainer_close(&r->trainer);
    peft_answer_objective_free(&r->answers);
    peft_end_to_end_free(&r->end_to_end);
    peft_task_mixture_close(&r->mixture);
    peft_model_close(r->model);
    peft_generator_close(r->generator);
    peft_tokenizer_close(r->tokenizer);
    peft_context_close(r->ctx);
    json_decref(r->settings);
    free(r->text);
}

peft_status peft_generator_tune(const peft_tune_job *job, json_t **summary, peft_error *error)
{
    run r = {.job = job};
    *summary = NULL;
    peft_status status = open_model(&r, error);
    if (status == PEFT_OK) status = open_generator(&r, error);
    if (status == PEFT_OK) status = describe_settings(&r, error);
    if (status == PEFT_OK) status = open_trainer(&r, error);
    if (status == PEFT_OK) status = start(&r, error);
    if (status == PEFT_OK) status = peft_generator_run_steps(&r.steps, error);
    if (status == PEFT_OK) status = finish(&r, summary, error);
    close_run(&r);
    if (status != PEFT_OK) {
        json_decref(*summary);
        *summary = NULL;
    }
    return status;
}
