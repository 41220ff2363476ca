/* peft/adapter_base.c - reading an adapter together with the base model that it is for. */
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "peft/adapter_file.h"
#include "peft/adapter_read.h"
#include "peft/adapter_tensors.h"

/* ---- the head ---- */

peft_status peft_adapter_head(const char *folder, peft_model_options *head, peft_error *error)
{
    static const struct {
        const char *name;
        peft_model_part part;
    } heads[] = {{PEFT_MODEL_PREFIX "classifier.weight", PEFT_MODEL_WITH_HEAD},
                 {PEFT_MODEL_PREFIX "classifier.out_proj.weight", PEFT_MODEL_WITH_HEAD},
                 {PEFT_MODEL_PREFIX "score.weight", PEFT_MODEL_WITH_HEAD},
                 {PEFT_MODEL_PREFIX "answers.weight", PEFT_MODEL_ANSWERS}};
    peft_safetensors *file = NULL;
    *head = (peft_model_options){0};
    peft_status status = peft_adapter_file_open(&file, folder, error);
    for (size_t k = 0; status == PEFT_OK && k < sizeof heads / sizeof heads[0]; k++) {
        const peft_file_tensor *tensor = peft_safetensors_find(file, heads[k].name);
        if (!tensor || tensor->shape.ndim != 2) continue;
        head->part = heads[k].part;
        head->num_labels = tensor->shape.size[0];
        head->regression = head->num_labels == 1 && head->part == PEFT_MODEL_WITH_HEAD;
    }
    peft_safetensors_close(file);
    return status;
}

/* ---- the base ---- */

static bool is_model(const char *folder)
{
    bool has_config = false;
    return folder && *folder && peft_file_exists_in(folder, "config.json", &has_config, NULL) == PEFT_OK && has_config;
}

/* The folder of the base that the configuration names, in memory of its own; NULL: it is not there, or not needed. */
static peft_status named_base(const char *folder, char **base, peft_error *error)
{
    peft_adapter_config config;
    *base = NULL;
    peft_status status = peft_adapter_config_open(&config, folder, NULL, error);
    if (status != PEFT_OK) return status;
    if (!peft_adapter_shows_sizes(&config) && is_model(config.base_model_name_or_path)) {
        *base = config.base_model_name_or_path;
        config.base_model_name_or_path = NULL;
    }
    peft_adapter_config_free(&config);
    return PEFT_OK;
}

static peft_status read_beside(peft_adapter_contents *contents, const char *folder, const char *base,
                               const peft_load_options *options, peft_error *error)
{
    peft_model *model = NULL;
    peft_model_options opening;
    peft_status status = peft_adapter_head(folder, &opening, error);
    if (status == PEFT_OK) status = peft_model_open(&model, base, &opening, error);
    if (status == PEFT_OK) status = peft_adapter_read(contents, folder, model, options, error);
    peft_model_close(model);
    return status;
}

peft_status peft_adapter_read_with(peft_adapter_contents *contents, const char *folder, const char *base,
                                   const peft_load_options *options, peft_error *error)
{
    char *named = NULL;
    *contents = (peft_adapter_contents){0};
    peft_status status = base ? PEFT_OK : named_base(folder, &named, error);
    if (status != PEFT_OK) return status;
    if (!base) base = named;
    status = base ? read_beside(contents, folder, base, options, error)
                  : peft_adapter_read(contents, folder, NULL, options, error);
    free(named);
    return status;
}
