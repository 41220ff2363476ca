#include "peft/cli/compare/budget.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/model.h"
#include "peft/inject.h"

enum { LARGEST = 1024, TEXT_BYTES = 1024 };

/* ---- the budget ---- */

/* "0.1%" */
static bool read_percent(const char *text, double *percent)
{
    char *end;
    *percent = strtod(text, &end);
    return end != text && strcmp(end, "%") == 0 && *percent > 0.0;
}

bool peft_budget_is_valid(const json_t *share)
{
    double percent;
    if (json_is_string(share)) return read_percent(json_string_value(share), &percent);
    return json_is_number(share) && json_number_value(share) >= 1.0;
}

static double parameters_of(const json_t *share, peft_model *model)
{
    const double hundred = 100.0;
    double percent, all = 0.0;
    int64_t count;
    const peft_weight *weights = peft_model_weights(model, &count);
    for (int64_t k = 0; k < count; k++) all += (double)peft_shape_count(&weights[k].shape);
    if (!json_is_string(share)) return json_number_value(share);
    return read_percent(json_string_value(share), &percent) ? all * percent / hundred : 0.0;
}

/* ---- the size of an adapter ---- */

/* Start values may take long to find, and change no size. */
static peft_status fill(const peft_option *table, void *values, const json_t *settings, peft_error *error)
{
    peft_status status = peft_options_init(table, values, error);
    for (const peft_option *option = table; option->name && status == PEFT_OK; option++) {
        const json_t *value = strcmp(option->name, "init") == 0 ? NULL : json_object_get(settings, option->name);
        if (value) status = peft_options_set_json(table, values, option->name, value, error);
    }
    return status;
}

static int64_t count_trained(const peft_adapters *adapters)
{
    int64_t trained = 0;
    for (int64_t k = 0; k < adapters->set.count; k++) {
        const peft_value *value = adapters->set.items[k].value;
        if (value->spec.kind == PEFT_VALUE_TRAINED) trained += peft_value_count(value);
    }
    return trained;
}

static peft_status measure(const peft_budget *b, peft_model *model, const json_t *settings, int64_t *trained,
                           peft_error *error)
{
    peft_target_options targets = {0};
    peft_adapters *adapters = NULL;
    void *options = calloc(1, b->variant->options_bytes + 1);
    if (!options) return peft_fail(error, PEFT_ERR_MEMORY, "--budget: out of memory");
    peft_status status = fill(b->variant->options, options, settings, error);
    if (status != PEFT_OK) {
        free(options);
        return status;
    }
    status = fill(peft_target_option_table, &targets, settings, error);
    if (status == PEFT_OK) status = peft_inject(model, b->variant, options, &targets, 0, &adapters, NULL, error);
    if (status == PEFT_OK) *trained = count_trained(adapters);
    peft_detach(model, adapters);
    peft_adapters_free(adapters);
    peft_options_free(peft_target_option_table, &targets);
    peft_options_free(b->variant->options, options);
    free(options);
    return status;
}

/* ---- the search ---- */

static bool sets_size(const peft_budget *b, const peft_compare_item *item, const char *name)
{
    return peft_options_find(b->variant->options, name) && !json_object_get(item->own, name);
}

/* The item's text with its size: "lora2:rank=5:k=5". False: there is none to set. */
static bool write_text(const peft_budget *b, const peft_compare_item *item, int64_t size, char text[TEXT_BYTES])
{
    static const char *const names[] = {"rank", "k", "r1", "r2", "num_experts"};
    bool has_rank = peft_options_find(b->variant->options, names[0]) != NULL, any = false;
    int used = snprintf(text, TEXT_BYTES, "%s", item->text);
    for (size_t k = 0; k < sizeof names / sizeof *names && used < TEXT_BYTES; k++) {
        char flag[32];
        bool of_experts = strcmp(names[k], "num_experts") == 0;
        if (!sets_size(b, item, names[k]) || (of_experts && has_rank)) continue;
        used += snprintf(text + used, (size_t)(TEXT_BYTES - used), ":%s=%" PRId64,
                         peft_option_flag(names[k], flag, sizeof flag), size);
        any = true;
    }
    return any && used < TEXT_BYTES;
}

static peft_status measure_size(const peft_budget *b, peft_model *model, const peft_compare_item *item, int64_t size,
                                int64_t *trained, peft_error *error)
{
    char text[TEXT_BYTES];
    peft_compare_item sized = {0};
    write_text(b, item, size, text);
    peft_status status = peft_compare_item_parse(&sized, text, b->sets, b->num_sets, error);
    if (status == PEFT_OK) status = measure(b, model, sized.all, trained, error);
    peft_compare_item_free(&sized);
    return status;
}

/* The largest size within `most`; sizes grow with it. */
static peft_status search(const peft_budget *b, peft_model *model, const peft_compare_item *item, double most,
                          int64_t *best, peft_error *error)
{
    int64_t low = 0, high = 1, trained = 0, smallest = 0;
    peft_status status = PEFT_OK;
    for (; status == PEFT_OK && high <= LARGEST; low = high, high *= 2) {
        status = measure_size(b, model, item, high, &trained, error);
        if (high == 1) smallest = trained;
        if (status != PEFT_OK || (double)trained > most) break;
    }
    while (status == PEFT_OK && high - low > 1 && high <= LARGEST) {
        int64_t middle = low + (high - low) / 2;
        status = measure_size(b, model, item, middle, &trained, error);
        if ((double)trained > most)
            high = middle;
        else
            low = middle;
    }
    *best = low;
    if (status != PEFT_OK || low) return status;
    return peft_fail(error, PEFT_ERR_ARGUMENT,
                     "%s: --budget allows %.0f trained parameters, and the smallest adapter has %" PRId64, item->text,
                     most, smallest);
}

peft_status peft_budget_spend(const peft_budget *b, peft_compare_item *item, peft_error *error)
{
    char text[TEXT_BYTES];
    int64_t size = 0;
    peft_model *model;
    if (!b->variant || !write_text(b, item, 1, text)) return PEFT_OK;
    peft_status status = peft_model_open(&model, b->model, NULL, error);
    if (status != PEFT_OK) return status;
    status = search(b, model, item, parameters_of(b->share, model), &size, error);
    peft_model_close(model);
    if (status != PEFT_OK) return status;
    write_text(b, item, size, text);
    peft_compare_item sized;
    status = peft_compare_item_parse(&sized, text, b->sets, b->num_sets, error);
    if (status != PEFT_OK) return status;
    peft_compare_item_free(item);
    *item = sized;
    return PEFT_OK;
}
