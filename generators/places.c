#include "generators/places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "variants/module_name.h"

static peft_status no_memory(peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "generator: out of memory for its places");
}

/* ---- tensors ---- */

/* As the official files have it: "A" for lora_A.weight. */
static const char *short_name(peft_arena *memory, const char *value)
{
    static const char prefix[] = "lora_", suffix[] = ".weight";
    if (strncmp(value, prefix, sizeof prefix - 1) == 0) value += sizeof prefix - 1;
    size_t length = strlen(value), tail = sizeof suffix - 1;
    if (length > tail && strcmp(value + length - tail, suffix) == 0) length -= tail;
    char *name = peft_arena_take(memory, length + 1);
    if (name) memcpy(name, value, length);
    for (char *dot = name; dot && (dot = strchr(dot, '.'));) *dot = '_';
    return name;
}

/* A vector, also one written as [n, 1] or [1, n], is one row; of the up side, the last two dimensions change places. */
static void set_rows(peft_place_tensor *t, peft_role role)
{
    int32_t last = t->shape.ndim - 1;
    int64_t columns = last < 0 ? 1 : t->shape.size[last];
    t->transposed = role == PEFT_ROLE_UP && last >= 1;
    if (t->transposed) columns = t->shape.size[last - 1];
    if (!t->transposed && columns == 1) columns = t->count;
    t->columns = columns;
    t->rows = t->count / columns;
}

static bool set_tensor(peft_place_tensor *t, peft_arena *memory, const peft_value_spec *spec, int32_t index)
{
    *t = (peft_place_tensor){.name = short_name(memory, spec->name),
                             .value = spec->name,
                             .shape = spec->shape,
                             .count = peft_shape_count(&spec->shape),
                             .emitted = spec->kind == PEFT_VALUE_TRAINED,
                             .index = index};
    set_rows(t, spec->role);
    return t->name != NULL;
}

/* ---- kinds ---- */

/* So many last parts of a module's name. */
static const char *tail(const char *module, int parts)
{
    for (const char *at = module + strlen(module); at > module; at--)
        if (at[-1] == '.' && --parts == 0) return at;
    return module;
}

/* What is behind the number of the layer, all of it where there is none. */
static const char *within_layer(const char *module)
{
    for (const char *part = module; part; part = strchr(part, '.') ? strchr(part, '.') + 1 : NULL) {
        size_t length = strspn(part, "0123456789");
        if (length > 0 && part[length] == '.') return part + length + 1;
    }
    return module;
}

static bool same_tensors(const peft_adapter *a, const peft_adapter *b)
{
    bool same =
        a->num_values == b->num_values && a->in_features == b->in_features && a->out_features == b->out_features;
    for (int32_t v = 0; same && v < a->num_values; v++)
        same = strcmp(a->values[v].spec.name, b->values[v].spec.name) == 0 &&
               a->values[v].spec.kind == b->values[v].spec.kind &&
               peft_shape_equal(&a->values[v].spec.shape, &b->values[v].spec.shape);
    return same;
}

static const peft_adapter *first_of(const peft_places *p, const peft_place_kind *kind)
{
    return &p->adapters->layers[kind->layers[0]];
}

static peft_place_kind *find_kind(const peft_places *p, const peft_adapter *a)
{
    for (int64_t k = 0; k < p->num_kinds; k++) {
        const peft_adapter *first = first_of(p, &p->kinds[k]);
        if (same_tensors(a, first) && strcmp(within_layer(a->module), within_layer(first->module)) == 0)
            return &p->kinds[k];
    }
    return NULL;
}

static bool add_kind(peft_places *p, const peft_adapter *a)
{
    peft_place_kind *kind = &p->kinds[p->num_kinds++];
    size_t most = (size_t)p->adapters->num_layers;
    kind->in_features = a->in_features;
    kind->out_features = a->out_features;
    kind->layers = peft_arena_take(&p->memory, most * sizeof *kind->layers);
    kind->depths = peft_arena_take(&p->memory, most * sizeof *kind->depths);
    if (!kind->layers || !kind->depths) return false;
    for (int32_t v = 0; v < a->num_values; v++) {
        if (a->values[v].spec.kind == PEFT_VALUE_STATE) continue;
        if (!set_tensor(&kind->tensors[kind->num_tensors], &p->memory, &a->values[v].spec, v)) return false;
        kind->num_tensors++;
    }
    return true;
}

/* ---- names of kinds ---- */

static bool is_taken(const peft_places *p, const peft_place_kind *kind, const char *name)
{
    for (const peft_place_kind *other = p->kinds; other < kind; other++)
        if (strcmp(other->name, name) == 0) return true;
    return false;
}

/* "query"; "output_dense" where "dense" alone would mean several; a number behind it where shapes alone differ. */
static bool name_kind(peft_places *p, peft_place_kind *kind)
{
    const char *within = within_layer(first_of(p, kind)->module);
    size_t bytes = strlen(within) + 24;
    char *name = peft_arena_take(&p->memory, bytes);
    if (!name) return false;
    kind->name = name;
    int parts = 1;
    bool alone = false;
    for (; !alone; parts++) {
        snprintf(name, bytes, "%s", tail(within, parts));
        alone = true;
        for (int64_t k = 0; k < p->num_kinds && alone; k++) {
            const char *other = within_layer(first_of(p, &p->kinds[k])->module);
            alone = strcmp(other, within) == 0 || strcmp(tail(other, parts), name) != 0;
        }
        if (strcmp(name, within) == 0) break;
    }
    for (char *dot = name; (dot = strchr(dot, '.'));) *dot = '_';
    size_t length = strlen(name);
    for (int number = 2; is_taken(p, kind, name); number++) snprintf(name + length, 24, "_%d", number);
    return true;
}

/* ---- depths ---- */

static int compare_numbers(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* The numbers of the layers, ascending and each once; what lies in no numbered layer counts as of the first. */
static int64_t list_depths(const peft_adapters *adapters, int64_t *numbers)
{
    int64_t count = 0, kept = 0;
    for (int64_t i = 0; i < adapters->num_layers; i++) {
        int64_t number = peft_module_layer(adapters->layers[i].module);
        if (number >= 0) numbers[count++] = number;
    }
    if (count == 0) numbers[count++] = 0;
    qsort(numbers, (size_t)count, sizeof *numbers, compare_numbers);
    for (int64_t i = 0; i < count; i++)
        if (kept == 0 || numbers[kept - 1] != numbers[i]) numbers[kept++] = numbers[i];
    return kept;
}

static int32_t depth_of(const char *module, const int64_t *numbers, int64_t count)
{
    int64_t number = peft_module_layer(module);
    for (int64_t d = 0; d < count; d++)
        if (numbers[d] == number) return (int32_t)d;
    return 0;
}

/* ---- all of it ---- */

static peft_status collect(peft_places *p, peft_error *error)
{
    const peft_adapters *adapters = p->adapters;
    size_t most = (size_t)adapters->num_layers;
    p->kinds = peft_arena_take(&p->memory, most * sizeof *p->kinds);
    int64_t *numbers = peft_arena_take(&p->memory, (most + 1) * sizeof *numbers);
    if (!p->kinds || !numbers) return no_memory(error);
    p->num_depths = list_depths(adapters, numbers);
    for (int64_t i = 0; i < adapters->num_layers; i++) {
        const peft_adapter *a = &adapters->layers[i];
        peft_place_kind *kind = find_kind(p, a);
        if (!kind && !add_kind(p, a)) return no_memory(error);
        if (!kind) kind = &p->kinds[p->num_kinds - 1];
        kind->depths[kind->num_places] = depth_of(a->module, numbers, p->num_depths);
        kind->layers[kind->num_places++] = i;
        p->num_places++;
    }
    for (int64_t k = 0; k < p->num_kinds; k++)
        if (!name_kind(p, &p->kinds[k])) return no_memory(error);
    return PEFT_OK;
}

static void find_most_rows(peft_places *p)
{
    for (const peft_place_kind *kind = p->kinds; kind < p->kinds + p->num_kinds; kind++)
        for (int32_t v = 0; v < kind->num_tensors; v++)
            if (kind->tensors[v].emitted && kind->tensors[v].rows > p->most_rows) p->most_rows = kind->tensors[v].rows;
}

peft_status peft_places_create(peft_places *places, peft_adapters *adapters, peft_error *error)
{
    *places = (peft_places){.adapters = adapters};
    peft_status status = collect(places, error);
    if (status == PEFT_OK) find_most_rows(places);
    if (status == PEFT_OK && places->most_rows == 0)
        status = peft_fail(error, PEFT_ERR_UNSUPPORTED,
                           "%s: trains nothing that belongs to a layer; no generator can "
                           "make that",
                           adapters->variant->name);
    if (status != PEFT_OK) peft_places_free(places);
    return status;
}

void peft_places_free(peft_places *places)
{
    peft_arena_free(&places->memory);
    *places = (peft_places){0};
}

peft_value *peft_place_value(const peft_places *places, const peft_place_kind *kind, int64_t place,
                             const peft_place_tensor *tensor)
{
    return &places->adapters->layers[kind->layers[place]].values[tensor->index];
}
