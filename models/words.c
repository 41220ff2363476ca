#include "models/word_head.h"

#include <stdio.h>
#include <string.h>

#include "models/words.h"
#include "variants/module_name.h"

struct peft_word_head {
    const peft_word_names *names;
    const peft_linear_layer *dense;
    const peft_weight *norm_weight, *norm_bias, *table, *bias;
    peft_activation_kind activation;
    double layer_norm_eps;
    bool tied;
};

/* ---- describing it ---- */

/* Tied ones have one bias under two names, of which old files have the first; untied ones read the second. */
static const char *name_bias(const peft_model *model, const peft_word_names *names, bool tied,
                             char own[PEFT_MODEL_MAX_NAME])
{
    snprintf(own, PEFT_MODEL_MAX_NAME, "%s.bias", names->decoder);
    bool has_first = peft_model_file_has(model, names->bias), has_own = peft_model_file_has(model, own);
    return (tied ? has_own && !has_first : has_own) ? own : names->bias;
}

peft_status peft_word_head_add(peft_model *model, const peft_word_head_options *options, peft_error *error)
{
    const peft_word_names *names = options->names;
    const peft_shape vector = peft_shape_1(model->hidden_size);
    char own[PEFT_MODEL_MAX_NAME];
    peft_word_head *head = peft_arena_take(&model->arena, sizeof *head);
    if (!head) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", model->dir);
    *head = (peft_word_head){.names = names,
                             .activation = options->activation,
                             .layer_norm_eps = options->layer_norm_eps,
                             .tied = options->tied};
    head->dense = peft_model_add_linear(model, model->hidden_size, model->hidden_size, 0, "%s", names->dense);
    head->norm_weight = peft_model_add_weight(model, vector, "%s.weight", names->norm);
    head->norm_bias = peft_model_add_weight(model, vector, "%s.bias", names->norm);
    head->table = options->embeddings;
    if (!options->tied)
        head->table = peft_model_add_weight(model, peft_shape_2(model->vocab_size, model->hidden_size), "%s.weight",
                                            names->decoder);
    head->bias = peft_model_add_weight(model, peft_shape_1(model->vocab_size), "%s",
                                       name_bias(model, names, options->tied, own));
    model->words = head;
    return PEFT_OK;
}

bool peft_word_head_repeats(const peft_word_head *head, const char *name)
{
    return peft_module_lies_in(name, head->names->decoder) || strcmp(name, head->names->bias) == 0;
}

/* ---- using it ---- */

static const peft_word_head *head_of(peft_graph *g, const peft_model *model)
{
    if (peft_graph_failed(g)) return NULL;
    if (!model->words)
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: was opened without its head for words", model->dir);
    return model->words;
}

static peft_tensor *states(peft_graph *g, const peft_word_head *head, const peft_model *model,
                           const peft_model_run *run, peft_tensor *rows)
{
    peft_tensor *x = peft_embedding(g, peft_model_hidden(g, model, run), rows);
    x = peft_activation(g, peft_adapter_forward(g, head->dense->adapter, &head->dense->base, x, run->batch),
                        head->activation);
    return peft_layer_norm(g, x, peft_weight_leaf(g, head->norm_weight), peft_weight_leaf(g, head->norm_bias),
                           head->layer_norm_eps);
}

peft_tensor *peft_model_word_logits(peft_graph *g, const peft_model *model, const peft_model_run *run,
                                    const int32_t *rows, int64_t count)
{
    const peft_word_head *head = head_of(g, model);
    if (!head) return NULL;
    peft_tensor *read = peft_constant(g, PEFT_I32, peft_shape_1(count), rows, "tokens");
    return peft_linear(g, states(g, head, model, run, read), peft_weight_leaf(g, head->table),
                       peft_weight_leaf(g, head->bias));
}

static int64_t count_targets(const int32_t *targets, int64_t count)
{
    int64_t counted = 0;
    for (int64_t t = 0; t < count; t++) counted += targets[t] >= 0;
    return counted;
}

/* A batch in which nothing counts reads a token that does not. */
peft_tensor *peft_model_word_loss(peft_graph *g, const peft_model *model, const peft_model_run *run,
                                  const int32_t *targets, double label_smoothing, double normaliser)
{
    const peft_word_head *head = head_of(g, model);
    int64_t num_tokens = run->batch->num_tokens, counted = count_targets(targets, num_tokens), at = 0;
    int32_t *rows = NULL, *labels = NULL;
    peft_tensor *read = peft_integers(g, counted ? counted : 1, &rows);
    peft_tensor *wanted = peft_integers(g, counted ? counted : 1, &labels);
    if (!head || !read || !wanted) return NULL;
    labels[0] = -1;
    for (int64_t t = 0; t < num_tokens; t++) {
        if (targets[t] < 0) continue;
        rows[at] = (int32_t)t;
        labels[at++] = targets[t];
    }
    return peft_linear_cross_entropy(g, states(g, head, model, run, read), peft_weight_leaf(g, head->table),
                                     peft_weight_leaf(g, head->bias), wanted, label_smoothing, normaliser);
}
