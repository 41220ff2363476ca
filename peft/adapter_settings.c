#include "peft/adapter_settings.h"

#include <string.h>

#include "peft/inject.h"
#include "variants/module_name.h"
#include "variants/pattern.h"

/* ---- names that match nothing ---- */

/* A name that means the head, of which nothing is to be said. */
static bool means_unasked_head(const peft_settings_case *s, const peft_load_options *options, const char *name)
{
    return options && options->hidden_only && s->model && peft_model_is_of_head(s->model, name);
}

static peft_status note_unmatched(const peft_settings_case *s, const peft_load_options *options, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (size_t i = 0; i < json_array_size(s->report) && status == PEFT_OK; i++) {
        const json_t *rule = json_array_get(s->report, i);
        const char *setting = json_string_value(json_object_get(rule, "setting"));
        const char *pattern = json_string_value(json_object_get(rule, "pattern"));
        if (json_array_size(json_object_get(rule, "modules")) || strcmp(setting, "modules_to_save") == 0 ||
            means_unasked_head(s, options, pattern))
            continue;
        status = peft_note(options, error, "%s: %s: \"%s\" matches no linear layer", s->folder, setting, pattern);
    }
    return status;
}

/* Names of modules_to_save need not be linear layers. */
static peft_status note_unsaved(const peft_settings_case *s, const peft_load_options *options, peft_error *error)
{
    peft_status status = PEFT_OK;
    const json_t *names = s->model ? s->config->targets.modules_to_save : NULL;
    for (size_t i = 0; i < json_array_size(names) && status == PEFT_OK; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!peft_is_saved_module(s->model, name) && !means_unasked_head(s, options, name))
            status = peft_note(options, error, "%s: modules_to_save: the model has no module \"%s\"", s->folder, name);
    }
    return status;
}

static peft_status note_unselected(const peft_settings_case *s, const peft_load_options *options, peft_error *error)
{
    if (!s->unselected) return PEFT_OK;
    return peft_note(
        options, error,
        "%s: the settings leave out %s, but its tensors are in the file and are used; PEFT would pass them "
        "over",
        s->folder, s->unselected);
}

/* ---- patterns ---- */

typedef struct pattern_field {
    const char *name;
    size_t offset; /* of the object in peft_common_options */
} pattern_field;

static const pattern_field fields[] = {{"rank_pattern", offsetof(peft_common_options, rank_pattern)},
                                       {"alpha_pattern", offsetof(peft_common_options, alpha_pattern)}};
enum { RANKS, ALPHAS, NUM_FIELDS };

static const json_t *object_of(const peft_adapters *adapters, const pattern_field *field)
{
    return *(json_t *const *)((const char *)adapters->options + field->offset);
}

/* The first two entries that match a name; NULL: there are not as many. */
typedef struct meeting {
    const struct peft_pattern_entry *first, *second;
} meeting;

static peft_status find_meeting(peft_pattern_map *map, const char *module, meeting *m, peft_error *error)
{
    *m = (meeting){NULL, NULL};
    for (size_t n = 0; n < map->count; n++) {
        struct peft_pattern_entry *entry = &map->entries[n];
        bool matches;
        peft_status status = peft_pattern_match(entry->pattern, module, &matches, error);
        if (status) return status;
        entry->matched = entry->matched || matches;
        if (matches && m->first && !m->second) m->second = entry;
        if (matches && !m->first) m->first = entry;
    }
    return PEFT_OK;
}

/* Looks at all modules; *module is one that two entries meet at with other numbers, as in *met, or NULL. */
static peft_status meet(peft_pattern_map *map, const peft_adapters *adapters, const char **module, meeting *met,
                        peft_error *error)
{
    *module = NULL;
    peft_status status = PEFT_OK;
    for (int64_t i = 0; i < adapters->num_layers && status == PEFT_OK; i++) {
        meeting m;
        status = find_meeting(map, adapters->layers[i].module, &m, error);
        if (status != PEFT_OK || *module || !m.second || json_equal(m.first->value, m.second->value)) continue;
        *module = adapters->layers[i].module;
        *met = m;
    }
    return status;
}

static peft_status note_patterns(const peft_settings_case *s, int field, const peft_load_options *options,
                                 peft_error *error)
{
    peft_pattern_map map;
    const char *module;
    meeting m;
    peft_status status = peft_pattern_map_open(&map, object_of(s->adapters, &fields[field]), error);
    if (status == PEFT_OK) status = meet(&map, s->adapters, &module, &m, error);
    for (size_t n = 0; n < map.count && status == PEFT_OK; n++)
        if (!map.entries[n].matched)
            status = peft_note(options, error, "%s: %s: \"%s\" matches no adapted module", s->folder,
                               fields[field].name, map.entries[n].key);
    if (status == PEFT_OK && field == ALPHAS && module)
        status =
            peft_note(options, error,
                      "%s: alpha_pattern: both \"%s\" and \"%s\" match %s, and the first counts; where the file was "
                      "sorted on its way, the scale is another",
                      s->folder, m.first->key, m.second->key, module);
    peft_pattern_map_close(&map);
    return status;
}

peft_status peft_note_settings(const peft_settings_case *s, const peft_load_options *options, peft_error *error)
{
    peft_status status = note_unmatched(s, options, error);
    if (status == PEFT_OK) status = note_unselected(s, options, error);
    if (status == PEFT_OK) status = note_unsaved(s, options, error);
    for (int field = 0; field < NUM_FIELDS && s->adapters && status == PEFT_OK; field++)
        status = note_patterns(s, field, options, error);
    return status;
}

/* ---- writing ---- */

static double number_of(const peft_adapter *a, int field)
{
    return field == RANKS ? (double)a->rank : a->alpha;
}

static peft_status name_modules(const peft_adapters *adapters, int field, json_t **pattern, peft_error *error)
{
    const peft_common_options *options = adapters->options;
    double usual = field == RANKS ? (double)options->rank : options->alpha;
    bool complete = (*pattern = json_object()) != NULL;
    for (int64_t i = 0; i < adapters->num_layers && complete; i++) {
        const peft_adapter *a = &adapters->layers[i];
        if (number_of(a, field) != usual) complete = peft_pattern_put(*pattern, a->module, number_of(a, field));
    }
    return complete ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", fields[field].name);
}

static peft_status settle(const peft_adapters *adapters, int field, json_t **pattern, peft_error *error)
{
    peft_pattern_map map;
    const char *module;
    meeting m;
    *pattern = NULL;
    peft_status status = peft_pattern_map_open(&map, object_of(adapters, &fields[field]), error);
    if (status == PEFT_OK) status = meet(&map, adapters, &module, &m, error);
    if (status == PEFT_OK && module) status = name_modules(adapters, field, pattern, error);
    peft_pattern_map_close(&map);
    return status;
}

peft_status peft_settings_patterns(const peft_adapters *adapters, json_t **rank_pattern, json_t **alpha_pattern,
                                   peft_error *error)
{
    *alpha_pattern = NULL;
    peft_status status = settle(adapters, RANKS, rank_pattern, error);
    if (status == PEFT_OK) status = settle(adapters, ALPHAS, alpha_pattern, error);
    if (status == PEFT_OK) return PEFT_OK;
    json_decref(*rank_pattern);
    json_decref(*alpha_pattern);
    *rank_pattern = *alpha_pattern = NULL;
    return status;
}
