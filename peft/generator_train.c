#include "peft/generator_train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "ops/ops.h"
#include "peft/generator.h"
#include "peft/generator_run.h"

/* A run from its first to its last step. */
typedef struct run {
    const peft_generator_job *job;
    peft_t2l net;
    peft_context *ctx;
    peft_reconstruction reconstruction;
    peft_objective objective;
    peft_trainer trainer;
    peft_generator_run steps;
    const char *sources[2];
    json_t *settings; /* all that the result depends on, */
    char *text;       /* and as text */
} run;

/* ---- what is trained ---- */

static peft_status describe_settings(run *r, peft_error *error)
{
    const peft_generator_job *job = r->job;
    const peft_library *library = &job->library->library;
    r->settings = json_pack(
        "{s:o, s:o, s:s, s:b, s:I, s:o, s:o}", "network", peft_options_to_json(peft_t2l_option_table, job->network),
        "training", peft_generator_run_training(job->train), "loss", peft_t2l_loss_names[job->loss], "canonical",
        job->canonical, "vector_size", (json_int_t)job->vector_size, "library",
        peft_generator_run_hash(library->values, (size_t)(library->num_tasks * library->num_values) * sizeof(float)),
        "vectors",
        peft_generator_run_hash(job->vectors,
                                (size_t)(job->library->num_descriptions * job->vector_size) * sizeof(float)));
    r->text = r->settings ? json_dumps(r->settings, JSON_COMPACT) : NULL;
    return r->text ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "train-generator: out of memory");
}

static peft_status make_network(run *r, peft_error *error)
{
    const peft_generator_job *job = r->job;
    const uint64_t seed = (uint64_t)job->train->seed;
    peft_library_folder *f = job->library;
    peft_status status = PEFT_OK;
    if (job->canonical) status = peft_library_canonical(&f->library, error);
    peft_library_mean(&f->library); /* from which all tasks start */
    if (status == PEFT_OK)
        status = peft_t2l_create(&r->net, job->network, f->first.adapters, job->vector_size, seed, error);
    if (status == PEFT_OK && r->net.output == PEFT_T2L_Z_SCORE)
        status = peft_library_statistics(&f->library, &r->net, error);
    return status;
}

static peft_status open_trainer(run *r, peft_error *error)
{
    const peft_generator_job *job = r->job;
    const peft_value_set *const sets[] = {&r->net.set};
    const peft_context_options options = {
        .threads = (int)job->threads, .backend = job->train->backend, .seed = (uint64_t)job->train->seed};
    r->reconstruction = (peft_reconstruction){.net = &r->net,
                                              .library = &job->library->library,
                                              .loss = job->loss,
                                              .num_descriptions = job->library->num_descriptions,
                                              .vectors = job->vectors,
                                              .tasks = job->library->tasks_of};
    peft_status status = peft_context_open(&r->ctx, &options, error);
    if (status == PEFT_OK) status = peft_reconstruction_objective(&r->reconstruction, &r->objective, error);
    if (status == PEFT_OK) status = peft_trainer_open(&r->trainer, job->train, r->ctx, sets, 1, &r->objective, error);
    return status;
}

static peft_status open_run(run *r, const peft_generator_job *job, peft_error *error)
{
    *r = (run){.job = job};
    peft_status status = describe_settings(r, error);
    if (status == PEFT_OK) status = make_network(r, error);
    return status == PEFT_OK ? open_trainer(r, error) : status;
}

static void close_run(run *r)
{
    peft_generator_run_close(&r->steps);
    if (r->trainer.g) peft_trainer_close(&r->trainer);
    peft_reconstruction_free(&r->reconstruction);
    peft_t2l_free(&r->net);
    peft_context_close(r->ctx);
    json_decref(r->settings);
    free(r->text);
}

static peft_status start(run *r, peft_error *error)
{
    const peft_generator_job *job = r->job;
    r->sources[0] = job->library_path;
    r->steps = (peft_generator_run){.trainer = &r->trainer,
                                    .settings = r->text,
                                    .place = {job->output, job->force, job->resume, r->sources},
                                    .callback = job->callback,
                                    .checkpoint_every = job->train->checkpoint_every};
    return peft_generator_run_open(&r->steps, error);
}

/* ---- its result ---- */

static peft_status save_generator(run *r, peft_error *error)
{
    const peft_library_folder *f = r->job->library;
    const int64_t size = r->job->vector_size;
    float *vectors = malloc((size_t)(f->library.num_tasks * size) * sizeof *vectors);
    if (!vectors) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", r->job->output);
    for (int64_t d = f->num_descriptions - 1; d >= 0; d--) /* of each task the first */
        memcpy(vectors + f->tasks_of[d] * size, r->job->vectors + d * size, (size_t)size * sizeof *vectors);
    const peft_generator_about about = {.encoder = r->job->encoder,
                                        .tasks = f->tasks,
                                        .num_tasks = f->library.num_tasks,
                                        .vectors = vectors,
                                        .like = &f->first};
    peft_status status = peft_generator_save(r->job->output, &r->net, NULL, NULL, &about, error);
    free(vectors);
    return status;
}

typedef struct comparison {
    peft_generator *generator;
    const run *r;
    double sum, smallest;
} comparison;

static peft_status compare(void *argument, int64_t index, peft_error *error)
{
    comparison *c = argument;
    const peft_library_folder *f = c->r->job->library;
    double cosine;
    peft_status status =
        peft_library_cosine(&f->library, peft_generator_adapters(c->generator)->set.memory,
                            f->library.values + f->tasks_of[index] * f->library.num_values, &cosine, error);
    c->sum += cosine;
    c->smallest = fmin(c->smallest, cosine);
    return status;
}

static bool is_lora(const peft_adapters *adapters)
{
    return strcmp(adapters->variant->name, "lora") == 0 || strcmp(adapters->variant->name, "rslora") == 0;
}

/* Of what was written, as it is read back. */
static peft_status add_cosines(run *r, json_t *summary, peft_error *error)
{
    const int64_t count = r->job->library->num_descriptions;
    comparison c = {.r = r, .smallest = HUGE_VAL};
    if (!is_lora(r->job->library->first.adapters)) return PEFT_OK;
    peft_status status = peft_generator_open(&c.generator, r->job->output, error);
    if (status == PEFT_OK)
        status = peft_generator_make(c.generator, r->ctx, r->job->vectors, count, compare, &c, error);
    json_object_set_new(summary, "mean_cosine", json_real(c.sum / (double)count));
    json_object_set_new(summary, "smallest_cosine", json_real(c.smallest));
    peft_generator_close(c.generator);
    return status;
}

static peft_status finish(run *r, json_t **summary, peft_error *error)
{
    const peft_library_folder *f = r->job->library;
    peft_status status = save_generator(r, error);
    if (status != PEFT_OK) return status;
    *summary =
        json_pack("{s:s, s:O, s:I, s:I, s:I, s:I, s:f}", "kind", "t2l", "settings", r->settings, "tasks",
                  (json_int_t)f->library.num_tasks, "descriptions", (json_int_t)f->num_descriptions, "parameters",
                  (json_int_t)r->net.set.num_trained, "steps", (json_int_t)r->trainer.step, "loss", r->steps.loss);
    status = *summary ? add_cosines(r, *summary, error)
                      : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", r->job->output);
    return status == PEFT_OK ? peft_json_save(r->steps.folder.run_json, *summary, PEFT_JSON_AS_IS, error) : status;
}

peft_status peft_generator_train(const peft_generator_job *job, json_t **summary, peft_error *error)
{
    run r;
    *summary = NULL;
    peft_status status = open_run(&r, job, error);
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

peft_status peft_generator_plan(const peft_generator_job *job, size_t *total, size_t *batch, int64_t *parameters,
                                peft_error *error)
{
    run r;
    int64_t tokens;
    *total = *batch = 0;
    peft_status status = open_run(&r, job, error);
    if (status == PEFT_OK) status = peft_trainer_plan(&r.trainer, batch, &tokens, error);
    if (status == PEFT_OK) {
        const peft_library *library = &job->library->library;
        *parameters = r.net.set.num_trained;
        *total = *batch + 4 * (size_t)r.net.set.num_trained * sizeof(float) + /* values, gradients, two averages */
                 (size_t)((library->num_tasks + job->train->batch_size + 2) * library->num_values) * sizeof(float) +
                 (size_t)(job->library->num_descriptions * job->vector_size) * sizeof(float);
    }
    close_run(&r);
    return status;
}
