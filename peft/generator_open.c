/* peft/generator_open.c - reading the folder of generator.h. */
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "peft/generator_format.h"

enum { MAX_LAYERS = 1 << 16, MAX_VECTOR = 1 << 20, MAX_FEATURES = 1 << 28 };

typedef struct opening {
    peft_generator *generator;
    const char *folder;
    char *path; /* of generator.json */
    peft_t2l_options options;
    int64_t vector_size;
    peft_layer *layers;
    int64_t num_layers;
} opening;

/* ---- generator.json ---- */

static peft_status check_kind(const opening *o, peft_error *error)
{
    const char *kind = "";
    int64_t version = 0;
    peft_status status = peft_json_string(o->generator->document, "kind", &kind, o->path, error);
    if (status == PEFT_OK)
        status = peft_json_int(o->generator->document, "version", 1, 1 << 20, &version, o->path, error);
    if (status != PEFT_OK) return status;
    if (strcmp(kind, PEFT_GENERATOR_KIND) != 0)
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "%s: kind: expected \"" PEFT_GENERATOR_KIND "\", found \"%s\"",
                         o->path, kind);
    if (version != PEFT_GENERATOR_VERSION)
        return peft_fail(error, PEFT_ERR_UNSUPPORTED,
                         "%s: version: expected %d, found %lld; it was written by another "
                         "version of this program",
                         o->path, PEFT_GENERATOR_VERSION, (long long)version);
    return PEFT_OK;
}

static peft_status read_network(opening *o, peft_error *error)
{
    json_t *network = NULL, *value;
    const char *key;
    peft_status status = peft_json_object(o->generator->document, "network", &network, o->path, error);
    if (status == PEFT_OK && !network)
        status = peft_fail(error, PEFT_ERR_FORMAT, "%s: network: expected an object, found nothing", o->path);
    json_object_foreach(network, key, value)
    {
        if (status != PEFT_OK) return status;
        status = peft_options_set_json(peft_t2l_option_table, &o->options, key, value, error);
        if (status != PEFT_OK) return peft_fail_in(error, status, o->path);
    }
    if (status == PEFT_OK)
        status = peft_json_int(o->generator->document, "vector_size", 1, MAX_VECTOR, &o->vector_size, o->path, error);
    if (status == PEFT_OK && o->vector_size == 0)
        status =
            peft_fail(error, PEFT_ERR_FORMAT, "%s: vector_size: expected a number from 1 on, found nothing", o->path);
    return status;
}

static peft_status read_layer(opening *o, const json_t *entry, peft_error *error)
{
    peft_layer *layer = &o->layers[o->num_layers];
    peft_status status = peft_json_string(entry, "module", &layer->module, o->path, error);
    if (status == PEFT_OK)
        status = peft_json_int(entry, "in_features", 1, MAX_FEATURES, &layer->in_features, o->path, error);
    if (status == PEFT_OK)
        status = peft_json_int(entry, "out_features", 1, MAX_FEATURES, &layer->out_features, o->path, error);
    if (status == PEFT_OK && (!layer->module || !layer->in_features || !layer->out_features))
        status = peft_fail(error, PEFT_ERR_FORMAT,
                           "%s: layers[%lld]: expected an object with module, in_features and out_features", o->path,
                           (long long)o->num_layers);
    o->num_layers++;
    return status;
}

static peft_status read_layers(opening *o, peft_error *error)
{
    json_t *list = NULL, *entry;
    size_t k;
    peft_status status = peft_json_array(o->generator->document, "layers", &list, o->path, error);
    if (status != PEFT_OK) return status;
    if (json_array_size(list) < 1 || json_array_size(list) > MAX_LAYERS)
        return peft_fail(error, PEFT_ERR_FORMAT, "%s: layers: expected a list of 1 to %d, found %zu", o->path,
                         MAX_LAYERS, json_array_size(list));
    o->layers = calloc(json_array_size(list), sizeof *o->layers);
    if (!o->layers) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", o->path);
    json_array_foreach(list, k, entry)
    {
        status = read_layer(o, entry, error);
        if (status != PEFT_OK) return status;
    }
    return PEFT_OK;
}

static peft_status read_tasks(opening *o, peft_error *error)
{
    peft_generator *g = o->generator;
    json_t *list = NULL, *entry;
    size_t k;
    const char *encoder = NULL;
    peft_status status = peft_json_array(g->document, "tasks", &list, o->path, error);
    if (status == PEFT_OK) status = peft_json_string(g->document, "encoder", &encoder, o->path, error);
    if (status != PEFT_OK) return status;
    g->encoder = encoder ? strdup(encoder) : NULL;
    g->tasks = calloc(json_array_size(list) + 1, sizeof *g->tasks);
    if (!g->tasks || (encoder && !g->encoder)) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", o->path);
    json_array_foreach(list, k, entry)
    {
        peft_generator_task *task = &g->tasks[g->num_tasks++];
        *task = (peft_generator_task){"", ""};
        status = peft_json_string(entry, "name", &task->name, o->path, error);
        if (status == PEFT_OK) status = peft_json_string(entry, "description", &task->description, o->path, error);
        if (status != PEFT_OK) return status;
    }
    return PEFT_OK;
}

static peft_status read_document(opening *o, peft_error *error)
{
    peft_status status = peft_path_join(o->folder, PEFT_GENERATOR_DOCUMENT, &o->path, error);
    if (status == PEFT_OK && !peft_file_exists(o->path))
        status = peft_fail(error, PEFT_ERR_FILE,
                           "%s: has no " PEFT_GENERATOR_DOCUMENT "; is it the folder of a generator?", o->folder);
    if (status == PEFT_OK) status = peft_json_load(o->path, &o->generator->document, error);
    if (status == PEFT_OK && !json_is_object(o->generator->document))
        status = peft_fail(error, PEFT_ERR_FORMAT, "%s: expected an object", o->path);
    if (status == PEFT_OK) status = check_kind(o, error);
    if (status == PEFT_OK) status = read_network(o, error);
    if (status == PEFT_OK) status = read_layers(o, error);
    return status == PEFT_OK ? read_tasks(o, error) : status;
}

/* ---- the rest ---- */

static peft_status read_adapter(opening *o, peft_error *error)
{
    char *folder = NULL;
    peft_status status = peft_path_join(o->folder, PEFT_GENERATOR_ADAPTER, &folder, error);
    if (status == PEFT_OK)
        status = peft_adapter_read_layers(&o->generator->start, folder, o->layers, o->num_layers, NULL, error);
    if (status == PEFT_OK && !o->generator->start.adapters)
        status = peft_fail(error, PEFT_ERR_FORMAT, "%s: expected an adapter, found a head alone", folder);
    free(folder);
    return status;
}

/* The order in which a network knows the kinds is stored, and has to be that of the layers. */
static peft_status check_kinds(const opening *o, peft_error *error)
{
    const peft_places *places = &o->generator->net.places;
    json_t *list = NULL;
    peft_status status = peft_json_array(o->generator->document, "kinds", &list, o->path, error);
    bool same = (int64_t)json_array_size(list) == places->num_kinds;
    for (int64_t k = 0; same && k < places->num_kinds; k++) {
        const char *name = json_string_value(json_array_get(list, (size_t)k));
        same = name && strcmp(name, places->kinds[k].name) == 0;
    }
    if (status == PEFT_OK && !same)
        status = peft_fail(error, PEFT_ERR_FORMAT, "%s: kinds: are not those of the layers, in their order", o->path);
    return status;
}

/* Numbers in generator.json cost nothing before the file bears them out. */
static peft_status check_size(const opening *o, const char *path, peft_error *error)
{
    enum { OFF = 1 << 20 }; /* less than that, and the tensor that does not fit is named */
    int64_t expected, found = 0;
    peft_safetensors *file;
    peft_status status = peft_t2l_measure(&o->options, o->generator->start.adapters, o->vector_size, &expected, error);
    if (status == PEFT_OK) status = peft_safetensors_open(path, &file, error);
    if (status != PEFT_OK) return status;
    for (size_t k = 0; k < peft_safetensors_count(file); k++)
        found += peft_shape_count(&peft_safetensors_at(file, k)->shape);
    peft_safetensors_close(file);
    if (expected <= found || expected - found < OFF) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_FORMAT,
                     "%s: expected %lld numbers, as " PEFT_GENERATOR_DOCUMENT " says, found %lld", path,
                     (long long)expected, (long long)found);
}

static peft_status read_values(opening *o, peft_error *error)
{
    char *path = NULL;
    peft_generator *g = o->generator;
    peft_status status = peft_path_join(o->folder, PEFT_GENERATOR_VALUES, &path, error);
    if (status == PEFT_OK) status = check_size(o, path, error);
    if (status == PEFT_OK) status = peft_t2l_create(&g->net, &o->options, g->start.adapters, o->vector_size, 0, error);
    if (status == PEFT_OK) status = check_kinds(o, error);
    if (status == PEFT_OK) status = peft_value_set_load(&g->net.set, path, error);
    if (status == PEFT_OK) peft_t2l_get_model(&g->net);
    free(path);
    return status;
}

static peft_status read_vectors(opening *o, const char *path, peft_error *error)
{
    peft_generator *g = o->generator;
    peft_safetensors *file = NULL;
    const peft_shape expected = peft_shape_2(g->num_tasks, g->net.vector_size);
    peft_status status = peft_safetensors_open(path, &file, error);
    if (status == PEFT_OK) status = peft_safetensors_verify(file, error);
    const peft_file_tensor *tensor = status == PEFT_OK ? peft_safetensors_find(file, "vectors") : NULL;
    if (status == PEFT_OK && (!tensor || !peft_shape_equal(&tensor->shape, &expected))) {
        char text[PEFT_SHAPE_TEXT];
        status = peft_fail(error, PEFT_ERR_FORMAT,
                           "%s: expected a tensor vectors %s, one for each task of " PEFT_GENERATOR_DOCUMENT, path,
                           peft_shape_text(&expected, text));
    }
    if (status == PEFT_OK) {
        g->vectors = malloc(tensor->bytes * 4 + 1);
        status = g->vectors ? peft_file_tensor_read_finite(tensor, g->vectors, error)
                            : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    }
    peft_safetensors_close(file);
    return status;
}

static peft_status read_all(opening *o, peft_error *error)
{
    char *path = NULL;
    peft_status status = read_document(o, error);
    if (status == PEFT_OK) status = read_adapter(o, error);
    if (status == PEFT_OK) status = read_values(o, error);
    if (status == PEFT_OK) status = peft_path_join(o->folder, PEFT_GENERATOR_VECTORS, &path, error);
    if (status == PEFT_OK && peft_file_exists(path)) status = read_vectors(o, path, error);
    free(path);
    return status;
}

peft_status peft_generator_open(peft_generator **generator, const char *folder, peft_error *error)
{
    opening o = {.folder = folder};
    *generator = o.generator = calloc(1, sizeof **generator);
    peft_status status = o.generator ? peft_options_init(peft_t2l_option_table, &o.options, error)
                                     : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", folder);
    if (status == PEFT_OK) status = read_all(&o, error);
    peft_options_free(peft_t2l_option_table, &o.options);
    free(o.layers);
    free(o.path);
    if (status == PEFT_OK) return status;
    peft_generator_close(*generator);
    *generator = NULL;
    return status;
}

void peft_generator_close(peft_generator *generator)
{
    if (!generator) return;
    peft_t2l_free(&generator->net);
    peft_adapter_contents_free(&generator->start);
    json_decref(generator->document);
    free(generator->encoder);
    free(generator->tasks);
    free(generator->vectors);
    free(generator);
}

int64_t peft_generator_vector_size(const peft_generator *generator)
{
    return generator->net.vector_size;
}

const char *peft_generator_encoder(const peft_generator *generator)
{
    return generator->encoder;
}

const peft_t2l *peft_generator_network(const peft_generator *generator)
{
    return &generator->net;
}

peft_adapters *peft_generator_adapters(peft_generator *generator)
{
    return generator->start.adapters;
}

const peft_generator_task *peft_generator_task_at(const peft_generator *generator, int64_t index)
{
    return index >= 0 && index < generator->num_tasks ? &generator->tasks[index] : NULL;
}
