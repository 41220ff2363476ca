#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "peft/sentence.h"

/* Names come from a file: none may lead out of the folder. */
static peft_status copy_module(const char *dir, const char *folder, const char *name, peft_error *error)
{
    char *from = NULL, *to = NULL;
    if (*name == '.' || strchr(name, '/'))
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: modules.json: path %s: expected a folder of its own", dir,
                         name);
    peft_status status = peft_path_join(dir, name, &from, error);
    if (status == PEFT_OK) status = peft_path_join(folder, name, &to, error);
    if (status == PEFT_OK) status = peft_make_directories(to, error);
    if (status == PEFT_OK) status = peft_file_copy_in(from, to, "config.json", error);
    if (status == PEFT_OK) status = peft_file_copy_in(from, to, "model.safetensors", error);
    free(from);
    free(to);
    return status;
}

static peft_status copy_modules(const char *dir, const char *folder, const char *path, peft_error *error)
{
    json_t *modules = NULL;
    peft_status status = peft_json_load(path, &modules, error);
    for (size_t k = 0; status == PEFT_OK && k < json_array_size(modules); k++) {
        const char *name = json_string_value(json_object_get(json_array_get(modules, k), "path"));
        if (name && *name) status = copy_module(dir, folder, name, error);
    }
    json_decref(modules);
    return status;
}

peft_status peft_sentence_copy(const char *dir, const char *folder, peft_error *error)
{
    static const char *const names[] = {"modules.json", "config_sentence_transformers.json",
                                        "sentence_bert_config.json", "sentence_roberta_config.json",
                                        "sentence_distilbert_config.json"};
    char *path = NULL;
    peft_status status = peft_path_join(dir, "modules.json", &path, error);
    if (status == PEFT_OK && peft_file_exists(path)) {
        status = copy_modules(dir, folder, path, error);
        for (size_t k = 0; status == PEFT_OK && k < sizeof names / sizeof names[0]; k++)
            status = peft_file_copy_in(dir, folder, names[k], error);
    }
    free(path);
    return status;
}
