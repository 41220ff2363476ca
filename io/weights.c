#include "io/weights.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"

struct peft_weights {
    peft_safetensors **files;
    size_t num_files;
    const peft_file_tensor **tensors; /* of all files, by name */
    size_t count;
};

static peft_status new_files(peft_weights *weights, size_t room, const char *path, peft_error *error)
{
    weights->files = calloc(room, sizeof *weights->files);
    return weights->files ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
}

static peft_status add_file(peft_weights *weights, const char *path, peft_error *error)
{
    peft_safetensors **file = &weights->files[weights->num_files];
    peft_status status = peft_safetensors_open(path, file, error);
    if (status != PEFT_OK) return status;
    weights->num_files++;
    return peft_safetensors_verify(*file, error);
}

static peft_status open_single(peft_weights *weights, const char *folder, const char *path, peft_error *error)
{
    (void)folder;
    peft_status status = new_files(weights, 1, path, error);
    return status ? status : add_file(weights, path, error);
}

static peft_status refuse_pickle(peft_weights *weights, const char *folder, const char *path, peft_error *error)
{
    (void)weights;
    return peft_fail(error, PEFT_ERR_UNSUPPORTED,
                     "%s: pickle files can run any program and are not read; convert it to %s/model.safetensors", path,
                     folder);
}

/* ---- shards ---- */

/* A name that stays in the folder and is not another kind of file. */
static bool is_shard_name(const char *name)
{
    static const char suffix[] = ".safetensors";
    size_t length = strlen(name), tail = sizeof suffix - 1;
    return length > tail && strcmp(name + length - tail, suffix) == 0 && !strpbrk(name, "/\\") && !strstr(name, "..");
}

static const char *shard_name(const peft_safetensors *file)
{
    const char *path = peft_safetensors_path(file), *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static const peft_safetensors *find_shard(const peft_weights *weights, const char *name)
{
    for (size_t i = 0; i < weights->num_files; i++)
        if (strcmp(shard_name(weights->files[i]), name) == 0) return weights->files[i];
    return NULL;
}

static peft_status open_shard(peft_weights *weights, const char *folder, const char *name, peft_error *error)
{
    char *path;
    peft_status status = peft_path_join(folder, name, &path, error);
    if (status == PEFT_OK) status = add_file(weights, path, error);
    free(path);
    return status;
}

/* Opens the shards that the index names. */
static peft_status open_shards(peft_weights *weights, json_t *map, const char *folder, const char *path,
                               peft_error *error)
{
    char found[PEFT_JSON_TEXT];
    const char *tensor;
    json_t *value;
    peft_status status = new_files(weights, json_object_size(map) + 1, path, error);
    json_object_foreach(map, tensor, value)
    {
        const char *name = json_string_value(value);
        if (status) break;
        if (!name || !is_shard_name(name))
            status = peft_fail(error, PEFT_ERR_FORMAT,
                               "%s: weight_map: %s: expected the name of a .safetensors file in this folder, found %s",
                               path, tensor, peft_json_text(value, found));
        else if (!find_shard(weights, name))
            status = open_shard(weights, folder, name, error);
    }
    return status;
}

/* Every tensor that the index names lies in its shard. */
static peft_status check_mapped(const peft_weights *weights, json_t *map, const char *path, peft_error *error)
{
    const char *tensor;
    json_t *value;
    json_object_foreach(map, tensor, value)
    {
        const peft_safetensors *shard = find_shard(weights, json_string_value(value));
        if (!peft_safetensors_find(shard, tensor))
            return peft_fail(error, PEFT_ERR_FORMAT, "%s: weight_map: %s: expected in %s, found no such tensor there",
                             path, tensor, json_string_value(value));
    }
    return PEFT_OK;
}

/* Every tensor of a shard is one that the index names there, which also means that no two shards have it. */
static peft_status check_shard(const peft_safetensors *shard, json_t *map, const char *path, peft_error *error)
{
    for (size_t i = 0; i < peft_safetensors_count(shard); i++) {
        const char *tensor = peft_safetensors_at(shard, i)->name;
        const char *mapped = json_string_value(json_object_get(map, tensor));
        if (!mapped || strcmp(mapped, shard_name(shard)) != 0)
            return peft_fail(error, PEFT_ERR_FORMAT, "%s: weight_map: %s: expected in %s, found in %s", path, tensor,
                             mapped ? mapped : "no shard", shard_name(shard));
    }
    return PEFT_OK;
}

static peft_status read_index(peft_weights *weights, json_t *index, const char *folder, const char *path,
                              peft_error *error)
{
    json_t *map = NULL;
    peft_status status = peft_json_object(index, "weight_map", &map, path, error);
    if (status) return status;
    if (json_object_size(map) == 0)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: expected a weight_map of tensors", path);
    status = open_shards(weights, map, folder, path, error);
    for (size_t i = 0; i < weights->num_files && status == PEFT_OK; i++)
        status = check_shard(weights->files[i], map, path, error);
    return status ? status : check_mapped(weights, map, path, error);
}

/* The index's total_size is not compared: published models have it wrong, and each shard's own header is checked. */
static peft_status open_index(peft_weights *weights, const char *folder, const char *path, peft_error *error)
{
    json_t *index;
    peft_status status = peft_json_load(path, &index, error);
    if (status) return status;
    status = read_index(weights, index, folder, path, error);
    json_decref(index);
    return status;
}

/* ---- folders ---- */

/* What may be in a folder, the best first. */
static const struct {
    const char *name;
    peft_status (*open)(peft_weights *weights, const char *folder, const char *path, peft_error *error);
} forms[] = {
    {"model.safetensors", open_single},
    {"model.safetensors.index.json", open_index},
    {"pytorch_model.bin", refuse_pickle},
    {"pytorch_model.bin.index.json", refuse_pickle},
};

/* Opens the folder's weights if they have this form. */
static peft_status try_form(peft_weights *weights, size_t form, const char *folder, bool *found, peft_error *error)
{
    char *path;
    peft_status status = peft_path_join(folder, forms[form].name, &path, error);
    if (status) return status;
    *found = peft_file_exists(path);
    if (*found) status = forms[form].open(weights, folder, path, error);
    free(path);
    return status;
}

static peft_status open_folder(peft_weights *weights, const char *folder, peft_error *error)
{
    bool found = false;
    peft_status status = PEFT_OK;
    for (size_t form = 0; form < sizeof forms / sizeof forms[0] && status == PEFT_OK && !found; form++)
        status = try_form(weights, form, folder, &found, error);
    if (status || found) return status;
    return peft_fail(error, PEFT_ERR_FILE, "%s: expected a model folder, found neither %s nor %s in it", folder,
                     forms[0].name, forms[1].name);
}

static int compare_names(const void *a, const void *b)
{
    const peft_file_tensor *left = *(const peft_file_tensor *const *)a, *right = *(const peft_file_tensor *const *)b;
    return strcmp(left->name, right->name);
}

static peft_status list_tensors(peft_weights *weights, const char *folder, peft_error *error)
{
    size_t total = 0;
    for (size_t i = 0; i < weights->num_files; i++) total += peft_safetensors_count(weights->files[i]);
    weights->tensors = malloc((total + 1) * sizeof *weights->tensors);
    if (!weights->tensors) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", folder);
    for (size_t i = 0; i < weights->num_files; i++)
        for (size_t t = 0; t < peft_safetensors_count(weights->files[i]); t++)
            weights->tensors[weights->count++] = peft_safetensors_at(weights->files[i], t);
    qsort(weights->tensors, weights->count, sizeof *weights->tensors, compare_names);
    return PEFT_OK;
}

peft_status peft_weights_open(const char *folder, peft_weights **weights, peft_error *error)
{
    *weights = NULL;
    peft_weights *opened = calloc(1, sizeof *opened);
    if (!opened) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", folder);
    peft_status status = open_folder(opened, folder, error);
    if (status == PEFT_OK) status = list_tensors(opened, folder, error);
    if (status)
        peft_weights_close(opened);
    else
        *weights = opened;
    return status;
}

void peft_weights_close(peft_weights *weights)
{
    if (!weights) return;
    for (size_t i = 0; i < weights->num_files; i++) peft_safetensors_close(weights->files[i]);
    free(weights->files);
    free(weights->tensors);
    free(weights);
}

void peft_weights_release(const peft_weights *weights)
{
    for (size_t k = 0; k < weights->num_files; k++) peft_safetensors_release(weights->files[k]);
}

size_t peft_weights_count(const peft_weights *weights)
{
    return weights->count;
}

const peft_file_tensor *peft_weights_at(const peft_weights *weights, size_t index)
{
    return weights->tensors[index];
}

const peft_file_tensor *peft_weights_find(const peft_weights *weights, const char *name)
{
    const peft_file_tensor wanted = {.name = name}, *key = &wanted;
    const peft_file_tensor **found =
        bsearch(&key, weights->tensors, weights->count, sizeof *weights->tensors, compare_names);
    return found ? *found : NULL;
}

size_t peft_weights_num_files(const peft_weights *weights)
{
    return weights->num_files;
}

const char *peft_weights_path(const peft_weights *weights, size_t index)
{
    return peft_safetensors_path(weights->files[index]);
}
