/* models/encoder.c - the formula of models/encoder.h.
 *
 * As the head reads first tokens, the last layer has their queries alone, and what follows from these; then keys and
 * values are not made either (models/absorbed.h), if their adapters allow that. */
#include "models/encoder.h"

#include "models/absorbed.h"
#include "models/biased_attention.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/rng.h"

typedef struct norm {
    const peft_weight *weight, *bias;
} norm;

typedef struct layer {
    const peft_linear_layer *query, *key, *value, *attention_output, *intermediate, *output;
    norm attention_norm, output_norm;
} layer;

typedef struct encoder {
    int64_t intermediate_size, num_heads, type_vocab_size;
    double hidden_dropout, attention_dropout, classifier_dropout, layer_norm_eps;
    peft_activation_kind hidden_act;
    const peft_weight *word, *position, *type, *relative; /* NULL: no such */
    int64_t num_buckets;                                  /* of distances */
    norm embedding_norm;
    layer *layers;
    const peft_linear_layer *dense, *classifier; /* of the head */
    bool unties_words;
    int64_t first_position; /* row of the first token's position */
    int64_t pad_token_id;
} encoder;

/* ---- config.json ---- */

enum { MAX_SIZE = 1 << 20, MAX_LAYERS = 1000 };

/* Some models count positions from behind the padding token's id on. */
static peft_status read_positions(peft_model *model, encoder *b, const json_t *config, const char *where,
                                  peft_error *error)
{
    if (!model->kind->encoder->positions_follow_padding) return PEFT_OK;
    b->pad_token_id = 1;
    peft_status status = peft_json_int(config, "pad_token_id", 0, INT32_MAX - 1, &b->pad_token_id, where, error);
    if (status != PEFT_OK) return status;
    b->first_position = b->pad_token_id + 1;
    if (b->first_position >= model->max_length)
        return peft_fail(error, PEFT_ERR_FORMAT,
                         "%s: max_position_embeddings %" PRId64 " leaves no position behind pad_token_id %" PRId64,
                         where, model->max_length, b->pad_token_id);
    model->max_length -= b->first_position;
    return PEFT_OK;
}

static peft_status read_buckets(const peft_model *model, encoder *b, const json_t *config, const char *where,
                                peft_error *error)
{
    if (!model->kind->encoder->relative_bias) return PEFT_OK;
    b->num_buckets = 32;
    return peft_json_int(config, "relative_attention_num_buckets", 4, MAX_SIZE, &b->num_buckets, where, error);
}

static peft_status read_sizes(peft_model *model, encoder *b, const json_t *config, const char *where, peft_error *error)
{
    const peft_encoder_keys *keys = &model->kind->encoder->keys;
    if (keys->type_vocab_size) b->type_vocab_size = 2;
    const struct {
        const char *key;
        int64_t max, *value;
    } sizes[] = {
        {"vocab_size", INT32_MAX, &model->vocab_size},
        {keys->hidden_size, MAX_SIZE, &model->hidden_size},
        {keys->num_layers, MAX_LAYERS, &model->num_layers},
        {keys->num_heads, MAX_SIZE, &b->num_heads},
        {keys->intermediate_size, MAX_SIZE, &b->intermediate_size},
        {"max_position_embeddings", MAX_SIZE, &model->max_length},
        {keys->type_vocab_size, MAX_SIZE, &b->type_vocab_size},
    };
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        if (!sizes[k].key) continue;
        peft_status status = peft_json_int(config, sizes[k].key, 1, sizes[k].max, sizes[k].value, where, error);
        if (status != PEFT_OK) return status;
        if (!*sizes[k].value) return peft_fail(error, PEFT_ERR_FORMAT, "%s: %s: missing", where, sizes[k].key);
    }
    if (model->hidden_size % b->num_heads)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: %s %" PRId64 " is not a multiple of %s %" PRId64, where,
                         keys->hidden_size, model->hidden_size, keys->num_heads, b->num_heads);
    return read_positions(model, b, config, where, error);
}

static peft_status read_numbers(peft_model *model, encoder *b, const json_t *config, const char *where,
                                peft_error *error)
{
    const double most = 0.999; /* a dropout of 1 would leave nothing */
    b->hidden_dropout = b->attention_dropout = 0.1;
    const peft_encoder_keys *keys = &model->kind->encoder->keys;
    b->classifier_dropout = keys->usual_classifier_dropout;
    b->layer_norm_eps = 1e-12;
    model->initializer_range = 0.02;
    const struct {
        const char *key;
        double min, max, *value;
    } numbers[] = {
        {keys->hidden_dropout, 0, most, &b->hidden_dropout},
        {keys->attention_dropout, 0, most, &b->attention_dropout},
        {keys->classifier_dropout, 0, most, &b->classifier_dropout},
        {keys->layer_norm_eps, 0, 1, &b->layer_norm_eps},
        {"initializer_range", 0, 100, &model->initializer_range},
    };
    for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++) {
        if (!numbers[k].key) continue;
        peft_status status =
            peft_json_double(config, numbers[k].key, numbers[k].min, numbers[k].max, numbers[k].value, where, error);
        if (status != PEFT_OK) return status;
    }
    if (b->classifier_dropout < 0) b->classifier_dropout = b->hidden_dropout;
    return PEFT_OK;
}

/* Fields that would change the maths and are offered with one value only. */
static peft_status refuse_others(const json_t *config, const char *where, peft_error *error)
{
    static const struct {
        const char *key, *only; /* text of the string, or NULL: false */
    } fields[] = {{"position_embedding_type", "absolute"}, {"is_decoder", NULL}, {"add_cross_attention", NULL}};
    for (size_t k = 0; k < sizeof fields / sizeof fields[0]; k++) {
        const json_t *value = json_object_get(config, fields[k].key);
        bool fits = !value || json_is_null(value) ||
                    (fields[k].only ? json_is_string(value) && !strcmp(json_string_value(value), fields[k].only)
                                    : json_is_false(value));
        char text[PEFT_JSON_TEXT];
        if (!fits)
            return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: %s: expected %s, found %s", where, fields[k].key,
                             fields[k].only ? fields[k].only : "false", peft_json_text(value, text));
    }
    const json_t *pruned = json_object_get(config, "pruned_heads");
    if (pruned && json_object_size(pruned))
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: pruned_heads: models with pruned heads are not offered",
                         where);
    const char *problem = NULL;
    peft_status status = peft_json_string(config, "problem_type", &problem, where, error);
    if (status == PEFT_OK && problem && strcmp(problem, "multi_label_classification") == 0)
        return peft_fail(error, PEFT_ERR_UNSUPPORTED,
                         "%s: problem_type: expected single_label_classification or regression, found \"%s\"", where,
                         problem);
    return status;
}

static peft_status read_tie(encoder *b, const json_t *config, const char *where, peft_error *error)
{
    const json_t *tied = json_object_get(config, "tie_word_embeddings");
    char text[PEFT_JSON_TEXT];
    b->unties_words = json_is_false(tied);
    if (!tied || json_is_boolean(tied) || json_is_null(tied)) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_FORMAT, "%s: tie_word_embeddings: expected true or false, found %s", where,
                     peft_json_text(tied, text));
}

static peft_status read_activation(const peft_model *model, encoder *b, const json_t *config, const char *where,
                                   peft_error *error)
{
    const char *name = "gelu", *key = model->kind->encoder->keys.hidden_act;
    peft_status status = peft_json_string(config, key, &name, where, error);
    if (status == PEFT_OK && !peft_activation_find(name, &b->hidden_act))
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: %s: \"%s\" is not offered", where, key, name);
    return status;
}

/* The caller's number, else the classes of id2label, else num_labels, else 2 as transformers has it. */
static peft_status read_labels(peft_model *model, const json_t *config, const char *where, peft_error *error)
{
    model->num_labels = model->options.num_labels;
    if (model->num_labels > 0) return PEFT_OK;
    json_t *labels = NULL;
    model->num_labels = 2;
    peft_status status = peft_json_int(config, "num_labels", 1, MAX_SIZE, &model->num_labels, where, error);
    if (status == PEFT_OK) status = peft_json_object(config, "id2label", &labels, where, error);
    if (status == PEFT_OK && labels && json_object_size(labels)) model->num_labels = (int64_t)json_object_size(labels);
    return status;
}

/* ---- weights ---- */

static norm add_norm(peft_model *model, const char *module)
{
    peft_shape shape = peft_shape_1(model->hidden_size);
    return (norm){peft_model_add_weight(model, shape, "%s.weight", module),
                  peft_model_add_weight(model, shape, "%s.bias", module)};
}

/* Layer `index` has its modules under names of its own, "bert.encoder.layer.0." before them. */
static const peft_linear_layer *add_linear(peft_model *model, int64_t index, const char *name, int64_t out, int64_t in)
{
    const peft_model_kind *kind = model->kind;
    return peft_model_add_linear(model, out, in, PEFT_LINEAR_PLAIN, "%s%s.%" PRId64 ".%s", kind->prefix,
                                 kind->encoder->layers, index, name);
}

static norm add_layer_norm(peft_model *model, int64_t index, const char *name)
{
    char module[PEFT_MODEL_MAX_NAME / 2];
    snprintf(module, sizeof module, "%s%s.%" PRId64 ".%s", model->kind->prefix, model->kind->encoder->layers, index,
             name);
    return add_norm(model, module);
}

static void add_layer(peft_model *model, const encoder *b, layer *l, int64_t index)
{
    int64_t hidden = model->hidden_size, wide = b->intermediate_size;
    const peft_encoder_modules *m = &model->kind->encoder->modules;
    l->query = add_linear(model, index, m->query, hidden, hidden);
    l->key = add_linear(model, index, m->key, hidden, hidden);
    l->value = add_linear(model, index, m->value, hidden, hidden);
    l->attention_output = add_linear(model, index, m->attention_output, hidden, hidden);
    l->attention_norm = add_layer_norm(model, index, m->attention_norm);
    l->intermediate = add_linear(model, index, m->intermediate, wide, hidden);
    l->output = add_linear(model, index, m->output, hidden, wide);
    l->output_norm = add_layer_norm(model, index, m->output_norm);
}

static void add_embeddings(peft_model *model, encoder *b)
{
    const char *prefix = model->kind->prefix;
    int64_t hidden = model->hidden_size;
    char norm_name[PEFT_MODEL_MAX_NAME / 2];
    b->word = peft_model_add_weight(model, peft_shape_2(model->vocab_size, hidden),
                                    "%sembeddings.word_embeddings.weight", prefix);
    b->position = peft_model_add_weight(model, peft_shape_2(b->first_position + model->max_length, hidden),
                                        "%sembeddings.position_embeddings.weight", prefix);
    if (b->type_vocab_size)
        b->type = peft_model_add_weight(model, peft_shape_2(b->type_vocab_size, hidden),
                                        "%sembeddings.token_type_embeddings.weight", prefix);
    snprintf(norm_name, sizeof norm_name, "%sembeddings.LayerNorm", prefix);
    b->embedding_norm = add_norm(model, norm_name);
    if (b->num_buckets)
        b->relative = peft_model_add_weight(model, peft_shape_2(b->num_buckets, b->num_heads), "%s%s.weight", prefix,
                                            model->kind->encoder->relative_bias);
}

/* The pooler of an encoder alone, where its file has one; it may be the first layer of the head, too. */
static bool has_pooler(const peft_model *model)
{
    char name[PEFT_MODEL_MAX_NAME];
    snprintf(name, sizeof name, "%s%s.dense.weight", model->kind->prefix, PEFT_MODEL_POOLER);
    return model->options.part == PEFT_MODEL_ENCODER && peft_model_file_has(model, name);
}

static peft_status add_words(peft_model *model, const encoder *b, peft_error *error)
{
    const peft_word_names *names = &model->kind->encoder->words;
    const peft_word_head_options options = {
        .names = names,
        .embeddings = b->word,
        .tied = !b->unties_words,
        .activation = names->always_gelu ? PEFT_ACTIVATION_gelu : b->hidden_act,
        .layer_norm_eps = b->layer_norm_eps,
    };
    return peft_word_head_add(model, &options, error);
}

static void add_head(peft_model *model, encoder *b)
{
    const peft_encoder_head *head = &model->kind->encoder->head;
    int64_t hidden = model->hidden_size;
    if (has_pooler(model))
        peft_model_add_linear(model, hidden, hidden, PEFT_LINEAR_PLAIN, "%s%s.dense", model->kind->prefix,
                              PEFT_MODEL_POOLER);
    if (model->options.part == PEFT_MODEL_ANSWERS)
        model->answers =
            peft_model_add_weight(model, peft_shape_2(model->num_labels, hidden), PEFT_MODEL_ANSWER_HEAD ".weight");
    if (model->options.part != PEFT_MODEL_WITH_HEAD) return;
    b->dense = peft_model_add_linear(model, hidden, hidden, PEFT_LINEAR_PLAIN, "%s", head->dense);
    b->classifier = peft_model_add_linear(model, model->num_labels, hidden, PEFT_LINEAR_OUTPUT, "%s", head->output);
}

static peft_status add_weights(peft_model *model, encoder *b, peft_error *error)
{
    enum { OUTSIDE_LAYERS = 14, IN_LAYER = 16, LINEARS_IN_LAYER = 6 };
    peft_status status = peft_model_reserve(model, OUTSIDE_LAYERS + IN_LAYER * model->num_layers,
                                            2 + LINEARS_IN_LAYER * model->num_layers, error);
    if (status != PEFT_OK) return status;
    b->layers = peft_arena_take(&model->arena, (size_t)model->num_layers * sizeof *b->layers);
    if (!b->layers) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", model->dir);
    add_embeddings(model, b);
    for (int64_t k = 0; k < model->num_layers; k++) add_layer(model, b, &b->layers[k], k);
    model->num_encoder_weights = model->num_weights;
    add_head(model, b);
    if (model->options.part == PEFT_MODEL_WORDS) status = add_words(model, b, error);
    if (status != PEFT_OK) return status;
    return model->incomplete ? peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", model->dir) : PEFT_OK;
}

peft_status peft_encoder_describe(peft_model *model, const json_t *config, const char *where, peft_error *error)
{
    encoder *b = peft_arena_take(&model->arena, sizeof *b);
    if (!b) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", where);
    model->config = b;
    peft_status status = read_sizes(model, b, config, where, error);
    if (status == PEFT_OK) status = read_buckets(model, b, config, where, error);
    if (status == PEFT_OK) status = read_numbers(model, b, config, where, error);
    if (status == PEFT_OK) status = refuse_others(config, where, error);
    if (status == PEFT_OK) status = read_activation(model, b, config, where, error);
    if (status == PEFT_OK) status = read_tie(b, config, where, error);
    if (status == PEFT_OK) status = read_labels(model, config, where, error);
    return status == PEFT_OK ? add_weights(model, b, error) : status;
}

/* ---- forward ---- */

/* What the formulas below have in common. */
typedef struct forward {
    peft_graph *g;
    const peft_model *model;
    const encoder *b;
    const peft_batch *batch;
    peft_tensor *bias; /* to the scores, or NULL */
} forward;

static peft_tensor *layer_norm(const forward *f, norm n, peft_tensor *x)
{
    return peft_layer_norm(f->g, x, peft_weight_leaf(f->g, n.weight), peft_weight_leaf(f->g, n.bias),
                           f->b->layer_norm_eps);
}

static peft_tensor *linear(const forward *f, const peft_linear_layer *l, peft_tensor *x)
{
    return peft_adapter_forward(f->g, l->adapter, &l->base, x, f->batch);
}

static uint64_t stream_of(const peft_linear_layer *l, const char *what)
{
    char name[320];
    snprintf(name, sizeof name, "%s.%s", l->module, what);
    return peft_stream(name);
}

static peft_tensor *dropout(const forward *f, peft_tensor *x, double p, uint64_t stream, int64_t first_row)
{
    return f->batch->training ? peft_dropout(f->g, x, p, stream, first_row) : x;
}

/* dropout(linear(x)), as both halves of a layer end */
static peft_tensor *output(const forward *f, const peft_linear_layer *l, peft_tensor *x)
{
    return dropout(f, linear(f, l, x), f->b->hidden_dropout, stream_of(l, "dropout"), f->batch->first_token);
}

/* Of two texts, the second has type 1. */
static bool check_types(const forward *f, const peft_model_input *input)
{
    bool fit = true;
    for (int64_t t = 0; f->b->type && t < f->batch->num_tokens && fit; t++)
        fit = input->token_type_ids[t] < f->b->type_vocab_size;
    if (!fit)
        peft_graph_fail(f->g, PEFT_ERR_ARGUMENT,
                        "%s: type_vocab_size is %" PRId64 ": this model takes single texts, no pairs", f->model->dir,
                        f->b->type_vocab_size);
    return fit;
}

/* 0, 1, ... in each sequence; or from behind the padding token's id on, which such a token has itself. */
static peft_tensor *position_rows(const forward *f, const peft_model_input *input)
{
    int64_t count = f->batch->num_tokens;
    if (!f->b->first_position)
        return peft_constant(f->g, PEFT_I32, peft_shape_1(count), input->position_ids, "position_ids");
    int32_t *rows = NULL, last = 0;
    peft_tensor *leaf = peft_integers(f->g, count, &rows);
    for (int64_t t = 0; leaf && t < count; t++) {
        bool padding = input->input_ids[t] == (int32_t)f->b->pad_token_id;
        if (input->position_ids[t] == 0) last = (int32_t)f->b->pad_token_id;
        rows[t] = padding ? (int32_t)f->b->pad_token_id : ++last;
    }
    return leaf;
}

peft_tensor *peft_encoder_embeddings(peft_graph *g, const peft_model *model, const peft_model_run *run)
{
    forward f = {g, model, model->config, run->batch, NULL};
    const peft_model_input *input = run->input;
    peft_shape tokens = peft_shape_1(f.batch->num_tokens);
    if (!check_types(&f, input)) return NULL;
    peft_tensor *ids = peft_constant(g, PEFT_I32, tokens, input->input_ids, "input_ids");
    peft_tensor *types = f.b->type ? peft_constant(g, PEFT_I32, tokens, input->token_type_ids, "token_type_ids") : NULL;
    peft_tensor *positions = position_rows(&f, input);
    peft_tensor *x = peft_embedding(g, peft_weight_leaf(g, f.b->word), ids);
    if (types) x = peft_add(g, x, peft_embedding(g, peft_weight_leaf(g, f.b->type), types));
    x = peft_add(g, x, peft_embedding(g, peft_weight_leaf(g, f.b->position), positions));
    x = layer_norm(&f, f.b->embedding_norm, x);
    peft_batch_set_embeddings(g, f.batch, x);
    char stream[64];
    snprintf(stream, sizeof stream, "%sembeddings.dropout", model->kind->prefix);
    return dropout(&f, x, f.b->hidden_dropout, peft_stream(stream), f.batch->first_token);
}

static peft_tensor *first_tokens(const forward *f, peft_tensor *x)
{
    return peft_first_pool(f->g, x, peft_batch_starts(f->g, f->batch));
}

/* Distances have buckets of their own while they are short, and then in steps of their logarithm up to 128, in each
 * direction (Raffel et al. 2020, arXiv 1910.10683). */
static int32_t bucket_of(int64_t distance, int64_t num_buckets)
{
    const double longest = 128;
    int64_t half = num_buckets / 2, exact = half / 2, far = distance < 0 ? -distance : distance;
    int64_t bucket = far;
    if (far >= exact) {
        float steps = logf((float)far / (float)exact) / (float)log(longest / (double)exact) * (float)(half - exact);
        bucket = exact + (int64_t)steps < half - 1 ? exact + (int64_t)steps : half - 1;
    }
    return (int32_t)(bucket + (distance > 0 ? half : 0)); /* of keys behind the query */
}

/* For the first `queries` tokens of sequences as long as the longest: [heads, queries, keys]. */
static peft_tensor *relative_bias(const forward *f, int64_t queries)
{
    int32_t *buckets = NULL;
    int64_t keys = 0;
    if (!f->b->relative) return NULL;
    for (int64_t s = 0; s < f->batch->num_sequences; s++) {
        int64_t length = f->batch->starts[s + 1] - f->batch->starts[s];
        if (length > keys) keys = length;
    }
    if (queries == 0) queries = keys;
    peft_tensor *leaf = peft_integers(f->g, queries * keys, &buckets);
    for (int64_t i = 0; leaf && i < queries; i++)
        for (int64_t j = 0; j < keys; j++) buckets[i * keys + j] = bucket_of(j - i, f->b->num_buckets);
    peft_tensor *x = peft_embedding(f->g, peft_weight_leaf(f->g, f->b->relative), leaf);
    x = peft_permute(f->g, x, (const int32_t[]){1, 0});
    return peft_reshape(f->g, x, peft_shape_3(f->b->num_heads, queries, keys));
}

/* Then every token is a query: peft_biased_attention. */
static bool trains_bias(const encoder *b)
{
    return b->relative && b->relative->gradient;
}

/* Queries are made of `rows`, which are those of x, or of the batch `read`. */
static peft_tensor *self_attention(const forward *f, const forward *read, const layer *l, peft_tensor *x,
                                   peft_tensor *rows)
{
    peft_attention_options options = {
        .num_heads = (int32_t)f->b->num_heads,
        .dropout = f->batch->training ? f->b->attention_dropout : 0,
        .dropout_stream = stream_of(l->query, "attention.dropout"),
        .first_row = read->batch->first_token,
        .bias = read->bias,
    };
    /* One after another: the order of the nodes is the order in which gradients are summed, and C leaves that of
     * arguments to the compiler. */
    peft_tensor *q = linear(read, l->query, rows);
    peft_tensor *query_starts = peft_batch_starts(f->g, read->batch), *starts = peft_batch_starts(f->g, f->batch);
    peft_tensor *key = read == f ? NULL : peft_absorbed_weight(f->g, l->key, f->batch);
    peft_tensor *value = key ? peft_absorbed_weight(f->g, l->value, f->batch) : NULL;
    if (value) return peft_absorbed_attention(f->g, q, x, key, value, starts, &options);
    peft_tensor *k = linear(f, l->key, x);
    peft_tensor *v = linear(f, l->value, x);
    if (trains_bias(f->b)) return peft_biased_attention(f->g, q, k, v, f->batch, &options);
    return peft_attention(f->g, q, k, v, query_starts, starts, &options);
}

/* `read`: f, or the pooled batch, where of the result only first tokens are read. */
static peft_tensor *encoder_layer(const forward *f, const forward *read, const layer *l, peft_tensor *x)
{
    peft_tensor *rows = read == f ? x : first_tokens(f, x);
    peft_tensor *attended = self_attention(f, read, l, x, rows);
    attended = f->model->kind->encoder->drops_attention_output ? output(read, l->attention_output, attended)
                                                               : linear(read, l->attention_output, attended);
    rows = layer_norm(read, l->attention_norm, peft_add(f->g, attended, rows));
    peft_tensor *wide = peft_activation(f->g, linear(read, l->intermediate, rows), f->b->hidden_act);
    return layer_norm(read, l->output_norm, peft_add(f->g, output(read, l->output, wide), rows));
}

/* `read`: of the last layer. */
static peft_tensor *all_layers(forward *f, forward *read, const peft_model_run *run)
{
    const int64_t last = f->model->num_layers - 1;
    peft_tensor *x = peft_encoder_embeddings(f->g, f->model, run);
    f->bias = f == read || last > 0 ? relative_bias(f, 0) : NULL;
    if (f != read) read->bias = relative_bias(f, 1);
    for (int64_t k = 0; k <= last; k++) {
        if (run->checkpoint_layers) peft_graph_checkpoint_begin(f->g);
        x = encoder_layer(f, k == last ? read : f, &f->b->layers[k], x);
        if (run->checkpoint_layers) peft_graph_checkpoint_end(f->g);
    }
    return x;
}

peft_tensor *peft_encoder_hidden(peft_graph *g, const peft_model *model, const peft_model_run *run)
{
    forward f = {g, model, model->config, run->batch, NULL};
    return all_layers(&f, &f, run);
}

/* Behind the keys and values of the last layer, the head reads first tokens alone. Adapters that look at the others
 * there get them. */
static bool first_tokens_suffice(const encoder *b, const peft_model *model)
{
    const layer *last = &b->layers[model->num_layers - 1];
    const peft_linear_layer *const behind[] = {last->query, last->attention_output, last->intermediate, last->output};
    bool suffice = !trains_bias(b);
    for (size_t k = 0; k < sizeof behind / sizeof *behind; k++) suffice &= peft_adapter_by_token(behind[k]->adapter);
    return suffice;
}

peft_tensor *peft_encoder_logits(peft_graph *g, const peft_model *model, const peft_model_run *run)
{
    forward all = {g, model, model->config, run->batch, NULL};
    forward f = {g, model, model->config, peft_batch_pooled(g, run->batch), NULL};
    bool few = first_tokens_suffice(f.b, model);
    peft_tensor *x = all_layers(&all, few ? &f : &all, run), *first = few ? x : first_tokens(&all, x);
    const peft_encoder_head *head = &model->kind->encoder->head;
    if (head->drops_input)
        first = dropout(&f, first, f.b->classifier_dropout, stream_of(f.b->dense, "dropout"), f.batch->first_token);
    peft_tensor *y = peft_activation(g, linear(&f, f.b->dense, first), head->activation);
    y = dropout(&f, y, f.b->classifier_dropout, stream_of(f.b->classifier, "dropout"), f.batch->first_token);
    return linear(&f, f.b->classifier, y);
}
