/* peft/generator_save.c - writing the folder of generator.h. */
#include <stdlib.h>

#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "peft/adapter_folder.h"
#include "peft/generator_format.h"
#include "peft/output_folder.h"

static json_t *list_layers(const peft_adapters *adapters)
{
    json_t *list = json_array();
    for (int64_t i = 0; list && i < adapters->num_layers; i++) {
        const peft_adapter *a = &adapters->layers[i];
        json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "module", a->module, "in_features",
                                              (json_int_t)a->in_features, "out_features", (json_int_t)a->out_features));
    }
    return list;
}

static json_t *list_kinds(const peft_places *places)
{
    json_t *list = json_array();
    for (int64_t k = 0; list && k < places->num_kinds; k++)
        json_array_append_new(list, json_string(places->kinds[k].name));
    return list;
}

static json_t *list_tasks(const peft_generator_about *about)
{
    json_t *list = json_array();
    for (int64_t k = 0; list && k < about->num_tasks; k++)
        json_array_append_new(
            list, json_pack("{s:s, s:s}", "name", about->tasks[k].name, "description", about->tasks[k].description));
    return list;
}

static json_t *describe(const peft_t2l *net, const peft_generator_about *about)
{
    return json_pack("{s:s, s:i, s:o, s:I, s:o, s:o, s:s?, s:o}", "kind", PEFT_GENERATOR_KIND, "version",
                     PEFT_GENERATOR_VERSION, "network", peft_options_to_json(peft_t2l_option_table, &net->options),
                     "vector_size", (json_int_t)net->vector_size, "kinds", list_kinds(&net->places), "layers",
                     list_layers(net->places.adapters), "encoder", about->encoder, "tasks", list_tasks(about));
}

static peft_status write_document(const char *path, const peft_t2l *net, const peft_generator_about *about,
                                  peft_error *error)
{
    json_t *document = describe(net, about);
    peft_status status = document ? peft_json_save(path, document, PEFT_JSON_AS_IS, error)
                                  : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    json_decref(document);
    return status;
}

static peft_status write_vectors(const char *path, const peft_t2l *net, const peft_generator_about *about,
                                 peft_error *error)
{
    static const peft_key_value metadata[] = {{"format", "pt"}, {PEFT_CHECKSUM_KEY, NULL}};
    const peft_file_tensor tensor = {.name = "vectors",
                                     .dtype = PEFT_F32,
                                     .shape = peft_shape_2(about->num_tasks, net->vector_size),
                                     .data = about->vectors,
                                     .bytes = (size_t)(about->num_tasks * net->vector_size) * sizeof(float)};
    return peft_safetensors_write(path, &tensor, 1, metadata, 2, error);
}

/* Files of some adapters hold what was subtracted from the base, too, which differs from task to task. */
static peft_status check_whole(const peft_adapters *adapters, peft_error *error)
{
    peft_adapters *smaller = NULL;
    peft_status status = peft_adapters_compact(adapters, &smaller, error);
    if (status == PEFT_OK && smaller)
        status = peft_fail(error, PEFT_ERR_UNSUPPORTED,
                           "%s: files of this adapter hold other values than those which are trained, so that none can "
                           "be made from these; take another --init",
                           adapters->variant->name);
    peft_adapters_free(smaller);
    return status;
}

typedef struct paths {
    char *adapter, *values, *vectors, *document;
} paths;

static peft_status name_paths(paths *p, const char *folder, peft_error *error)
{
    peft_status status = peft_path_join(folder, PEFT_GENERATOR_ADAPTER, &p->adapter, error);
    if (status == PEFT_OK) status = peft_path_join(folder, PEFT_GENERATOR_VALUES, &p->values, error);
    if (status == PEFT_OK) status = peft_path_join(folder, PEFT_GENERATOR_VECTORS, &p->vectors, error);
    return status == PEFT_OK ? peft_path_join(folder, PEFT_GENERATOR_DOCUMENT, &p->document, error) : status;
}

peft_status peft_generator_save(const char *folder, const peft_t2l *net, peft_model *model,
                                const peft_target_options *targets, const peft_generator_about *about,
                                peft_error *error)
{
    paths p = {0};
    peft_status status = check_whole(net->places.adapters, error);
    if (status == PEFT_OK) status = name_paths(&p, folder, error);
    if (status == PEFT_OK) status = peft_output_folder_prepare(folder, error);
    if (status == PEFT_OK)
        status = about->like ? peft_adapter_write_like(about->like, p.adapter, error)
                             : peft_adapter_save(model, net->places.adapters, targets, p.adapter, error);
    if (status == PEFT_OK && about->vectors) status = write_vectors(p.vectors, net, about, error);
    if (status == PEFT_OK) status = peft_value_set_save(&net->set, p.values, error);
    if (status == PEFT_OK) status = write_document(p.document, net, about, error);
    free(p.adapter);
    free(p.values);
    free(p.vectors);
    free(p.document);
    return status;
}
