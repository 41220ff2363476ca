#include "peft/library_folder.h"

#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "variants/module_name.h"

typedef struct opening {
    peft_library_folder *folder;
    const char *path;
    char *document; /* path of library.json */
    json_t *tasks;
    peft_layer *layers; /* of the first adapter */
} opening;

/* ---- library.json ---- */

static int64_t count_descriptions(const json_t *task)
{
    const json_t *list = json_object_get(task, "descriptions");
    return json_is_array(list) ? (int64_t)json_array_size(list) : 1;
}

static const char *description_at(const json_t *task, int64_t index)
{
    const json_t *list = json_object_get(task, "descriptions");
    const json_t *one =
        json_is_array(list) ? json_array_get(list, (size_t)index) : json_object_get(task, "description");
    return peft_json_is_text(one) ? json_string_value(one) : NULL;
}

static peft_status take_task(const opening *o, int64_t index, peft_error *error)
{
    peft_library_folder *f = o->folder;
    const json_t *task = json_array_get(o->tasks, (size_t)index);
    const int64_t count = count_descriptions(task);
    const char *name = NULL, *adapter = NULL;
    char where[64];
    snprintf(where, sizeof where, "library.json: tasks[%lld]", (long long)index);
    peft_status status =
        json_is_object(task) ? PEFT_OK : peft_fail(error, PEFT_ERR_FORMAT, "%s: expected an object", where);
    if (status == PEFT_OK) status = peft_json_string(task, "name", &name, where, error);
    if (status == PEFT_OK) status = peft_json_string(task, "adapter", &adapter, where, error);
    if (status != PEFT_OK) return peft_fail_in(error, status, o->path);
    if (!name || !adapter || count == 0 || !description_at(task, 0))
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: %s: expected name, adapter and descriptions", o->path, where);
    f->tasks[index] = (peft_generator_task){name, description_at(task, 0)};
    for (int64_t d = 0; d < count; d++) {
        if (!description_at(task, d))
            return peft_fail(error, PEFT_ERR_FORMAT, "%s: %s: descriptions[%lld]: expected a text", o->path, where,
                             (long long)d);
        f->tasks_of[f->num_descriptions] = (uint32_t)index;
        f->descriptions[f->num_descriptions++] = description_at(task, d);
    }
    return PEFT_OK;
}

static peft_status read_document(opening *o, peft_error *error)
{
    enum { MOST = 1 << 20 };
    peft_library_folder *f = o->folder;
    int64_t descriptions = 0;
    peft_status status = peft_path_join(o->path, "library.json", &o->document, error);
    if (status == PEFT_OK) status = peft_json_load(o->document, &f->document, error);
    if (status == PEFT_OK && json_is_object(f->document))
        status = peft_json_array(f->document, "tasks", &o->tasks, o->document, error);
    if (status != PEFT_OK) return status;
    const size_t count = json_array_size(o->tasks);
    if (count < 1 || count > MOST)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected {\"tasks\": [...]} with 1 to %d tasks, found %zu",
                         o->document, MOST, count);
    for (size_t k = 0; k < count; k++) descriptions += count_descriptions(json_array_get(o->tasks, k));
    f->tasks = calloc(count, sizeof *f->tasks);
    f->descriptions = calloc((size_t)descriptions + 1, sizeof *f->descriptions);
    f->tasks_of = calloc((size_t)descriptions + 1, sizeof *f->tasks_of);
    if (!f->tasks || !f->descriptions || !f->tasks_of)
        return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", o->document);
    for (size_t k = 0; k < count && status == PEFT_OK; k++) status = take_task(o, (int64_t)k, error);
    return status;
}

/* ---- adapters ---- */

static peft_status path_of(const opening *o, int64_t task, char **path, peft_error *error)
{
    const char *name = json_string_value(json_object_get(json_array_get(o->tasks, (size_t)task), "adapter"));
    return peft_path_join(o->path, name, path, error);
}

static peft_status check_same(const opening *o, const char *path, const peft_adapters *found, peft_error *error)
{
    const peft_adapters *expected = o->folder->first.adapters;
    if (!found || found->variant != expected->variant)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected an adapter of %s, as the first of the library, found %s",
                         path, expected->variant->name, found ? found->variant->name : "a head alone");
    for (int64_t i = 0; i < expected->num_layers; i++) {
        const peft_adapter *a = &expected->layers[i], *b = &found->layers[i];
        if (a->scaling < b->scaling || a->scaling > b->scaling)
            return peft_fail(error, PEFT_ERR_FORMAT,
                             "%s: %s: expected the scale %g, as in the first of the library, "
                             "found %g",
                             path, a->module, a->scaling, b->scaling);
    }
    if (found->set.num_trained != expected->set.num_trained)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: has other tensors than the first of the library", path);
    return PEFT_OK;
}

static peft_status read_first(opening *o, peft_error *error)
{
    peft_library_folder *f = o->folder;
    char *path = NULL;
    peft_status status = path_of(o, 0, &path, error);
    if (status == PEFT_OK) status = peft_adapter_read_with(&f->first, path, NULL, NULL, error);
    if (status == PEFT_OK && !f->first.adapters)
        status = peft_fail(error, PEFT_ERR_FORMAT, "%s: expected an adapter, found a head alone", path);
    if (status == PEFT_OK) status = peft_places_create(&f->places, f->first.adapters, error);
    if (status == PEFT_OK)
        status = peft_library_create(&f->library, &f->places, (int64_t)json_array_size(o->tasks), error);
    free(path);
    if (status != PEFT_OK) return status;
    const peft_adapters *all = f->first.adapters;
    o->layers = calloc((size_t)all->num_layers, sizeof *o->layers);
    if (!o->layers) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", o->path);
    for (int64_t i = 0; i < all->num_layers; i++)
        o->layers[i] = (peft_layer){all->layers[i].module, all->layers[i].in_features, all->layers[i].out_features};
    peft_library_put(&f->library, 0);
    return PEFT_OK;
}

static bool holds_alike(const peft_adapter_contents *contents, const peft_file_tensor *tensor)
{
    for (size_t k = 0; k < contents->num_others; k++) {
        const peft_file_tensor *other = &contents->others[k];
        if (strcmp(other->name, tensor->name) == 0)
            return other->dtype == tensor->dtype && peft_shape_equal(&other->shape, &tensor->shape) &&
                   memcmp(other->data, tensor->data, tensor->bytes) == 0;
    }
    return false;
}

/* A head that each adapter was trained with is no part of what a generator makes. */
static void keep_alike(peft_library_folder *f, const peft_adapter_contents *contents)
{
    size_t kept = 0;
    for (size_t k = 0; k < f->first.num_others; k++)
        if (holds_alike(contents, &f->first.others[k])) f->first.others[kept++] = f->first.others[k];
    f->num_left_out += f->first.num_others - kept;
    f->first.num_others = kept;
}

/* Names in modules_to_save that mean a tensor which is left. */
static peft_status keep_names(peft_library_folder *f, peft_error *error)
{
    json_t **saved = &f->first.config.targets.modules_to_save, *name, *kept = json_array();
    size_t k;
    if (!kept) return peft_fail(error, PEFT_ERR_MEMORY, "library: out of memory");
    json_array_foreach(*saved, k, name)
    {
        bool used = false;
        for (size_t i = 0; i < f->first.num_others; i++)
            used = used || peft_module_lies_in(f->first.others[i].name, json_string_value(name));
        if (used) json_array_append(kept, name);
    }
    json_decref(*saved);
    *saved = kept;
    return PEFT_OK;
}

static peft_status read_other(const opening *o, int64_t task, peft_error *error)
{
    peft_library_folder *f = o->folder;
    peft_adapter_contents contents = {0};
    char *path = NULL;
    peft_status status = path_of(o, task, &path, error);
    if (status == PEFT_OK)
        status = peft_adapter_read_layers(&contents, path, o->layers, f->first.adapters->num_layers, NULL, error);
    if (status == PEFT_OK) status = check_same(o, path, contents.adapters, error);
    if (status == PEFT_OK) keep_alike(f, &contents);
    if (status == PEFT_OK)
        memcpy(f->library.values + task * f->library.num_values, contents.adapters->set.memory,
               (size_t)f->library.num_values * sizeof(float));
    peft_adapter_contents_free(&contents);
    free(path);
    return status;
}

peft_status peft_library_folder_open(peft_library_folder *folder, const char *path, peft_error *error)
{
    *folder = (peft_library_folder){0};
    opening o = {.folder = folder, .path = path};
    peft_status status = read_document(&o, error);
    if (status == PEFT_OK) status = read_first(&o, error);
    for (int64_t task = 1; status == PEFT_OK && task < folder->library.num_tasks; task++)
        status = read_other(&o, task, error);
    if (status == PEFT_OK && folder->num_left_out) status = keep_names(folder, error);
    free(o.layers);
    free(o.document);
    if (status != PEFT_OK) peft_library_folder_close(folder);
    return status;
}

void peft_library_folder_close(peft_library_folder *folder)
{
    peft_library_free(&folder->library);
    peft_places_free(&folder->places);
    peft_adapter_contents_free(&folder->first);
    free(folder->tasks);
    free(folder->descriptions);
    free(folder->tasks_of);
    json_decref(folder->document);
    *folder = (peft_library_folder){0};
}
