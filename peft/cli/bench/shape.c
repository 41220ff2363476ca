#include "peft/cli/bench/shape.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "models/random.h"

/* name, layers, hidden_size, heads, intermediate_size */
#define SHAPE_LIST(X)                                                                                                  \
    X("minilm", 6, 384, 12, 1536)                                                                                      \
    X("bert-base", 12, 768, 12, 3072)

static const peft_bench_shape shapes[] = {
#define X(name, layers, hidden, heads, intermediate) {name, layers, hidden, heads, intermediate},
    SHAPE_LIST(X)
#undef X
};
enum { NUM_SHAPES = sizeof shapes / sizeof *shapes };

const char *const peft_bench_shape_names[] = {
#define X(name, layers, hidden, heads, intermediate) name,
    SHAPE_LIST(X)
#undef X
        NULL};

const peft_bench_shape *peft_bench_shape_at(size_t index)
{
    return index < NUM_SHAPES ? &shapes[index] : NULL;
}

const peft_bench_shape *peft_bench_shape_find(const char *name)
{
    for (size_t k = 0; k < NUM_SHAPES; k++)
        if (strcmp(shapes[k].name, name) == 0) return &shapes[k];
    return NULL;
}

static json_t *config_of(const peft_bench_shape *shape, int64_t layers)
{
    const json_int_t vocab_size = 30522, positions = 512;
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:i}", "model_type", "bert", "vocab_size", vocab_size,
                     "hidden_size", (json_int_t)shape->hidden, "num_hidden_layers",
                     (json_int_t)(layers ? layers : shape->layers), "num_attention_heads", (json_int_t)shape->heads,
                     "intermediate_size", (json_int_t)shape->intermediate, "max_position_embeddings", positions,
                     "type_vocab_size", 2);
}

static peft_status make_folder(char **folder, peft_error *error)
{
    const char *parent = getenv("TMPDIR");
    peft_status status = peft_path_join(parent && *parent ? parent : "/tmp", "peft-bench-XXXXXX", folder, error);
    if (status != PEFT_OK || mkdtemp(*folder)) return status;
    status = peft_fail(error, PEFT_ERR_FILE, "%s: cannot be made: %s", *folder, strerror(errno));
    free(*folder);
    *folder = NULL;
    return status;
}

peft_status peft_bench_shape_write(const peft_bench_shape *shape, int64_t layers, char **folder, peft_error *error)
{
    *folder = NULL;
    json_t *config = config_of(shape, layers);
    if (!config) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", shape->name);
    peft_status status = make_folder(folder, error);
    if (status == PEFT_OK) status = peft_random_model_write(*folder, config, 0, error);
    json_decref(config);
    if (status == PEFT_OK) return PEFT_OK;
    peft_bench_shape_remove(*folder);
    *folder = NULL;
    return status;
}

void peft_bench_shape_remove(char *folder)
{
    static const char *const files[] = {"config.json", "model.safetensors"};
    if (!folder) return;
    for (size_t k = 0; k < sizeof files / sizeof *files; k++) {
        char *path = NULL;
        if (peft_path_join(folder, files[k], &path, NULL) == PEFT_OK) unlink(path);
        free(path);
    }
    rmdir(folder);
    free(folder);
}
