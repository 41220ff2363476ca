/* io/yaml_lines.h - on which line of a YAML file each part of its document begins, for messages. */
#ifndef PEFT_IO_YAML_LINES_H
#define PEFT_IO_YAML_LINES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Member number `position` of an object or list, in the order of the file; its line counts from 1. */
typedef struct peft_yaml_line {
    const json_t *container;
    size_t position, line;
} peft_yaml_line;

/* Start with {0}. */
typedef struct peft_yaml_lines {
    peft_yaml_line *entries;
    size_t count, capacity;
} peft_yaml_lines;

/* false: out of memory */
bool peft_yaml_lines_add(peft_yaml_lines *lines, const json_t *container, size_t position, size_t line);
void peft_yaml_lines_free(peft_yaml_lines *lines);

/* The line of a key of an object, or of number `index` of a list; 0 where it is not there. Objects and lists must be as
 * they were read. */
size_t peft_yaml_line_of_key(const peft_yaml_lines *lines, json_t *object, const char *key);
size_t peft_yaml_line_of_item(const peft_yaml_lines *lines, const json_t *list, size_t index);

#endif
