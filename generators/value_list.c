#include "generators/value_list.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_NAME = 256 };

void peft_value_list_add(peft_value_list *l, peft_value_spec spec, const char *format, ...)
{
    char text[MAX_NAME];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    char *name = length >= 0 ? peft_arena_take(l->names, (size_t)length + 1) : NULL;
    if (l->count == l->room) {
        int64_t room = 2 * l->room + 64;
        peft_value_spec *specs = realloc(l->specs, (size_t)room * sizeof *specs);
        if (specs) l->specs = specs, l->room = room;
    }
    if (!name || l->count == l->room) {
        l->failed = true;
        return;
    }
    va_start(arguments, format);
    vsnprintf(name, (size_t)length + 1, format, arguments);
    va_end(arguments);
    spec.name = name;
    spec.role = PEFT_ROLE_OTHER;
    l->specs[l->count++] = spec;
}

void peft_value_list_linear(peft_value_list *l, int64_t in, int64_t out, const char *name)
{
    const double bound = 1 / sqrt((double)in);
    peft_value_list_add(l,
                        (peft_value_spec){.shape = peft_shape_2(out, in), .start = PEFT_START_UNIFORM, .spread = bound},
                        "%s.weight", name);
    peft_value_list_add(l, (peft_value_spec){.shape = peft_shape_1(out), .start = PEFT_START_UNIFORM, .spread = bound},
                        "%s.bias", name);
}

void peft_value_list_norm(peft_value_list *l, int64_t size, const char *name)
{
    peft_value_list_add(l, (peft_value_spec){.shape = peft_shape_1(size), .start = PEFT_START_ONE}, "%s.weight", name);
    peft_value_list_add(l, (peft_value_spec){.shape = peft_shape_1(size)}, "%s.bias", name);
}

peft_status peft_value_list_finish(peft_value_list *l, peft_value_set *set, uint64_t seed, peft_error *error)
{
    peft_status status = l->failed ? peft_fail(error, PEFT_ERR_MEMORY, "generator: out of memory for its values")
                                   : peft_value_set_create(set, "", l->specs, l->count, seed, error);
    free(l->specs);
    *l = (peft_value_list){0};
    return status;
}
