#include "variants/module_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool peft_module_ends_with(const char *name, const char *suffix)
{
    size_t length = strlen(name), tail = strlen(suffix);
    if (tail > length || strcmp(name + length - tail, suffix) != 0) return false;
    return tail == length || name[length - tail - 1] == '.';
}

bool peft_module_lies_in(const char *name, const char *part)
{
    size_t length = strlen(part);
    for (const char *at = strstr(name, part); at && length; at = strstr(at + 1, part))
        if (at[length] == '\0' || at[length] == '.') return true;
    return false;
}

int64_t peft_module_layer(const char *name)
{
    for (const char *part = name; part; part = strchr(part, '.') ? strchr(part, '.') + 1 : NULL) {
        size_t length = strspn(part, "0123456789");
        if (length > 0 && (part[length] == '.' || part[length] == '\0')) return strtoll(part, NULL, 10);
    }
    return -1;
}

/* The last parts of `name`, as many as `like` has. */
static const char *tail_like(const char *name, const char *like)
{
    size_t dots = 0;
    for (const char *dot = strchr(like, '.'); dot; dot = strchr(dot + 1, '.')) dots++;
    const char *tail = name + strlen(name);
    while (tail > name && (tail[-1] != '.' || dots-- > 0)) tail--;
    return tail;
}

static const char *nearest_tail(const char *pattern, const peft_names *modules)
{
    const char *best = NULL;
    for (size_t i = 0; i < modules->count; i++) {
        const char *finalists[] = {best, tail_like(peft_names_at(modules, i), pattern)};
        best = peft_nearest(pattern, &(peft_names){finalists, 2, sizeof *finalists});
    }
    return best;
}

static bool ends_an_earlier_one(const peft_names *modules, size_t index, const char *last_part)
{
    for (size_t i = 0; i < index; i++)
        if (peft_module_ends_with(peft_names_at(modules, i), last_part)) return true;
    return false;
}

static void list_last_parts(const peft_names *modules, char *text, size_t bytes)
{
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < modules->count && at < bytes; i++) {
        const char *part = tail_like(peft_names_at(modules, i), "");
        if (!ends_an_earlier_one(modules, i, part))
            at += (size_t)snprintf(text + at, bytes - at, "%s%s", at ? ", " : "", part);
    }
}

peft_status peft_fail_unmatched(peft_error *error, const char *what, const char *pattern, const peft_names *modules)
{
    char known[PEFT_MESSAGE_BYTES];
    list_last_parts(modules, known, sizeof known);
    const char *best = nearest_tail(pattern, modules);
    return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: \"%s\" matches none of %zu modules%s%s%s Their names end in: %s",
                     what, pattern, modules->count, best ? "; did you mean \"" : ".", best ? best : "",
                     best ? "\"?" : "", known);
}
