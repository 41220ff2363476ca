#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "io/weights.h"
#include "peft/sentence_internal.h"

/* A module of modules.json while it is read. */
typedef struct module {
    peft_sentence *sentence;
    const char *type;    /* the last part of its class: "Pooling" */
    char *folder, *path; /* its folder, and the config.json in it */
    json_t *config;      /* NULL: there is none */
} module;

/* ---- pooling ---- */

static peft_status add_pooling(module *m, const char *name, peft_error *error)
{
    peft_sentence *s = m->sentence;
    for (int k = 0; k < PEFT_NUM_POOLINGS; k++) {
        if (strcmp(peft_poolings[k].name, name) != 0) continue;
        if (s->num_poolings == PEFT_NUM_POOLINGS)
            return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: expected at most %d pooling modes", m->path,
                             PEFT_NUM_POOLINGS);
        s->poolings[s->num_poolings++] = &peft_poolings[k];
        return PEFT_OK;
    }
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: pooling_mode %s is not offered", m->path, name);
}

/* `pooling_mode` of newer files: a name or a list of them. */
static peft_status read_modes(module *m, const json_t *modes, peft_error *error)
{
    size_t count = json_is_array(modes) ? json_array_size(modes) : 1;
    peft_status status = PEFT_OK;
    for (size_t k = 0; status == PEFT_OK && k < count; k++) {
        const json_t *mode = json_is_array(modes) ? json_array_get(modes, k) : modes;
        char found[PEFT_JSON_TEXT];
        status = json_is_string(mode) ? add_pooling(m, json_string_value(mode), error)
                                      : peft_fail(error, PEFT_ERR_FORMAT, "%s: pooling_mode: expected a name, found %s",
                                                  m->path, peft_json_text(mode, found));
    }
    return status;
}

static peft_status check_flag(const module *m, const char *key, peft_error *error)
{
    for (int k = 0; k < PEFT_NUM_POOLINGS; k++)
        if (strcmp(peft_poolings[k].flag, key) == 0) return PEFT_OK;
    if (strncmp(key, "pooling_mode_", strlen("pooling_mode_")) != 0 || !json_is_true(json_object_get(m->config, key)))
        return PEFT_OK;
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: %s is not offered", m->path, key);
}

static peft_status read_flags(module *m, peft_error *error)
{
    const char *key;
    json_t *value;
    peft_status status = PEFT_OK;
    json_object_foreach(m->config, key, value)
    {
        if (status == PEFT_OK) status = check_flag(m, key, error);
    }
    for (int k = 0; status == PEFT_OK && k < PEFT_NUM_POOLINGS; k++) {
        bool set = false;
        status = peft_json_bool(m->config, peft_poolings[k].flag, &set, m->path, error);
        if (status == PEFT_OK && set) status = add_pooling(m, peft_poolings[k].name, error);
    }
    return status;
}

static peft_status read_pooling(module *m, peft_error *error)
{
    peft_sentence *s = m->sentence;
    bool include_prompt = true;
    if (!m->config) return peft_fail(error, PEFT_ERR_FILE, "%s: missing", m->path);
    if (s->num_poolings || s->num_steps)
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: pooling is offered once, behind the encoder", m->path);
    const json_t *modes = json_object_get(m->config, "pooling_mode");
    peft_status status = modes ? read_modes(m, modes, error) : read_flags(m, error);
    const char *size =
        json_object_get(m->config, "embedding_dimension") ? "embedding_dimension" : "word_embedding_dimension";
    if (status == PEFT_OK) status = peft_json_int(m->config, size, 1, INT32_MAX, &s->pooled_size, m->path, error);
    if (status == PEFT_OK) status = peft_json_bool(m->config, "include_prompt", &include_prompt, m->path, error);
    if (status == PEFT_OK && !include_prompt)
        status = peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: include_prompt false is not offered", m->path);
    return status == PEFT_OK && s->num_poolings == 0 ? add_pooling(m, "mean", error) : status;
}

/* ---- dense and normalize ---- */

static peft_status new_step(module *m, peft_sentence_step **step, peft_error *error)
{
    peft_sentence *s = m->sentence;
    if (s->num_steps == PEFT_SENTENCE_MAX_STEPS)
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: expected at most %d modules behind the pooling", m->folder,
                         PEFT_SENTENCE_MAX_STEPS);
    *step = &s->steps[s->num_steps++];
    return PEFT_OK;
}

/* Features other than the sentence's vector have no meaning here. */
static peft_status check_features(const module *m, peft_error *error)
{
    static const char *const keys[] = {"module_input_name", "module_output_name"};
    peft_status status = PEFT_OK;
    for (int k = 0; status == PEFT_OK && m->config && k < 2; k++) {
        const char *name = "sentence_embedding";
        status = peft_json_string(m->config, keys[k], &name, m->path, error);
        if (status == PEFT_OK && strcmp(name, "sentence_embedding") != 0)
            status = peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: %s %s is not offered", m->path, keys[k], name);
    }
    return status;
}

static peft_status read_normalize(module *m, peft_error *error)
{
    peft_sentence_step *step = NULL;
    peft_status status = check_features(m, error);
    return status ? status : new_step(m, &step, error);
}

static peft_status read_tensor(const module *m, const peft_weights *weights, const char *name, const peft_shape *shape,
                               float **values, peft_error *error)
{
    const peft_file_tensor *tensor = peft_weights_find(weights, name);
    char expected[PEFT_SHAPE_TEXT], found[PEFT_SHAPE_TEXT];
    if (!tensor) return peft_fail(error, PEFT_ERR_FORMAT, "%s: tensor %s: missing", m->folder, name);
    if (!peft_shape_equal(&tensor->shape, shape))
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: tensor %s: expected %s, found %s", m->folder, name,
                         peft_shape_text(shape, expected), peft_shape_text(&tensor->shape, found));
    *values = malloc((size_t)peft_shape_count(shape) * sizeof **values);
    if (!*values) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", m->folder);
    return peft_file_tensor_read_f32(tensor, *values, error);
}

static peft_status read_dense_weights(const module *m, peft_sentence_step *step, bool bias, peft_error *error)
{
    const peft_shape matrix = peft_shape_2(step->out, step->in), row = peft_shape_1(step->out);
    peft_weights *weights = NULL;
    peft_status status = peft_weights_open(m->folder, &weights, error);
    if (status == PEFT_OK) status = read_tensor(m, weights, "linear.weight", &matrix, &step->weight, error);
    if (status == PEFT_OK && bias) status = read_tensor(m, weights, "linear.bias", &row, &step->bias, error);
    peft_weights_close(weights);
    return status;
}

static peft_status read_dense(module *m, peft_error *error)
{
    peft_sentence_step *step = NULL;
    const char *activation = "torch.nn.modules.activation.Tanh";
    bool bias = true, residual = false;
    if (!m->config) return peft_fail(error, PEFT_ERR_FILE, "%s: missing", m->path);
    peft_status status = check_features(m, error);
    if (status == PEFT_OK) status = new_step(m, &step, error);
    if (status) return status;
    status = peft_json_int(m->config, "in_features", 1, INT32_MAX, &step->in, m->path, error);
    if (status == PEFT_OK) status = peft_json_int(m->config, "out_features", 1, INT32_MAX, &step->out, m->path, error);
    if (status == PEFT_OK) status = peft_json_bool(m->config, "bias", &bias, m->path, error);
    if (status == PEFT_OK) status = peft_json_bool(m->config, "use_residual", &residual, m->path, error);
    if (status == PEFT_OK) status = peft_json_string(m->config, "activation_function", &activation, m->path, error);
    if (status) return status;
    step->activation = peft_sentence_activation_find(activation);
    if (!step->activation || residual)
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: %s %s is not offered", m->path,
                         residual ? "use_residual" : "activation_function", residual ? "true" : activation);
    if (step->in < 1 || step->out < 1)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected in_features and out_features", m->path);
    return read_dense_weights(m, step, bias, error);
}

/* ---- the encoder ---- */

static peft_status read_lengths(module *m, const char *path, peft_error *error)
{
    json_t *config = NULL;
    bool lower_case = false;
    peft_status status = peft_json_load(path, &config, error);
    if (status == PEFT_OK)
        status = peft_json_int(config, "max_seq_length", 1, INT32_MAX, &m->sentence->max_length, path, error);
    if (status == PEFT_OK) status = peft_json_bool(config, "do_lower_case", &lower_case, path, error);
    if (status == PEFT_OK && lower_case)
        status = peft_fail(error, PEFT_ERR_UNSUPPORTED,
                           "%s: do_lower_case true is not offered; set it in tokenizer_config.json", path);
    json_decref(config);
    return status;
}

static peft_status read_encoder(module *m, peft_error *error)
{
    static const char *const names[] = {"bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"};
    peft_status status = PEFT_OK;
    free(m->sentence->encoder);
    m->sentence->encoder = m->folder;
    m->folder = NULL;
    for (size_t k = 0; status == PEFT_OK && k < sizeof names / sizeof names[0]; k++) {
        char name[64], *path = NULL;
        snprintf(name, sizeof name, "sentence_%s_config.json", names[k]);
        status = peft_path_join(m->sentence->encoder, name, &path, error);
        bool there = status == PEFT_OK && peft_file_exists(path);
        if (there) status = read_lengths(m, path, error);
        free(path);
        if (there) break;
    }
    return status;
}

static peft_status read_nothing(module *m, peft_error *error)
{
    (void)m, (void)error;
    return PEFT_OK;
}

/* ---- modules.json ---- */

/* The encoder's class of old was that of its architecture. */
static const struct {
    const char *type;
    peft_status (*read)(module *m, peft_error *error);
} readers[] = {
    {"Transformer", read_encoder}, {"BERT", read_encoder},    {"RoBERTa", read_encoder},
    {"DistilBERT", read_encoder},  {"Pooling", read_pooling}, {"Normalize", read_normalize},
    {"Dense", read_dense},         {"Dropout", read_nothing},
};

static peft_status read_module(module *m, bool first, peft_error *error)
{
    for (size_t k = 0; k < sizeof readers / sizeof readers[0]; k++) {
        if (strcmp(readers[k].type, m->type) != 0) continue;
        if (first == (readers[k].read == read_encoder)) return readers[k].read(m, error);
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "modules.json: expected an encoder first and once, found %s",
                         m->type);
    }
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "modules.json: a module of type %s is not offered", m->type);
}

static peft_status open_module(peft_sentence *s, const char *dir, const json_t *entry, bool first, peft_error *error)
{
    const char *type = NULL, *path = "";
    char found[PEFT_JSON_TEXT];
    if (!json_is_object(entry))
        return peft_fail(error, PEFT_ERR_FORMAT, "modules.json: expected a list of objects, found %s in it",
                         peft_json_text(entry, found));
    peft_status status = peft_json_string(entry, "type", &type, "modules.json", error);
    if (status == PEFT_OK) status = peft_json_string(entry, "path", &path, "modules.json", error);
    if (status) return status;
    if (!type) return peft_fail(error, PEFT_ERR_FORMAT, "modules.json: expected a type of each module");
    const char *dot = strrchr(type, '.');
    module m = {.sentence = s, .type = dot ? dot + 1 : type};
    if (*path)
        status = peft_path_join(dir, path, &m.folder, error);
    else if (!(m.folder = strdup(dir)))
        status = peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", dir);
    if (status == PEFT_OK) status = peft_path_join(m.folder, "config.json", &m.path, error);
    if (status == PEFT_OK && !first && peft_file_exists(m.path)) status = peft_json_load(m.path, &m.config, error);
    if (status == PEFT_OK) status = read_module(&m, first, error);
    json_decref(m.config);
    free(m.folder);
    free(m.path);
    return status;
}

static peft_status read_modules(peft_sentence *s, const char *dir, const char *path, peft_error *error)
{
    json_t *modules = NULL;
    peft_status status = peft_json_load(path, &modules, error);
    if (status == PEFT_OK && (!json_is_array(modules) || json_array_size(modules) == 0))
        status = peft_fail(error, PEFT_ERR_FORMAT, "%s: expected a list of modules", path);
    for (size_t k = 0; status == PEFT_OK && k < json_array_size(modules); k++) {
        status = open_module(s, dir, json_array_get(modules, k), k == 0, error);
        if (status) status = peft_fail_in(error, status, dir);
    }
    json_decref(modules);
    if (status == PEFT_OK && s->num_poolings == 0)
        status = peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: expected a module Pooling, found none", path);
    return status;
}

/* A text that the model's authors want before every other. */
static peft_status check_prompt(const char *dir, peft_error *error)
{
    char *path = NULL;
    json_t *config = NULL;
    const char *name = NULL;
    peft_status status = peft_path_join(dir, "config_sentence_transformers.json", &path, error);
    if (status == PEFT_OK && peft_file_exists(path)) status = peft_json_load(path, &config, error);
    if (status == PEFT_OK && config) status = peft_json_string(config, "default_prompt_name", &name, path, error);
    const char *prompt = name ? json_string_value(json_object_get(json_object_get(config, "prompts"), name)) : NULL;
    if (status == PEFT_OK && prompt && *prompt)
        status = peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: default_prompt_name %s is not offered", path, name);
    json_decref(config);
    free(path);
    return status;
}

static peft_status read_folder(peft_sentence *s, const char *dir, peft_error *error)
{
    char *path = NULL;
    s->encoder = strdup(dir);
    if (!s->encoder) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", dir);
    peft_status status = peft_path_join(dir, "modules.json", &path, error);
    if (status == PEFT_OK && peft_file_exists(path)) {
        status = read_modules(s, dir, path, error);
        if (status == PEFT_OK) status = check_prompt(dir, error);
    } else if (status == PEFT_OK) {
        s->poolings[s->num_poolings++] = &peft_poolings[PEFT_POOLING_MEAN];
        s->num_steps = 1; /* of length 1 */
    }
    free(path);
    return status;
}

peft_status peft_sentence_open(peft_sentence **sentence, const char *dir, peft_error *error)
{
    peft_sentence *opened = calloc(1, sizeof *opened);
    *sentence = NULL;
    if (!opened) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", dir);
    peft_status status = read_folder(opened, dir, error);
    if (status)
        peft_sentence_close(opened);
    else
        *sentence = opened;
    return status;
}

void peft_sentence_close(peft_sentence *s)
{
    if (!s) return;
    for (int64_t k = 0; k < s->num_steps; k++) {
        free(s->steps[k].weight);
        free(s->steps[k].bias);
    }
    free(s->rows[0]);
    free(s->rows[1]);
    free(s->encoder);
    free(s);
}

/* ---- using it ---- */

const char *peft_sentence_encoder(const peft_sentence *s)
{
    return s->encoder;
}

int64_t peft_sentence_max_length(const peft_sentence *s)
{
    return s->max_length;
}

int64_t peft_sentence_size(const peft_sentence *s)
{
    return s->size;
}

static bool reads(const peft_sentence *s, bool mean)
{
    bool any = false;
    for (int64_t k = 0; k < s->num_poolings; k++) any |= s->poolings[k]->reads_mean == mean;
    return any;
}

bool peft_sentence_reads_tokens(const peft_sentence *s)
{
    return reads(s, false);
}

bool peft_sentence_reads_mean(const peft_sentence *s)
{
    return reads(s, true);
}

peft_status peft_sentence_check_plain(const peft_sentence *s, bool *first_token, peft_error *error)
{
    const peft_pooling *pooling = s->poolings[0];
    *first_token = pooling == &peft_poolings[PEFT_POOLING_FIRST];
    if (s->num_poolings > 1 || !(*first_token || pooling == &peft_poolings[PEFT_POOLING_MEAN]))
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "pooling: expected mean or cls alone, found %s%s", pooling->name,
                         s->num_poolings > 1 ? " and others" : "");
    for (int64_t k = 0; k < s->num_steps; k++)
        if (s->steps[k].weight)
            return peft_fail(error, PEFT_ERR_UNSUPPORTED, "expected pooling alone, found a module Dense behind it");
    return PEFT_OK;
}

peft_status peft_sentence_fit(peft_sentence *s, int64_t hidden_size, peft_error *error)
{
    if (s->pooled_size && s->pooled_size != hidden_size)
        return peft_fail(error, PEFT_ERR_FORMAT, "pooling is for %" PRId64 " numbers a token, the encoder has %" PRId64,
                         s->pooled_size, hidden_size);
    int64_t size = s->num_poolings * hidden_size, widest = size;
    for (int64_t k = 0; k < s->num_steps; k++) {
        const peft_sentence_step *step = &s->steps[k];
        if (!step->weight) continue;
        if (step->in != size)
            return peft_fail(error, PEFT_ERR_FORMAT, "Dense: in_features: expected %" PRId64 ", found %" PRId64, size,
                             step->in);
        size = step->out;
        if (size > widest) widest = size;
    }
    s->hidden_size = hidden_size;
    s->size = size;
    for (int k = 0; k < 2; k++)
        if (!(s->rows[k] = malloc((size_t)widest * sizeof(float))))
            return peft_fail(error, PEFT_ERR_MEMORY, "sentence vectors: out of memory");
    return PEFT_OK;
}
