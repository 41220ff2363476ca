#include "peft/adapter_file.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/name_list.h"

/* ---- sub-folders ---- */

static bool holds_adapter(const char *folder, const char *name)
{
    char *path;
    bool holds = false;
    if (*name == '.' || peft_path_join(folder, name, &path, NULL) != PEFT_OK) return false;
    peft_file_exists_in(path, "adapter_config.json", &holds, NULL);
    free(path);
    return holds;
}

/* Those that are adapters, sorted. */
static void list_adapters(const char *folder, peft_name_list *names)
{
    struct dirent **entries;
    int total = scandir(folder, &entries, NULL, alphasort);
    for (int k = 0; k < total; k++) {
        if (holds_adapter(folder, entries[k]->d_name)) peft_name_list_add(names, entries[k]->d_name);
        free(entries[k]);
    }
    if (total >= 0) free(entries);
}

/* ---- the files ---- */

peft_status peft_fail_parent(const char *folder, peft_error *error)
{
    peft_name_list names = {.room = PEFT_MESSAGE_BYTES / 4};
    list_adapters(folder, &names);
    if (!names.count) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_FILE,
                     "%s: holds no adapter itself, but sub-folders that are adapters: %s; give one "
                     "of them",
                     folder, names.text);
}

peft_status peft_adapter_config_open(peft_adapter_config *config, const char *folder, const peft_load_options *options,
                                     peft_error *error)
{
    char *path;
    *config = (peft_adapter_config){0};
    peft_status status = peft_path_join(folder, "adapter_config.json", &path, error);
    if (status == PEFT_OK && !peft_file_exists(path)) status = peft_fail_parent(folder, error);
    if (status == PEFT_OK) status = peft_adapter_config_load(config, path, options, error);
    free(path);
    return status;
}

static peft_status fail_pickle(const char *folder, peft_error *error)
{
    bool pickle;
    peft_status status = peft_file_exists_in(folder, "adapter_model.bin", &pickle, error);
    if (status != PEFT_OK || !pickle) return status;
    return peft_fail(error, PEFT_ERR_UNSUPPORTED,
                     "%s: has adapter_model.bin alone, a pickle, which is not read since it can run programs; load and "
                     "save it with a PEFT of today, which writes adapter_model.safetensors",
                     folder);
}

peft_status peft_adapter_file_open(peft_safetensors **file, const char *folder, peft_error *error)
{
    char *path = NULL;
    *file = NULL;
    peft_status status = peft_path_join(folder, "adapter_model.safetensors", &path, error);
    if (status == PEFT_OK && !peft_file_exists(path)) status = fail_pickle(folder, error);
    if (status == PEFT_OK && !peft_file_exists(path)) status = peft_fail_parent(folder, error);
    if (status == PEFT_OK) status = peft_safetensors_open(path, file, error);
    free(path);
    if (status == PEFT_OK) status = peft_safetensors_verify(*file, error);
    if (status == PEFT_OK) return PEFT_OK;
    peft_safetensors_close(*file);
    *file = NULL;
    return status;
}
