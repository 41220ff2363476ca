/* variants/pattern.h - regular expressions over module names, with the meaning that Hugging Face PEFT gives them. */
#ifndef PEFT_VARIANTS_PATTERN_H
#define PEFT_VARIANTS_PATTERN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/status.h"

typedef enum peft_pattern_kind {
    PEFT_PATTERN_FULL,   /* target_modules, exclude_modules: the whole name has to match */
    PEFT_PATTERN_SUFFIX, /* keys of rank_pattern, alpha_pattern: the name's end, from a dot on or from its start */
    PEFT_PATTERN_PREFIX  /* layers_pattern: the name's beginning */
} peft_pattern_kind;

typedef struct peft_pattern peft_pattern;

/* PEFT_ERR_ARGUMENT with the pattern, the place in it and the reason. The result is the caller's. */
peft_status peft_pattern_compile(peft_pattern **pattern, peft_pattern_kind kind, const char *expression,
                                 peft_error *error);
void peft_pattern_free(peft_pattern *pattern); /* NULL is allowed */

/* PEFT_ERR_ARGUMENT also where the search was given up: a pattern of nested repetitions may take years. */
peft_status peft_pattern_match(const peft_pattern *pattern, const char *name, bool *matches, peft_error *error);

/* The first number in parentheses that `pattern` finds at the start of `name`; -1: it does not match. */
peft_status peft_pattern_number(const peft_pattern *pattern, const char *name, int64_t *number, peft_error *error);

/* An object {"pattern": number} as rank_pattern and alpha_pattern have it: the first key that matches a name counts. */
typedef struct peft_pattern_map {
    size_t count;
    struct peft_pattern_entry {
        const char *key;
        const json_t *value;
        peft_pattern *pattern;
        bool matched; /* by some name, whether or not it was the first */
    } * entries;      /* in the order of the object */
} peft_pattern_map;

/* `object` may be NULL (an empty map) and has to outlive the map. */
peft_status peft_pattern_map_open(peft_pattern_map *map, const json_t *object, peft_error *error);
void peft_pattern_map_close(peft_pattern_map *map); /* a struct of zeros is fine */

/* Adds a key that matches this name alone to such an object, and its number; false: out of memory. */
bool peft_pattern_put(json_t *object, const char *name, double number);
/* A number as those objects have it: whole ones without a fraction. */
json_t *peft_pattern_number_json(double number);

/* The value of the first key that matches, or NULL. */
peft_status peft_pattern_map_find(peft_pattern_map *map, const char *name, const json_t **value, peft_error *error);

#endif
