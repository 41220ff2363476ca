#include "peft/convert.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "peft/adapter_file.h"
#include "peft/adapter_read.h"
#include "peft/adapter_write.h"
#include "peft/output_folder.h"
#include "peft/provenance.h"

/* ---- what cannot be converted ---- */

/* What full fine-tuning leaves. */
static peft_status check_is_adapter(const char *folder, peft_error *error)
{
    bool adapter = false, model = false;
    peft_status status = peft_file_exists_in(folder, "adapter_config.json", &adapter, error);
    if (status == PEFT_OK) status = peft_file_exists_in(folder, "config.json", &model, error);
    if (status != PEFT_OK || adapter || !model) return status;
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: a whole model, no adapter; it is used as it is (--model)",
                     folder);
}

static peft_status check_to_lora(const char *folder, const peft_variant *variant, peft_error *error)
{
    if (variant->to_lora) return PEFT_OK;
    if (variant->merge)
        return peft_fail(error, PEFT_ERR_UNSUPPORTED,
                         "%s: %s is no low-rank sum: %s; fold it into the model's weights instead (peft merge)", folder,
                         variant->name, variant->equation);
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: the update of %s depends on the input: %s; %s", folder,
                     variant->name, variant->equation,
                     variant->expert_to_lora ? "each of its experts alone is a LoRA (--to experts)"
                                             : "no LoRA and no merged weight is equal to it");
}

static peft_status check_to_experts(const char *folder, const peft_variant *variant, peft_error *error)
{
    if (variant->expert_to_lora) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: %s has no experts that are LoRAs: %s%s", folder, variant->name,
                     variant->equation, variant->to_lora ? "; as a whole it is one (--to lora)" : "");
}

typedef peft_status check_function(const char *folder, const peft_variant *variant, peft_error *error);

/* Before any tensor is read. */
static peft_status check_possible(const peft_conversion *c, check_function *check, peft_error *error)
{
    peft_adapter_config config = {0};
    peft_status status = check_is_adapter(c->adapter, error);
    if (status == PEFT_OK) status = peft_adapter_config_open(&config, c->adapter, NULL, error);
    if (status == PEFT_OK)
        status = config.variant ? check(c->adapter, config.variant, error)
                                : peft_fail(error, PEFT_ERR_UNSUPPORTED,
                                            "%s: holds no adapter, only modules trained in full", c->adapter);
    peft_adapter_config_free(&config);
    return status;
}

/* ---- reading ---- */

static peft_status check_finite(void *argument, const char *module, peft_value *value, peft_error *error)
{
    const char *folder = argument;
    for (int64_t i = 0; i < peft_shape_count(&value->spec.shape); i++)
        if (!isfinite(value->data[i]))
            return peft_fail(error, PEFT_ERR_NUMERIC, "%s: module %s: %s: element %" PRId64 " is %g", folder, module,
                             value->spec.name, i, (double)value->data[i]);
    return PEFT_OK;
}

static peft_status read_adapter(const peft_conversion *c, peft_adapter_contents *contents, peft_error *error)
{
    peft_status status = peft_adapter_read_with(contents, c->adapter, c->model, c->load, error);
    if (status != PEFT_OK) return status;
    return peft_adapters_each_value(contents->adapters, check_finite, (void *)(uintptr_t)c->adapter, error);
}

/* ---- writing ---- */

/* Of a layer that has no adapter any more, PEFT's files have the weights without "base_layer.": a new name, or NULL
 * where it stays. */
static peft_status rename_other(const char *key, peft_adapters *plain, char **renamed, peft_error *error)
{
    static const char wrapper[] = ".base_layer.";
    const char *at = strstr(key, wrapper);
    *renamed = NULL;
    if (!at || strncmp(key, PEFT_MODEL_PREFIX, strlen(PEFT_MODEL_PREFIX)) != 0) return PEFT_OK;
    char *copy = strdup(key);
    if (!copy) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", key);
    copy[at - key] = '\0';
    if (peft_adapters_find(plain, copy + strlen(PEFT_MODEL_PREFIX))) {
        free(copy);
        return PEFT_OK;
    }
    copy[at - key] = '.';
    memmove(copy + (at - key) + 1, at + strlen(wrapper), strlen(at + strlen(wrapper)) + 1);
    *renamed = copy;
    return PEFT_OK;
}

static peft_status write_tensors(const peft_adapter_contents *contents, peft_adapters *plain,
                                 const peft_adapter_config *config, const char *output, peft_error *error)
{
    size_t count = contents->num_others;
    peft_file_tensor *others = calloc(count + 1, sizeof *others);
    char **names = calloc(count + 1, sizeof *names);
    peft_adapter_tensors tensors = {0};
    peft_status status = others && names ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", output);
    for (size_t k = 0; k < count && status == PEFT_OK; k++) {
        others[k] = contents->others[k];
        status = rename_other(others[k].name, plain, &names[k], error);
        if (names[k]) others[k].name = names[k];
    }
    if (status == PEFT_OK) status = peft_adapter_tensors_list(&tensors, NULL, plain, error);
    if (status == PEFT_OK)
        status = peft_adapter_write(output,
                                    &(peft_adapter_files){config, &tensors, others, count,
                                                          peft_safetensors_metadata(contents->file, PEFT_BASE_KEY)},
                                    error);
    peft_adapter_tensors_free(&tensors);
    for (size_t k = 0; names && k < count; k++) free(names[k]);
    free(names);
    free(others);
    return status;
}

/* The adapter's settings with another method. What selected its layers may mean others to a LoRA where it is left to
 * the default, and too many where some are left out: then the layers are named. */
static peft_status write_adapter(const peft_adapter_contents *contents, peft_adapters *plain, const char *output,
                                 peft_error *error)
{
    peft_adapter_config config = contents->config;
    config.variant = plain->variant;
    config.options = plain->options;
    json_t *names = NULL;
    if (!config.targets.target_modules || plain->num_layers < contents->adapters->num_layers) {
        names = peft_adapter_modules(plain);
        if (!names) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", output);
        config.targets = (peft_target_options){
            .target_modules = names, .modules_to_save = config.targets.modules_to_save, .bias = config.targets.bias};
    }
    peft_status status = write_tensors(contents, plain, &config, output, error);
    json_decref(names);
    return status;
}

/* How the adapter was trained; its configuration is another now. */
static peft_status copy_run(const char *adapter, const char *output, peft_error *error)
{
    char *from = NULL, *to = NULL;
    json_t *run = NULL;
    peft_status status = peft_path_join(adapter, "run.json", &from, error);
    if (status == PEFT_OK) status = peft_path_join(output, "run.json", &to, error);
    if (status == PEFT_OK && peft_file_exists(from)) status = peft_json_load(from, &run, error);
    if (status == PEFT_OK && run) {
        json_object_del(run, "adapter_config");
        status = peft_json_save(to, run, PEFT_JSON_AS_IS, error);
    }
    json_decref(run);
    free(from);
    free(to);
    return status;
}

/* ---- the report ---- */

static json_t *left_out(const peft_adapters *all, peft_adapters *plain)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < all->num_layers; i++)
        if (!peft_adapters_find(plain, all->layers[i].module))
            json_array_append_new(list, json_string(all->layers[i].module));
    return list;
}

static peft_status add_to_report(json_t *report, const char *folder, const peft_adapters *all, peft_adapters *plain,
                                 peft_error *error)
{
    int64_t smallest = INT64_MAX, largest = 0;
    for (int64_t i = 0; i < plain->num_layers; i++) {
        int64_t rank = plain->layers[i].rank;
        if (rank < smallest) smallest = rank;
        if (rank > largest) largest = rank;
    }
    json_t *entry = json_pack("{s:s, s:I, s:I, s:I, s:o}", "folder", folder, "modules", (json_int_t)plain->num_layers,
                              "smallest_rank", (json_int_t)smallest, "largest_rank", (json_int_t)largest, "left_out",
                              left_out(all, plain));
    if (json_array_append_new(report, entry) == 0) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory for the report", folder);
}

/* ---- both kinds ---- */

typedef struct conversion_run {
    const peft_conversion *conversion;
    const peft_adapter_contents *contents;
    json_t *report;
} conversion_run;

static peft_status write_folder(const conversion_run *r, peft_adapters *plain, const char *folder, peft_error *error)
{
    const char *const sources[] = {r->conversion->adapter, r->conversion->model, NULL};
    peft_status status = peft_output_folder_check_sources(folder, sources, error);
    if (status == PEFT_OK) status = write_adapter(r->contents, plain, folder, error);
    if (status == PEFT_OK) status = copy_run(r->conversion->adapter, folder, error);
    return status == PEFT_OK ? add_to_report(r->report, folder, r->contents->adapters, plain, error) : status;
}

static peft_status write_whole(const conversion_run *r, peft_error *error)
{
    peft_adapters *plain;
    peft_status status = peft_adapters_to_lora(r->contents->adapters, &plain, error);
    if (status == PEFT_OK) status = write_folder(r, plain, r->conversion->output, error);
    peft_adapters_free(plain);
    return status;
}

static peft_status write_expert(const conversion_run *r, int64_t expert, peft_error *error)
{
    char name[32], *folder = NULL;
    peft_adapters *plain;
    snprintf(name, sizeof name, "expert-%" PRId64, expert);
    peft_status status = peft_adapters_expert_to_lora(r->contents->adapters, expert, &plain, error);
    if (status == PEFT_OK) status = peft_path_join(r->conversion->output, name, &folder, error);
    if (status == PEFT_OK) status = write_folder(r, plain, folder, error);
    peft_adapters_free(plain);
    free(folder);
    return status;
}

static peft_status write_experts(const conversion_run *r, peft_error *error)
{
    int64_t count = peft_adapters_num_experts(r->contents->adapters);
    peft_status status = PEFT_OK;
    for (int64_t e = 0; e < count && status == PEFT_OK; e++) status = write_expert(r, e, error);
    return status;
}

static peft_status convert(const peft_conversion *c, check_function *check,
                           peft_status (*write)(const conversion_run *r, peft_error *error), json_t **report,
                           peft_error *error)
{
    peft_adapter_contents contents = {0};
    conversion_run run = {c, &contents, json_array()};
    if (report) *report = NULL;
    if (!run.report) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", c->adapter);
    peft_status status = check_possible(c, check, error);
    if (status == PEFT_OK) status = read_adapter(c, &contents, error);
    if (status == PEFT_OK) status = write(&run, error);
    peft_adapter_contents_free(&contents);
    if (status == PEFT_OK && report) *report = json_incref(run.report);
    json_decref(run.report);
    return status;
}

peft_status peft_convert_to_lora(const peft_conversion *conversion, json_t **report, peft_error *error)
{
    return convert(conversion, check_to_lora, write_whole, report, error);
}

peft_status peft_convert_to_experts(const peft_conversion *conversion, json_t **report, peft_error *error)
{
    return convert(conversion, check_to_experts, write_experts, report, error);
}
