#include "peft/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "peft/answers.h"
#include "peft/calibrate.h"
#include "peft/checkpoint.h"
#include "peft/evaluate.h"
#include "peft/load.h"
#include "peft/machine.h"

static void note(const peft_session *s, const char *format, ...) PEFT_PRINTF(2, 3);

static void note(const peft_session *s, const char *format, ...)
{
    if (!s->job->note) return;
    char text[PEFT_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    s->job->note(s->job->note_argument, text);
}

static const char quoting_setting[] = "quoting";

static peft_status open_context(peft_session *s, peft_error *error)
{
    const peft_train_options *o = s->job->train;
    const peft_context_options context = {(int)s->job->threads, o->backend, (uint64_t)o->seed,
                                          peft_dtype_chosen(o->dtype)};
    return peft_context_open(&s->ctx, &context, error);
}

static bool reads_tsv(const peft_data_options *o)
{
    return (o->train && peft_table_is_tsv(o->train)) || (o->dev && peft_table_is_tsv(o->dev));
}

/* Runs of older versions read own .tsv files without quotes, and go on with it: their checkpoints say nothing of it. */
static peft_status choose_quoting(const peft_session *s, peft_quoting *quoting, peft_error *error)
{
    bool known = true;
    *quoting = PEFT_QUOTED;
    if (!s->job->resume || !reads_tsv(s->job->data)) return PEFT_OK;
    peft_status status = peft_checkpoint_knows(s->job->output, quoting_setting, &known, error);
    if (!known) *quoting = PEFT_QUOTED_CSV;
    return status;
}

static peft_status open_corpus(peft_session *s, peft_error *error)
{
    const peft_train_options *o = s->job->train;
    peft_quoting quoting;
    peft_status status = choose_quoting(s, &quoting, error);
    if (status == PEFT_OK) status = peft_label_names_of_model(&s->base_names, s->job->model, 0, error);
    if (status != PEFT_OK) return status;
    int64_t some = o->hold_out ? o->hold_out : PEFT_HOLD_OUT_TENTH;
    const peft_corpus_wanted wanted = {.train = true,
                                       .dev = s->job->data->task || s->job->data->dev ? "dev" : NULL,
                                       .seed = (uint64_t)o->seed,
                                       .of_model = peft_label_names_for_data(&s->base_names),
                                       .quoting = quoting,
                                       .hold_out = strcmp(o->keep, "best") == 0 ? some : 0};
    return peft_corpus_open(&s->corpus, s->job->data, &wanted, error);
}

/* Tokens that an example may have: as asked for, or as the model takes. */
static int64_t max_length(const peft_session *s)
{
    int64_t limit = peft_model_max_length(s->model), wanted = s->job->train->max_length;
    return wanted < limit ? wanted : limit;
}

static peft_status encode(const peft_session *s, const peft_dataset *dataset, peft_tokens **tokens, peft_error *error)
{
    return dataset ? peft_tokens_encode(tokens, s->tokenizer, dataset, max_length(s), error) : PEFT_OK;
}

static peft_status make_up_tokens(peft_session *s, peft_error *error)
{
    const peft_train_options *o = s->job->train;
    int64_t most = peft_model_max_length(s->model), count = o->batch_size * o->gradient_accumulation;
    if (!s->full_length) s->full_length = max_length(s);
    if (s->full_length > most)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "%s: a sequence has at most %" PRId64 " tokens, wanted were %" PRId64, s->job->model, most,
                         s->full_length);
    return peft_tokens_make_up(&s->train, count, s->full_length, peft_model_vocab_size(s->model), error);
}

/* Does the method read vectors that come with the examples? */
static bool reads_vectors(const peft_train_job *job)
{
    const peft_option *option = job->variant ? peft_options_find(job->variant->options, "intuition") : NULL;
    if (!option) return false;
    return strcmp(*(char *const *)(const void *)((const char *)job->variant_options + option->offset), "vectors") == 0;
}

static peft_status check_vectors(const peft_session *s, peft_error *error)
{
    const peft_tokens *const parts[] = {s->held_out, s->dev};
    bool reads = reads_vectors(s->job), there = s->train->vectors != NULL;
    if (there && !reads)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "--vector-column: nothing reads the vectors; trex and mor1e do with --intuition vectors");
    if (reads && !there)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "--intuition vectors needs --vector-column NAME, a column of own files with a vector of each "
                         "example");
    for (int k = 0; k < 2; k++)
        if (there && parts[k] && parts[k]->vector_size != s->train->vector_size)
            return peft_fail(error, PEFT_ERR_ARGUMENT,
                             "--vector-column: vectors to train with have %" PRId64
                             " numbers, those to evaluate on %" PRId64,
                             s->train->vector_size, parts[k]->vector_size);
    return PEFT_OK;
}

static peft_status encode_all(peft_session *s, peft_error *error)
{
    if (s->is_made_up) return make_up_tokens(s, error);
    peft_status status = encode(s, s->corpus.train, &s->train, error);
    if (status == PEFT_OK) status = encode(s, s->corpus.held_out, &s->held_out, error);
    if (status == PEFT_OK) status = encode(s, s->corpus.dev, &s->dev, error);
    return status == PEFT_OK ? check_vectors(s, error) : status;
}

static peft_status choose_head(const peft_session *s, peft_model_options *options, peft_error *error)
{
    if (!peft_train_compares_answers(s->job->train)) return PEFT_OK;
    if (options->regression)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--head %s is for classes, the labels are scores",
                         peft_head_answers);
    options->part = PEFT_MODEL_ANSWERS;
    return peft_answer_pooling(s->job->model, &options->pooling, error);
}

/* Before there are adapters. Without texts there are no answers: what is made up has none to find. */
static peft_status fill_answers(peft_session *s, peft_error *error)
{
    const peft_train_options *o = s->job->train;
    const peft_class_names classes = {(const char *const *)s->corpus.train->label_names, (size_t)s->corpus.num_labels};
    const char **texts = NULL;
    json_t *of_task = o->answers ? NULL : peft_corpus_answers(&s->corpus);
    peft_status status = peft_answer_texts(o->answers ? o->answers : of_task, &classes, &texts, error);
    if (status == PEFT_OK) status = peft_answers_fill(s->model, s->ctx, s->tokenizer, texts, o->answer_scale, error);
    free(texts);
    json_decref(of_task);
    return status;
}

static peft_status open_model(peft_session *s, peft_error *error)
{
    peft_model_options options = {
        .num_labels = s->corpus.num_labels, .regression = s->corpus.regression, .seed = (uint64_t)s->job->train->seed};
    peft_status status = choose_head(s, &options, error);
    if (status == PEFT_OK) status = peft_model_open(&s->model, s->job->model, &options, error);
    if (status != PEFT_OK || s->is_made_up) return status;
    status = peft_load_tokenizer(&s->tokenizer, s->model, error);
    bool compares = options.part == PEFT_MODEL_ANSWERS;
    return status == PEFT_OK && compares ? fill_answers(s, error) : status;
}

/* Adapters, or whatever else is trained. */
static peft_status attach_adapters(peft_session *s, peft_error *error)
{
    if (s->job->all_weights) return peft_train_all_weights(s->model, error);
    return peft_inject(s->model, s->job->variant, s->job->variant_options, s->job->targets,
                       (uint64_t)s->job->train->seed, &s->adapters, NULL, error);
}

/* Start values that come from the training data: from its first examples, enough of them for any clusters. */
static peft_status fit_adapters(peft_session *s, peft_error *error)
{
    enum { MOST = 4096 };
    int64_t size = s->adapters ? peft_adapters_fit_size(s->adapters) : 0;
    if (size == 0) return PEFT_OK;
    peft_tokens first = *s->train;
    if (first.count > MOST) first.count = MOST;
    if (first.vectors)
        return peft_adapters_fit(s->adapters, first.vectors, first.count, first.vector_size,
                                 (uint64_t)s->job->train->seed, error);
    peft_predictor predictor = {.ctx = s->ctx, .model = s->model};
    int64_t found = peft_prediction_columns(&predictor, PEFT_PREDICT_INPUT_MEAN);
    float *vectors = calloc((size_t)first.count, (size_t)found * sizeof *vectors);
    peft_status status = vectors ? peft_graph_create(&predictor.g, error)
                                 : peft_fail(error, PEFT_ERR_MEMORY, "vectors of the training data: out of memory");
    if (status == PEFT_OK) status = peft_predict(&predictor, PEFT_PREDICT_INPUT_MEAN, &first, vectors, error);
    if (status == PEFT_OK)
        status = peft_adapters_fit(s->adapters, vectors, first.count, found, (uint64_t)s->job->train->seed, error);
    peft_graph_free(predictor.g);
    free(vectors);
    return status;
}

/* Start values that come from the layers' work on the training data. */
static peft_status calibrate(peft_session *s, peft_error *error)
{
    const peft_calibration calibration = {s->ctx, s->model, s->job->train, s->train, s->corpus.regression, 0};
    return s->adapters ? peft_calibrate(&calibration, &s->adapters, &s->calibration_bytes, error) : PEFT_OK;
}

static peft_status add_fingerprint(json_t *object, const char *key, const char *path, peft_error *error)
{
    char text[PEFT_FINGERPRINT_TEXT];
    peft_status status = peft_file_fingerprint(path, text, error);
    if (status == PEFT_OK && json_object_set_new(object, key, json_string(text)) != 0)
        status = peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    return status;
}

static peft_status take_fingerprints(peft_session *s, peft_error *error)
{
    s->fingerprints = json_object();
    if (!s->fingerprints) return peft_fail(error, PEFT_ERR_MEMORY, "fingerprints: out of memory");
    peft_status status = PEFT_OK;
    if (s->corpus.train_path) status = add_fingerprint(s->fingerprints, "train", s->corpus.train_path, error);
    if (status == PEFT_OK && s->corpus.dev_path)
        status = add_fingerprint(s->fingerprints, "dev", s->corpus.dev_path, error);
    for (size_t k = 0; status == PEFT_OK && k < peft_model_num_files(s->model); k++) {
        char key[32];
        snprintf(key, sizeof key, k ? "model_%zu" : "model", k);
        status = add_fingerprint(s->fingerprints, key, peft_model_file(s->model, k), error);
    }
    return status;
}

/* Checkpoints of before there was a choice say nothing of the head. */
static void forget_answers(json_t *settings)
{
    static const char *const of_head[] = {"head", "answers", "answer_scale"};
    for (size_t k = 0; k < sizeof of_head / sizeof of_head[0]; k++) json_object_del(settings, of_head[k]);
}

/* What a task file says of how data are read stands for its name: where it lies, and what it says to people, changes
 * nothing. Where memory runs out the dump below fails, too. */
static void describe_task(json_t *all, const peft_corpus *corpus)
{
    const peft_task *task = corpus->task;
    if (!task || !task->from_file) return;
    json_t *labels = json_array(), *metrics = json_array();
    for (size_t k = 0; task->labels && k < task->num_labels; k++)
        json_array_append_new(labels, json_pack("[s, s]", task->labels[k].text, task->labels[k].name));
    for (size_t k = 0; corpus->metrics[k]; k++) json_array_append_new(metrics, json_string(corpus->metrics[k]));
    json_object_set_new(all, "task",
                        json_pack("{s:s, s:s, s:s?, s:s, s:o, s:o, s:b, s:s}", "name", task->name, "text", task->text,
                                  "text_pair", task->text_pair, "label", task->label, "labels", labels, "metrics",
                                  metrics, "regression", corpus->regression, "quoting",
                                  peft_quoting_name(task->quoting)));
}

/* The text that a checkpoint must agree with: settings, and what the files held. Where a run lies and how many threads
 * it has does not change it. */
static peft_status describe_settings(peft_session *s, peft_error *error)
{
    static const char *const without[] = {
        "output", "threads", "force",  "resume",           "quiet",   "verbose",   "json", "model", "data",
        "train",  "dev",     "config", "checkpoint_every", "dry_run", "no_quoting"};
    static const char *const newer[] = {"positive_class", "vector_column"}; /* than some checkpoints */
    json_t *all = s->job->settings ? json_deep_copy(s->job->settings) : json_object();
    for (size_t k = 0; k < sizeof without / sizeof without[0]; k++) json_object_del(all, without[k]);
    for (size_t k = 0; k < sizeof newer / sizeof newer[0]; k++)
        if (json_is_null(json_object_get(all, newer[k]))) json_object_del(all, newer[k]);
    describe_task(all, &s->corpus);
    bool own = !s->corpus.task;
    if (own && (s->corpus.quoting == PEFT_UNQUOTED || (s->corpus.quoting == PEFT_QUOTED && reads_tsv(s->job->data))))
        json_object_set_new(all, quoting_setting, json_string(peft_quoting_name(s->corpus.quoting)));
    if (!peft_train_compares_answers(s->job->train))
        forget_answers(all);
    else if (!s->job->train->answers)
        json_object_set_new_nocheck(all, "answers", peft_corpus_answers(&s->corpus));
    json_object_set(all, "fingerprints", s->fingerprints);
    json_object_set_new(all, "backend", json_string(peft_context_backend(s->ctx)));
    json_object_set_new(all, "dtype", json_string(peft_dtype_name(peft_context_dtype(s->ctx))));
    if (peft_context_amx(s->ctx)) json_object_set_new(all, "amx", json_true());
    s->settings = json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(all);
    return s->settings ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "settings: out of memory");
}

static peft_status open_data(peft_session *s, peft_error *error)
{
    if (s->is_made_up) {
        s->corpus = (peft_corpus){.name = "full batches", .num_labels = 2};
        return PEFT_OK;
    }
    return open_corpus(s, error);
}

/* Of a batch, on average. */
static int64_t count_tokens(const peft_session *s)
{
    const peft_tokens *t = s->train;
    int64_t size = s->job->train->batch_size < t->count ? s->job->train->batch_size : t->count;
    return t->offsets[t->count] / t->count * size;
}

static int64_t count_elements(const peft_session *s)
{
    int64_t count, elements = 0;
    const peft_linear_layer *linears = peft_model_linears(s->model, &count);
    for (int64_t k = 0; k < count; k++) elements += linears[k].in_features * linears[k].out_features;
    return elements;
}

static peft_status pack(peft_session *s, peft_error *error)
{
    bool sparing = s->job->train->checkpoint_layers;
    peft_packing packing = sparing ? PEFT_PACK_ONCE : peft_weight_packing(s->ctx, count_elements(s), count_tokens(s));
    return peft_model_pack(s->model, s->ctx, packing, error);
}

static peft_status start_adapters(peft_session *s, peft_error *error)
{
    peft_status status = fit_adapters(s, error);
    return status == PEFT_OK ? calibrate(s, error) : status;
}

static peft_status identify(peft_session *s, peft_error *error)
{
    peft_status status = take_fingerprints(s, error);
    return status == PEFT_OK ? describe_settings(s, error) : status;
}

static peft_status open_trainer(peft_session *s, peft_error *error)
{
    peft_status status = peft_model_values(&s->weights, s->model, error);
    if (status != PEFT_OK) return status;
    s->task = (peft_task_objective){
        .model = s->model, .options = s->job->train, .tokens = s->train, .regression = s->corpus.regression};
    s->objective = peft_task_objective_of(&s->task);
    const peft_value_set *sets[2];
    int64_t num_sets = 0;
    if (s->adapters) sets[num_sets++] = &s->adapters->set;
    sets[num_sets++] = &s->weights;
    return peft_trainer_open(&s->trainer, s->job->train, s->ctx, sets, num_sets, &s->objective, error);
}

static peft_status open_all(peft_session *s, peft_error *error)
{
    static const struct {
        const char *name;
        peft_status (*open)(peft_session *s, peft_error *error);
    } stages[PEFT_SESSION_STAGES] = {
        {"context", open_context},        {"data", open_data},        {"model", open_model},
        {"adapter", attach_adapters},     {"tokens", encode_all},     {"packing", pack},
        {"start_values", start_adapters}, {"fingerprints", identify}, {"trainer", open_trainer},
    };
    peft_status status = peft_train_options_check(s->job->train, error);
    for (int k = 0; k < PEFT_SESSION_STAGES && status == PEFT_OK; k++) {
        double began = peft_machine_seconds();
        status = stages[k].open(s, error);
        s->stages[k] = (peft_session_stage){stages[k].name, peft_machine_seconds() - began};
    }
    return status;
}

static void note_cut(const peft_session *s, const char *what, const peft_tokens *tokens)
{
    if (tokens && tokens->num_truncated)
        note(s, "%s: %" PRId64 " of %" PRId64 " examples are longer than %" PRId64 " tokens and were cut", what,
             tokens->num_truncated, tokens->count, max_length(s));
}

void peft_session_notes(const peft_session *s)
{
    int64_t limit = s->tokenizer ? peft_model_max_length(s->model) : INT64_MAX;
    int64_t usual = atoll(peft_options_find(peft_train_option_table, "max_length")->initial);
    if (s->job->train->max_length > limit && s->job->train->max_length != usual)
        note(s, "--max-length %" PRId64 " is cut to the %" PRId64 " tokens that the model takes",
             s->job->train->max_length, limit);
    peft_corpus_notes(&s->corpus, true, s->job->note, s->job->note_argument);
    if (!peft_model_has_trained_head(s->model) && !peft_train_compares_answers(s->job->train))
        note(s, "the model has no head for %" PRId64 " labels; it starts from random values", s->corpus.num_labels);
    peft_model_notes(s->model, true, s->job->note, s->job->note_argument);
    if (s->adapters) peft_adapters_notes(s->adapters, s->job->note, s->job->note_argument);
    if (s->tokenizer) peft_tokenizer_notes(s->tokenizer, s->job->note, s->job->note_argument);
    note_cut(s, "train", s->train);
    note_cut(s, "held out", s->held_out);
    note_cut(s, "dev", s->dev);
}

static peft_status open_session(peft_session *s, peft_error *error)
{
    s->base_bytes = peft_machine_memory().anonymous;
    peft_status status = open_all(s, error);
    if (status != PEFT_OK) peft_session_close(s);
    return status;
}

peft_status peft_session_open(peft_session *s, const peft_train_job *job, peft_error *error)
{
    *s = (peft_session){.job = job};
    return open_session(s, error);
}

peft_status peft_session_open_full(peft_session *s, const peft_train_job *job, int64_t length, peft_error *error)
{
    *s = (peft_session){.job = job, .is_made_up = true, .full_length = length};
    return open_session(s, error);
}

void peft_session_close(peft_session *s)
{
    peft_trainer_close(&s->trainer);
    peft_batch_memory_free(&s->task.memory);
    peft_value_set_free(&s->weights);
    peft_tokens_free(s->train);
    peft_tokens_free(s->dev);
    peft_tokens_free(s->held_out);
    peft_tokenizer_close(s->tokenizer);
    peft_adapters_free(s->adapters);
    peft_model_close(s->model);
    peft_corpus_close(&s->corpus);
    peft_label_names_free(&s->base_names);
    peft_context_close(s->ctx);
    json_decref(s->fingerprints);
    free(s->settings);
    *s = (peft_session){0};
}
