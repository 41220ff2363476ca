#include "peft/run_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/file.h"
#include "io/json.h"
#include "peft/machine.h"

json_t *peft_scores_json(const peft_scores *scores)
{
    json_t *object = json_object();
    for (int k = 0; k < scores->num_metrics; k++)
        json_object_set_new(object, scores->names[k], json_real(scores->values[k]));
    return object;
}

static json_int_t file_bytes(const char *folder, const char *name)
{
    char *path = NULL;
    struct stat info;
    bool known = peft_path_join(folder, name, &path, NULL) == PEFT_OK && stat(path, &info) == 0;
    free(path);
    return known ? (json_int_t)info.st_size : 0;
}

static json_t *split_json(const peft_session *s)
{
    json_int_t truncated = s->train->num_truncated;
    if (s->dev) truncated += s->dev->num_truncated;
    return json_pack("{s:s?, s:s?, s:I, s:I, s:I}", "reported", s->dev ? "dev" : NULL, "chosen_on",
                     s->held_out ? "held out of train" : NULL, "train_examples", (json_int_t)s->train->count,
                     "held_out_examples", (json_int_t)(s->held_out ? s->held_out->count : 0), "truncated_examples",
                     truncated);
}

/* By class id, as `peft predict` shows them; null for a score. */
static json_t *label_names_json(const peft_dataset *dataset)
{
    if (!dataset->label_names) return json_null();
    json_t *names = json_array();
    for (size_t k = 0; k < dataset->num_labels; k++) json_array_append_new(names, json_string(dataset->label_names[k]));
    return names;
}

/* As it was written, so that later changes can be told; NULL: there is none. */
static json_t *adapter_config_json(const char *folder)
{
    char *path;
    json_t *root = NULL;
    if (peft_path_join(folder, "adapter_config.json", &path, NULL) != PEFT_OK) return NULL;
    if (peft_file_exists(path)) peft_json_load(path, &root, NULL);
    free(path);
    return root;
}

static const char *method(const peft_train_job *job)
{
    return job->variant ? job->variant->name : job->all_weights ? "full" : "head";
}

peft_status peft_run_json(const peft_session *s, const peft_progress_state *state, const peft_scores *scores,
                          json_t **summary, peft_error *error)
{
    const peft_train_job *job = s->job;
    double rate = state->seconds > 0 ? (double)state->tokens / state->seconds : 0;
    *summary =
        json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:o, s:o, s:I, s:I, s:o, s:o, s:s?, "
                  "s:s?, s:o, s:o, "
                  "s:O, s:O?, s:o?}",
                  "task", s->corpus.name, "variant", method(job), "seed", (json_int_t)job->train->seed, "model",
                  job->model, "trainable_parameters", (json_int_t)s->trainer.parameters.num_trained, "adapter_bytes",
                  file_bytes(job->output, job->all_weights ? "model.safetensors" : "adapter_model.safetensors"),
                  "planned_memory_bytes", (json_int_t)state->planned, "peak_anonymous_bytes",
                  (json_int_t)state->peak_anonymous, "peak_memory_bytes", (json_int_t)peft_machine_memory().peak,
                  "train_seconds", state->seconds, "tokens_per_second", rate, "tokens", (json_int_t)state->tokens,
                  "metrics", scores ? peft_scores_json(scores) : json_object(), "one_answer",
                  scores ? json_boolean(scores->one_answer) : json_null(), "best_step", (json_int_t)state->best_step,
                  "steps", (json_int_t)s->trainer.step, "splits", split_json(s), "label_names",
                  label_names_json(s->corpus.train), "positive_class", peft_corpus_positive(&s->corpus), "quoting",
                  s->corpus.task ? NULL : peft_quoting_name(s->corpus.quoting), "versions", peft_machine_versions(),
                  "cpu", peft_machine_cpu(s->ctx), "fingerprints", s->fingerprints, "options", job->settings,
                  "adapter_config", job->all_weights ? NULL : adapter_config_json(job->output));
    return *summary ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "run.json: out of memory");
}

/* ---- reading ---- */

static peft_status check_metrics(const json_t *run, const char *where, peft_error *error)
{
    json_t *metrics = NULL, *value;
    const char *name;
    peft_status status = peft_json_object(run, "metrics", &metrics, where, error);
    json_object_foreach(metrics, name, value)
    {
        char text[PEFT_JSON_TEXT];
        if (json_is_number(value)) continue;
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: metrics: %s: expected a number, found %s", where, name,
                         peft_json_text(value, text));
    }
    return status;
}

peft_status peft_run_json_check(const json_t *run, const char *where, peft_error *error)
{
    static const char *const counts[] = {
        "trainable_parameters", "peak_memory_bytes", "tokens", "steps", "best_step", "seed"};
    static const char *const texts[] = {"task", "variant", "model"};
    static const char *const amounts[] = {"train_seconds", "tokens_per_second"};
    const int64_t most = (int64_t)1 << 53; /* larger ones are not exact as JSON's numbers */
    peft_status status = check_metrics(run, where, error);
    for (size_t k = 0; status == PEFT_OK && k < sizeof counts / sizeof *counts; k++)
        status = peft_json_int(run, counts[k], 0, most, &(int64_t){0}, where, error);
    for (size_t k = 0; status == PEFT_OK && k < sizeof texts / sizeof *texts; k++)
        status = peft_json_string(run, texts[k], &(const char *){NULL}, where, error);
    for (size_t k = 0; status == PEFT_OK && k < sizeof amounts / sizeof *amounts; k++)
        status = peft_json_double(run, amounts[k], 0, (double)INFINITY, &(double){0}, where, error);
    return status;
}
