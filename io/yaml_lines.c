#include "io/yaml_lines.h"

#include <stdlib.h>
#include <string.h>

bool peft_yaml_lines_add(peft_yaml_lines *lines, const json_t *container, size_t position, size_t line)
{
    if (lines->count == lines->capacity) {
        size_t capacity = lines->capacity ? 2 * lines->capacity : 64;
        peft_yaml_line *entries = realloc(lines->entries, capacity * sizeof *entries);
        if (!entries) return false;
        lines->entries = entries;
        lines->capacity = capacity;
    }
    lines->entries[lines->count++] = (peft_yaml_line){container, position, line};
    return true;
}

void peft_yaml_lines_free(peft_yaml_lines *lines)
{
    free(lines->entries);
    *lines = (peft_yaml_lines){0};
}

size_t peft_yaml_line_of_item(const peft_yaml_lines *lines, const json_t *list, size_t index)
{
    for (size_t i = 0; i < lines->count; i++)
        if (lines->entries[i].container == list && lines->entries[i].position == index) return lines->entries[i].line;
    return 0;
}

/* jansson keeps the keys in the order of the file. */
size_t peft_yaml_line_of_key(const peft_yaml_lines *lines, json_t *object, const char *key)
{
    size_t position = 0;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at), position++)
        if (strcmp(json_object_iter_key(at), key) == 0) return peft_yaml_line_of_item(lines, object, position);
    return 0;
}
