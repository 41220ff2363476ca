#include "peft/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/json.h"
#include "variants/module_name.h"
#include "variants/pattern.h"

static const char *const bias_choices[] = {"none", "all", "lora_only", "vera_only", NULL};

const peft_option peft_target_option_table[] = {
    {.name = "target_modules",
     .type = PEFT_OPTION_JSON,
     .offset = offsetof(peft_target_options, target_modules),
     .placeholder = "LIST|REGEX",
     .help = "layers to adapt: ends of their names, a regular expression for whole names, or all-linear; without it "
             "those that are usual for the model",
     .group = "Targets",
     .names = true},
    {.name = "exclude_modules",
     .type = PEFT_OPTION_JSON,
     .offset = offsetof(peft_target_options, exclude_modules),
     .placeholder = "LIST|REGEX",
     .help = "layers to leave out of these",
     .group = "Targets",
     .names = true},
    {.name = "layers_to_transform",
     .type = PEFT_OPTION_JSON,
     .offset = offsetof(peft_target_options, layers_to_transform),
     .placeholder = "N,N",
     .help = "numbers of the hidden layers to adapt, from 0; with a list of targets only",
     .group = "Targets"},
    {.name = "layers_pattern",
     .type = PEFT_OPTION_JSON,
     .offset = offsetof(peft_target_options, layers_pattern),
     .placeholder = "NAME",
     .help = "part of the names that stands before a hidden layer's number",
     .group = "Targets"},
    {.name = "modules_to_save",
     .type = PEFT_OPTION_JSON,
     .offset = offsetof(peft_target_options, modules_to_save),
     .placeholder = "LIST",
     .help = "modules to train in full besides the head",
     .group = "Targets",
     .names = true},
    {.name = "bias",
     .type = PEFT_OPTION_STRING,
     .offset = offsetof(peft_target_options, bias),
     .initial = "none",
     .choices = bias_choices,
     .placeholder = "WHICH",
     .help = "biases to train: of all modules, or of the adapted ones",
     .group = "Targets"},
    {.name = "allow_unmatched",
     .type = PEFT_OPTION_BOOL,
     .offset = offsetof(peft_target_options, allow_unmatched),
     .help = "go on where an item or a pattern matches no layer",
     .group = "Targets"},
    {0}};

/* ---- items and patterns ---- */

typedef struct rule rule;
struct rule {
    const char *setting, *text;
    peft_status (*match)(const rule *r, const peft_linear_layer *layer, bool *matches, peft_error *error);
    peft_pattern *pattern;
    json_t *modules; /* what it matched; NULL: nobody asks */
};

static peft_status match_end(const rule *r, const peft_linear_layer *layer, bool *matches, peft_error *error)
{
    (void)error;
    *matches = peft_module_ends_with(layer->module, r->text);
    return PEFT_OK;
}

static peft_status match_pattern(const rule *r, const peft_linear_layer *layer, bool *matches, peft_error *error)
{
    return peft_pattern_match(r->pattern, layer->module, matches, error);
}

static peft_status match_all_linear(const rule *r, const peft_linear_layer *layer, bool *matches, peft_error *error)
{
    (void)r;
    (void)error;
    *matches = !layer->output;
    return PEFT_OK;
}

static peft_status match_part(const rule *r, const peft_linear_layer *layer, bool *matches, peft_error *error)
{
    (void)error;
    *matches = peft_module_lies_in(layer->module, r->text);
    return PEFT_OK;
}

/* The rules of one setting; a layer is meant where any of them matches. */
typedef struct rule_list {
    rule *rules;
    size_t count;
} rule_list;

static void free_rules(rule_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        peft_pattern_free(list->rules[i].pattern);
        json_decref(list->rules[i].modules);
    }
    free(list->rules);
    *list = (rule_list){0};
}

static peft_status add_rule(rule_list *list, const rule *r, peft_error *error)
{
    rule *rules = realloc(list->rules, (list->count + 1) * sizeof *rules);
    if (rules) list->rules = rules;
    json_t *modules = rules ? json_array() : NULL;
    if (!modules) {
        peft_pattern_free(r->pattern);
        return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", r->setting);
    }
    rules[list->count] = *r;
    rules[list->count++].modules = modules;
    return PEFT_OK;
}

static peft_status add_text(rule_list *list, const char *setting, const char *text, peft_error *error)
{
    rule r = {.setting = setting, .text = text, .match = match_pattern};
    if (strcmp(setting, "target_modules") == 0 && strcasecmp(text, "all-linear") == 0) {
        r.match = match_all_linear;
        return add_rule(list, &r, error);
    }
    peft_status status = peft_pattern_compile(&r.pattern, PEFT_PATTERN_FULL, text, error);
    return status == PEFT_OK ? add_rule(list, &r, error) : peft_fail_in(error, status, setting);
}

static peft_status fail_type(const char *setting, const char *expected, const json_t *found, peft_error *error)
{
    char text[PEFT_JSON_TEXT];
    return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: expected %s, found %s", setting, expected,
                     peft_json_text(found, text));
}

static peft_status add_items(rule_list *list, const rule *like, const json_t *items, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (size_t i = 0; i < json_array_size(items) && status == PEFT_OK; i++) {
        rule r = *like;
        r.text = json_string_value(json_array_get(items, i));
        if (!r.text) return fail_type(like->setting, "names in the list", json_array_get(items, i), error);
        status = add_rule(list, &r, error);
    }
    return status;
}

/* PEFT takes "" and [] for nothing. */
static bool is_given(const json_t *value)
{
    return value && !(json_is_string(value) && json_string_length(value) == 0) &&
           !(json_is_array(value) && json_array_size(value) == 0);
}

static peft_status open_modules(rule_list *list, const char *setting, const json_t *value, peft_error *error)
{
    if (json_is_array(value)) return add_items(list, &(rule){.setting = setting, .match = match_end}, value, error);
    if (json_is_string(value) && is_given(value)) return add_text(list, setting, json_string_value(value), error);
    return is_given(value) ? fail_type(setting, "a string or a list of names", value, error) : PEFT_OK;
}

static peft_status open_saved(rule_list *list, const json_t *value, peft_error *error)
{
    if (value && !json_is_array(value)) return fail_type("modules_to_save", "a list of names", value, error);
    return add_items(list, &(rule){.setting = "modules_to_save", .match = match_part}, value, error);
}

static peft_status open_defaults(rule_list *list, const char *const *names, peft_error *error)
{
    peft_status status = PEFT_OK;
    for (; *names && status == PEFT_OK; names++)
        status = add_rule(list, &(rule){.setting = "target_modules", .text = *names, .match = match_end}, error);
    return status;
}

static peft_status any_matches(rule_list *list, const peft_linear_layer *layer, bool *any, peft_error *error)
{
    *any = false;
    for (size_t i = 0; i < list->count; i++) {
        rule *r = &list->rules[i];
        bool matches;
        peft_status status = r->match(r, layer, &matches, error);
        if (status) return peft_fail_in(error, status, r->setting);
        *any = *any || matches;
        if (matches && json_array_append_new(r->modules, json_string(layer->module)))
            return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", r->setting);
    }
    return PEFT_OK;
}

/* ---- layers_to_transform ---- */

typedef struct layer_filter {
    json_t *numbers; /* NULL: all layers */
    bool *seen;      /* for each of them: some target has it */
    peft_pattern **patterns;
    size_t num_patterns;
} layer_filter;

static void free_filter(layer_filter *f)
{
    for (size_t i = 0; i < f->num_patterns; i++) peft_pattern_free(f->patterns[i]);
    free(f->patterns);
    free(f->seen);
    json_decref(f->numbers);
    *f = (layer_filter){0};
}

/* One value stands for a list of one. */
static json_t *as_list(json_t *value)
{
    return json_is_array(value) ? json_incref(value) : json_pack("[O]", value);
}

static peft_status add_layers_pattern(layer_filter *f, const char *name, peft_error *error)
{
    static const char before[] = ".*?\\.", after[] = "\\.(\\d+)\\.";
    size_t bytes = sizeof before + strlen(name) + sizeof after;
    char *expression = malloc(bytes);
    if (!expression) return peft_fail(error, PEFT_ERR_MEMORY, "layers_pattern: out of memory");
    snprintf(expression, bytes, "%s%s%s", before, name, after);
    peft_status status = peft_pattern_compile(&f->patterns[f->num_patterns], PEFT_PATTERN_PREFIX, expression, error);
    free(expression);
    if (status) return peft_fail_in(error, status, "layers_pattern");
    f->num_patterns++;
    return PEFT_OK;
}

static peft_status open_layer_patterns(layer_filter *f, json_t *value, peft_error *error)
{
    json_t *names = value ? as_list(value) : json_pack("[s]", "[^.]*");
    f->patterns = calloc(json_array_size(names) + 1, sizeof *f->patterns);
    peft_status status =
        names && f->patterns ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "layers_pattern: out of memory");
    for (size_t i = 0; i < json_array_size(names) && status == PEFT_OK; i++) {
        const json_t *name = json_array_get(names, i);
        status = json_is_string(name) ? add_layers_pattern(f, json_string_value(name), error)
                                      : fail_type("layers_pattern", "a name or a list of names", name, error);
    }
    json_decref(names);
    return status;
}

static peft_status open_filter(layer_filter *f, const peft_target_options *o, peft_error *error)
{
    if (!is_given(o->layers_to_transform))
        return is_given(o->layers_pattern)
                   ? peft_fail(error, PEFT_ERR_ARGUMENT, "layers_pattern: needs layers_to_transform")
                   : PEFT_OK;
    if (json_is_string(o->target_modules))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "layers_to_transform: needs target_modules that is a list");
    f->numbers = as_list(o->layers_to_transform);
    f->seen = calloc(json_array_size(f->numbers) + 1, sizeof *f->seen);
    if (!f->numbers || !f->seen) return peft_fail(error, PEFT_ERR_MEMORY, "layers_to_transform: out of memory");
    for (size_t i = 0; i < json_array_size(f->numbers); i++)
        if (!json_is_integer(json_array_get(f->numbers, i)))
            return fail_type("layers_to_transform", "layers' numbers", json_array_get(f->numbers, i), error);
    return open_layer_patterns(f, is_given(o->layers_pattern) ? o->layers_pattern : NULL, error);
}

static peft_status passes_filter(layer_filter *f, const char *module, bool *passes, peft_error *error)
{
    int64_t number = -1;
    *passes = !f->numbers;
    for (size_t i = 0; i < f->num_patterns && number < 0; i++) {
        peft_status status = peft_pattern_number(f->patterns[i], module, &number, error);
        if (status) return peft_fail_in(error, status, "layers_pattern");
    }
    for (size_t i = 0; i < json_array_size(f->numbers); i++) {
        if (number < 0 || json_integer_value(json_array_get(f->numbers, i)) != number) continue;
        *passes = f->seen[i] = true;
    }
    return PEFT_OK;
}

/* ---- all together ---- */

typedef struct search {
    rule_list targets, excluded, saved;
    layer_filter filter;
    const peft_linear_layer *linears;
    int64_t num_linears, num_selected;
} search;

static peft_status open_search(search *s, const char *const *defaults, const peft_target_options *o, peft_error *error)
{
    peft_status status = o->target_modules ? open_modules(&s->targets, "target_modules", o->target_modules, error)
                                           : open_defaults(&s->targets, defaults, error);
    if (status == PEFT_OK) status = open_modules(&s->excluded, "exclude_modules", o->exclude_modules, error);
    if (status == PEFT_OK) status = open_saved(&s->saved, o->modules_to_save, error);
    if (status == PEFT_OK) status = open_filter(&s->filter, o, error);
    return status;
}

static void close_search(search *s)
{
    free_rules(&s->targets);
    free_rules(&s->excluded);
    free_rules(&s->saved);
    free_filter(&s->filter);
}

/* A whole name in the list means its layer wherever that is. */
static bool is_named(const rule_list *targets, const char *module)
{
    for (size_t i = 0; i < targets->count; i++)
        if (targets->rules[i].match == match_end && strcmp(targets->rules[i].text, module) == 0) return true;
    return false;
}

static peft_status select_layer(search *s, const peft_linear_layer *layer, bool *selected, peft_error *error)
{
    bool target, excluded, saved, passes = false;
    peft_status status = any_matches(&s->targets, layer, &target, error);
    if (status == PEFT_OK) status = any_matches(&s->excluded, layer, &excluded, error);
    if (status == PEFT_OK) status = any_matches(&s->saved, layer, &saved, error);
    if (status != PEFT_OK) return status;
    if (target && !excluded && !saved) {
        status = passes_filter(&s->filter, layer->module, &passes, error);
        passes = passes || is_named(&s->targets, layer->module);
    }
    *selected = passes;
    s->num_selected += passes;
    return status;
}

static peft_status check_rules(const search *s, const rule_list *list, peft_error *error)
{
    const peft_names modules = {&s->linears->module, (size_t)s->num_linears, sizeof *s->linears};
    for (size_t i = 0; i < list->count; i++)
        if (json_array_size(list->rules[i].modules) == 0)
            return peft_fail_unmatched(error, list->rules[i].setting, list->rules[i].text, &modules);
    return PEFT_OK;
}

/* Names in modules_to_save need not be linear layers: they are checked where the weights are known (peft/inject.c). */
static peft_status check_all_matched(const search *s, peft_error *error)
{
    peft_status status = check_rules(s, &s->targets, error);
    if (status == PEFT_OK) status = check_rules(s, &s->excluded, error);
    for (size_t i = 0; s->filter.seen && i < json_array_size(s->filter.numbers) && status == PEFT_OK; i++)
        if (!s->filter.seen[i])
            status = peft_fail(error, PEFT_ERR_ARGUMENT, "layers_to_transform: no target lies in layer %" PRId64,
                               (int64_t)json_integer_value(json_array_get(s->filter.numbers, i)));
    return status;
}

static bool add_to_report(json_t *report, const rule_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const rule *r = &list->rules[i];
        if (json_array_append_new(
                report, json_pack("{s:s, s:s, s:O}", "setting", r->setting, "pattern", r->text, "modules", r->modules)))
            return false;
    }
    return true;
}

static bool add_numbers(json_t *report, const layer_filter *f)
{
    for (size_t i = 0; f->seen && i < json_array_size(f->numbers); i++) {
        char number[24];
        if (f->seen[i]) continue;
        snprintf(number, sizeof number, "%" PRId64, (int64_t)json_integer_value(json_array_get(f->numbers, i)));
        if (json_array_append_new(
                report, json_pack("{s:s, s:s, s:[]}", "setting", "layers_to_transform", "pattern", number, "modules")))
            return false;
    }
    return true;
}

static peft_status make_report(const search *s, json_t **report, peft_error *error)
{
    json_t *list = json_array();
    if (list && add_to_report(list, &s->targets) && add_to_report(list, &s->excluded) &&
        add_to_report(list, &s->saved) && add_numbers(list, &s->filter)) {
        *report = list;
        return PEFT_OK;
    }
    json_decref(list);
    return peft_fail(error, PEFT_ERR_MEMORY, "target_modules: out of memory for the report");
}

peft_status peft_targets_find(const peft_linear_layer *linears, int64_t num_linears, const char *const *default_targets,
                              const peft_target_options *options, bool *selected, json_t **report, peft_error *error)
{
    search s = {.linears = linears, .num_linears = num_linears};
    if (report) *report = NULL;
    peft_status status = open_search(&s, default_targets, options, error);
    for (int64_t i = 0; i < num_linears && status == PEFT_OK; i++)
        status = select_layer(&s, &linears[i], &selected[i], error);
    if (status == PEFT_OK && !options->allow_unmatched) status = check_all_matched(&s, error);
    if (status == PEFT_OK && s.num_selected == 0 && !options->allow_unmatched)
        status =
            peft_fail(error, PEFT_ERR_ARGUMENT, "target_modules: no layer is left to adapt, of %" PRId64, num_linears);
    if (status == PEFT_OK && report) status = make_report(&s, report, error);
    close_search(&s);
    return status;
}
