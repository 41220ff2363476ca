/* models/load_weights.c - each weight of a model from the files of its folder, and what is left of them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "io/name_list.h"
#include "models/model_internal.h"
#include "models/word_head.h"
#include "ops/rng.h"
#include "variants/module_name.h"

/* ---- names ---- */

/* Old files write the norms' weights as gamma and beta. */
static void old_name(const char *name, char old[PEFT_MODEL_MAX_NAME])
{
    static const char *const endings[][2] = {{"LayerNorm.weight", "LayerNorm.gamma"},
                                             {"LayerNorm.bias", "LayerNorm.beta"}};
    snprintf(old, PEFT_MODEL_MAX_NAME, "%s", name);
    for (size_t k = 0; k < sizeof endings / sizeof endings[0]; k++) {
        size_t length = strlen(name), ending = strlen(endings[k][0]);
        if (length < ending || strcmp(name + length - ending, endings[k][0]) != 0) continue;
        snprintf(old + length - ending, PEFT_MODEL_MAX_NAME - (length - ending), "%s", endings[k][1]);
    }
}

/* Without "bert.", as files of the bare encoder name it. */
static const char *without_prefix(const peft_model *model, const char *name)
{
    size_t prefix = strlen(model->kind->prefix);
    return strncmp(name, model->kind->prefix, prefix) == 0 ? name + prefix : name;
}

/* As named, then without the prefix, then both with the norms' old names. */
static const peft_file_tensor *find_tensor(const peft_model *model, const char *name)
{
    char old[PEFT_MODEL_MAX_NAME];
    old_name(name, old);
    const char *const spellings[] = {name, old};
    const peft_file_tensor *tensor = NULL;
    for (int k = 0; k < 2 && !tensor; k++) {
        tensor = peft_weights_find(model->file, spellings[k]);
        if (!tensor) tensor = peft_weights_find(model->file, without_prefix(model, spellings[k]));
    }
    return tensor;
}

bool peft_model_file_has(const peft_model *model, const char *name)
{
    return model->file && find_tensor(model, name);
}

/* ---- weights ---- */

/* What the file lacks of the head, or has for other labels, starts as transformers starts it: weights normal with
 * initializer_range, biases zero. */
static peft_status draw_weight(peft_model *model, peft_weight *weight, peft_error *error)
{
    size_t count = (size_t)peft_shape_count(&weight->shape);
    float *values = peft_arena_take(&model->arena, count * sizeof *values);
    if (!values) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", weight->name);
    if (weight->shape.ndim == 2)
        peft_random_normal(values, count, 0, model->initializer_range, model->options.seed, peft_stream(weight->name));
    for (size_t k = 0; k < count && peft_model_is_scale(weight); k++) values[k] = 1;
    weight->stored = (peft_stored){.data = values, .format = PEFT_FORMAT_F32};
    return PEFT_OK;
}

static bool has_shape(const peft_file_tensor *tensor, const peft_weight *weight)
{
    const peft_shape stored = peft_weight_stored_shape(weight);
    return peft_shape_equal(&tensor->shape, &stored);
}

/* Matrices are taken as they lie in the file; of other formats than F32, vectors are few numbers, which become floats.
 */
static bool is_taken_as_stored(const peft_file_tensor *tensor, peft_format *format)
{
    bool aligned = (uintptr_t)tensor->data % sizeof(float) == 0;
    if (!peft_format_of(tensor->dtype, format)) return false;
    return *format == PEFT_FORMAT_F32 ? aligned : tensor->shape.ndim == 2;
}

static peft_status take_tensor(peft_model *model, peft_weight *weight, const peft_file_tensor *tensor,
                               peft_error *error)
{
    peft_format format;
    if (!has_shape(tensor, weight)) {
        char expected[PEFT_SHAPE_TEXT], found[PEFT_SHAPE_TEXT];
        const peft_shape stored = peft_weight_stored_shape(weight);
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: tensor %s: expected %s, found %s", tensor->path, tensor->name,
                         peft_shape_text(&stored, expected), peft_shape_text(&tensor->shape, found));
    }
    if (is_taken_as_stored(tensor, &format)) {
        weight->stored.data = tensor->data;
        weight->stored.format = format;
        model->mapped_bytes += tensor->bytes;
        return PEFT_OK;
    }
    float *values = peft_arena_take(&model->arena, (size_t)peft_shape_count(&weight->shape) * sizeof *values);
    if (!values) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", weight->name);
    weight->stored.data = values;
    weight->stored.format = PEFT_FORMAT_F32;
    return peft_file_tensor_read_f32(tensor, values, error);
}

/* The caller asked for a number of labels, and the file's head has another. */
static bool has_other_labels(const peft_model *model, const peft_weight *weight, const peft_file_tensor *tensor)
{
    return model->options.num_labels > 0 && peft_module_lies_in(weight->name, peft_model_head(model)) &&
           !has_shape(tensor, weight);
}

static peft_status load_weight(peft_model *model, int64_t index, peft_error *error)
{
    peft_weight *weight = &model->weights[index];
    const peft_file_tensor *tensor = find_tensor(model, weight->name);
    bool of_head = index >= model->num_encoder_weights;
    if (!tensor && !of_head)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: tensor %s: missing; the file does not fit its config.json",
                         peft_weights_path(model->file, 0), weight->name);
    if (!tensor || (of_head && has_other_labels(model, weight, tensor))) return draw_weight(model, weight, error);
    model->sources[index] = tensor;
    return take_tensor(model, weight, tensor, error);
}

/* ---- what is left ---- */

static bool is_used(const peft_model *model, const peft_file_tensor *tensor)
{
    for (int64_t k = 0; k < model->num_weights; k++)
        if (model->sources[k] == tensor) return true;
    return false;
}

/* Some files hold the numbers of the positions, 0, 1, ..., which every model counts by itself. */
static bool counts_positions(const peft_file_tensor *tensor)
{
    if (!peft_module_ends_with(tensor->name, "position_ids") || tensor->dtype != PEFT_I64) return false;
    bool counts = true;
    for (int64_t k = 0; k < peft_shape_count(&tensor->shape) && counts; k++) {
        int64_t number;
        memcpy(&number, (const char *)tensor->data + (size_t)k * sizeof number, sizeof number);
        counts = number == k;
    }
    return counts;
}

/* `name` begins as one of the encoder's weights does: "embeddings.", "encoder.". */
static bool lies_in_encoder(const peft_model *model, const char *name)
{
    const char *part = without_prefix(model, name), *dot = strchr(part, '.');
    size_t length = dot ? (size_t)(dot - part) + 1 : strlen(part) + 1;
    for (int64_t k = 0; k < model->num_encoder_weights; k++)
        if (strncmp(without_prefix(model, model->weights[k].name), part, length) == 0) return true;
    return false;
}

/* A head that the model was opened without, or has for other labels; what is tied, a second time. */
static bool is_unwanted(const peft_model *model, const char *name)
{
    if (model->words && peft_word_head_repeats(model->words, name)) return true;
    return model->options.part == PEFT_MODEL_WITH_HEAD ? peft_module_lies_in(name, model->kind->head)
                                                       : peft_model_is_of_head(model, name);
}

static bool is_left_over(const peft_model *model, const peft_file_tensor *tensor)
{
    return !is_used(model, tensor) && !counts_positions(tensor) && !is_unwanted(model, tensor->name);
}

static peft_status check_left_over(const peft_model *model, peft_error *error)
{
    for (size_t k = 0; k < peft_weights_count(model->file); k++) {
        const peft_file_tensor *tensor = peft_weights_at(model->file, k);
        if (is_left_over(model, tensor) && lies_in_encoder(model, tensor->name))
            return peft_fail(error, PEFT_ERR_FORMAT,
                             "%s: tensor %s: unexpected in a %s model of %" PRId64
                             " layers; does config.json belong to it?",
                             tensor->path, tensor->name, model->kind->type, model->num_layers);
    }
    return PEFT_OK;
}

peft_status peft_model_load_weights(peft_model *model, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (int64_t k = 0; status == PEFT_OK && k < model->num_weights; k++) status = load_weight(model, k, error);
    return status == PEFT_OK ? check_left_over(model, error) : status;
}

bool peft_model_is_of_head(const peft_model *model, const char *name)
{
    return peft_module_lies_in(name, model->kind->head) || peft_module_lies_in(name, PEFT_MODEL_POOLER) ||
           peft_module_lies_in(name, PEFT_MODEL_ANSWER_HEAD);
}

static bool has_weight_in(const peft_model *model, const char *part)
{
    for (int64_t k = 0; k < model->num_weights; k++)
        if (peft_module_lies_in(model->weights[k].name, part)) return true;
    return false;
}

/* What lies behind the layers, where the model ends with them. */
static bool is_of_other_head(const peft_model *model, const char *name)
{
    bool ends = model->options.part == PEFT_MODEL_HIDDEN || model->options.part == PEFT_MODEL_ENCODER;
    return ends && peft_module_layer(name) < 0 && !peft_module_lies_in(name, "embeddings") &&
           !lies_in_encoder(model, name);
}

bool peft_model_is_of_missing_part(const peft_model *model, const char *name)
{
    const char *const parts[] = {model->kind->head, PEFT_MODEL_POOLER, PEFT_MODEL_ANSWER_HEAD};
    for (size_t p = 0; p < sizeof parts / sizeof parts[0]; p++)
        if (peft_module_lies_in(name, parts[p])) return !has_weight_in(model, parts[p]);
    return is_of_other_head(model, name);
}

/* ---- notes ---- */

static void note_list(const peft_name_list *list, const peft_model *model, const char *what, peft_note_function *note,
                      void *argument)
{
    char text[PEFT_MESSAGE_BYTES];
    if (!list->count) return;
    snprintf(text, sizeof text, "%s: %zu tensor%s %s: %s", model->dir, list->count, list->count == 1 ? "" : "s", what,
             list->text);
    note(argument, text);
}

void peft_model_notes(const peft_model *model, bool head, peft_note_function *note, void *argument)
{
    peft_name_list others = {.room = sizeof others.text}, drawn = {.room = sizeof drawn.text};
    if (!note) return;
    for (size_t k = 0; k < peft_weights_count(model->file); k++)
        if (is_left_over(model, peft_weights_at(model->file, k)))
            peft_name_list_add(&others, peft_weights_at(model->file, k)->name);
    for (int64_t k = 0; k < model->num_weights && head; k++)
        if (peft_model_is_drawn(model, &model->weights[k]) &&
            !peft_module_lies_in(model->weights[k].name, peft_model_head(model)))
            peft_name_list_add(&drawn, model->weights[k].name);
    note_list(&others, model, "of the file not used by this model", note, argument);
    note_list(&drawn, model, "in no file, drawn at random: results are arbitrary until trained", note, argument);
}
