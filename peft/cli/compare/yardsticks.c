#include "peft/cli/compare/yardsticks.h"

#include <stdlib.h>
#include <string.h>

#include "peft/cli/job.h"

const char *const peft_compare_yardsticks[PEFT_NUM_COMPARE_YARDSTICKS] = {"head", "full", "lora"};

/* A table with its defaults. */
static peft_status open_defaults(const peft_command_extension *extension, peft_option_set *set, peft_error *error)
{
    *set = (peft_option_set){extension->table, calloc(1, extension->bytes + 1)};
    if (!set->values) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", extension->name);
    peft_status status = peft_options_init(set->table, set->values, error);
    if (status != PEFT_OK) {
        free(set->values);
        set->values = NULL;
    }
    return status;
}

void peft_yardstick_close(peft_option_set *set)
{
    if (set->values) peft_options_free(set->table, set->values);
    free(set->values);
    *set = (peft_option_set){0};
}

/* Gives the yardstick what a variant has another value of than its default: somebody has set it. */
static peft_status take_given(const peft_option_set *yardstick, const json_t *given, const json_t *defaults,
                              peft_error *error)
{
    static const char *const names[] = {"rank", "alpha", "dropout"};
    peft_status status = PEFT_OK;
    for (size_t k = 0; k < sizeof names / sizeof *names && status == PEFT_OK; k++) {
        json_t *value = json_object_get(given, names[k]);
        bool set = value && !json_equal(value, json_object_get(defaults, names[k]));
        if (set && peft_options_find(yardstick->table, names[k]))
            status = peft_options_set_json(yardstick->table, yardstick->values, names[k], value, error);
    }
    return status;
}

static peft_status take_from(const peft_option_set *yardstick, const peft_arguments *arguments, size_t index,
                             peft_error *error)
{
    const peft_command_extension *extension = &arguments->extensions[index];
    peft_option_set defaults;
    peft_status status = open_defaults(extension, &defaults, error);
    if (status != PEFT_OK) return status;
    json_t *given = peft_options_to_json(extension->table, peft_arguments_extension(arguments, extension->name));
    json_t *initial = peft_options_to_json(defaults.table, defaults.values);
    status = given && initial ? take_given(yardstick, given, initial, error)
                              : peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", extension->name);
    json_decref(given);
    json_decref(initial);
    peft_yardstick_close(&defaults);
    return status;
}

peft_status peft_yardstick_open(const peft_arguments *arguments, const char *name, peft_option_set *set,
                                peft_error *error)
{
    peft_command_extension extension = {0};
    for (size_t k = 0; peft_variant_extension(k, &extension) && strcmp(extension.name, name) != 0;) k++;
    peft_status status = open_defaults(&extension, set, error);
    for (size_t k = 0; k < arguments->num_extensions && status == PEFT_OK; k++)
        status = take_from(set, arguments, k, error);
    if (status != PEFT_OK) peft_yardstick_close(set);
    return status;
}
