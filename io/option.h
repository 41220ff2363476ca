/* io/option.h - settings described as data.
 *
 * One table describes the fields of one struct: names, types, defaults, limits, help. From it come the JSON and YAML
 * reader, the command line's flags, the help text, the manual page and the shell completion, so nothing about a setting
 * is written twice. A table ends with an entry whose name is NULL:
 *
 *     typedef struct lora_options { int64_t rank; double alpha; json_t *target_modules; } lora_options;
 *
 *     static const peft_option table[] = {
 *         {.name = "rank", .type = PEFT_OPTION_INT, .offset = offsetof(lora_options, rank), .initial = "8",
 *          .min = 1, .max = 4096, .placeholder = "N", .help = "rank of the update"},
 *         ...
 *         {0}};
 */
#ifndef PEFT_IO_OPTION_H
#define PEFT_IO_OPTION_H

#include "ops/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum peft_option_type {
    PEFT_OPTION_INT,    /* int64_t */
    PEFT_OPTION_FLOAT,  /* double, always finite */
    PEFT_OPTION_BOOL,   /* bool */
    PEFT_OPTION_STRING, /* char *, owned by the struct; NULL: not set */
    PEFT_OPTION_JSON    /* json_t *, owned by the struct; NULL: not set */
} peft_option_type;

typedef struct peft_option {
    const char *name;      /* "target_rank": the key in JSON and YAML; the flag is --target-rank */
    const char *elsewhere; /* what PEFT and transformers call it, if that is far from `name`: for messages */
    peft_option_type type;
    size_t offset;              /* of the field in its struct */
    const char *initial;        /* default, written as for a flag; NULL: 0, false, not set */
    double min, max;            /* numbers, both ends allowed; both 0: any; DBL_MIN: above 0; HUGE_VAL: no upper end */
    const char *const *choices; /* strings: what is allowed, NULL at the end; NULL: anything (peft_option_is_choice) */
    const char *placeholder;    /* of the value in help texts: "N", "X", "DIR" */
    const char *help;           /* a phrase without a full stop; limits, choices and default are added to it */
    const char *group;          /* heading in help texts; NULL: "Options" */
    bool names;                 /* JSON: on the command line one name, of letters, digits, _ and ., is a list of one */
} peft_option;

/* A struct and the table that describes it. A command's settings are often several of these: its own, those of the
 * training, those of a variant. A name that stands in several tables is one setting, kept in each of their structs. */
typedef struct peft_option_set {
    const peft_option *table;
    void *values;
} peft_option_set;

/* Gives every field its default. What the fields held is not read. On failure (no memory; a default that its own table
 * forbids) nothing is left to free. */
PEFT_API peft_status peft_options_init(const peft_option *table, void *values, peft_error *error);

/* Frees the strings and JSON values and sets them to NULL. Structs of zeros are fine. */
PEFT_API void peft_options_free(const peft_option *table, void *values);

/* The entry called `name`, or NULL. */
PEFT_API const peft_option *peft_options_find(const peft_option *table, const char *name);

/* Sets one field from the text of a flag. Numbers are decimal and nothing may stand around them; booleans are `true` or
 * `false`; strings are taken as they are. The text of a JSON field is read by the first rule that fits:
 *
 *     1. text that is JSON          [0, 1]   {"a": 1}   "a,b"   0.5     that value; null: not set
 *     2. text with commas           0,1,2    1e-3,1e-4   query,value    an array of the pieces: numbers as JSON writes
 *                                                                       them are numbers, other pieces are strings
 *     3. other text                 all-linear   .*\.(query|value)      a string
 *
 * A regular expression with a comma is therefore written as a JSON string. An empty text or piece is an error.
 *
 * PEFT_ERR_ARGUMENT (unknown name, wrong type, out of range, not a choice; the message names the flag and, where one is
 * near, the known word) or PEFT_ERR_MEMORY; the field then keeps its value. */
PEFT_API peft_status peft_options_set_text(const peft_option *table, void *values, const char *name, const char *text,
                                           peft_error *error);

/* Sets one field from a JSON value, which stays the caller's. Types must agree; an integer is also a number. null means
 * "not set" for strings and JSON fields and is an error for the others. Errors as above, naming the key. */
PEFT_API peft_status peft_options_set_json(const peft_option *table, void *values, const char *name,
                                           const json_t *value, peft_error *error);

/* A new object with all fields in the table's order, null for what is not set; NULL if memory runs out. Reading it back
 * with peft_options_set_json gives the same struct. */
PEFT_API json_t *peft_options_to_json(const peft_option *table, const void *values);

/* The same for several structs at once: sets the field in each that has it, in order, until one refuses. */
PEFT_API peft_status peft_option_sets_set_text(const peft_option_set *sets, size_t count, const char *name,
                                               const char *text, peft_error *error);
PEFT_API peft_status peft_option_sets_set_json(const peft_option_set *sets, size_t count, const char *name,
                                               const json_t *value, peft_error *error);
PEFT_API json_t *peft_option_sets_to_json(const peft_option_set *sets, size_t count);

/* The first entry called `name`, and in *owner (which may be NULL) the set it is in; or NULL. */
PEFT_API const peft_option *peft_option_sets_find(const peft_option_set *sets, size_t count, const char *name,
                                                  const peft_option_set **owner);

/* The known name of what is called `name` elsewhere, else the one that is nearest to it; NULL where none is near. */
PEFT_API const char *peft_option_sets_nearest(const peft_option_set *sets, size_t count, const char *name);

/* Whether `text` is what a choice allows: the same word; or, where the choice ends in "_N", the same with a number of
 * up to four digits in the place of the N ("pissa_niter_16"). */
PEFT_API bool peft_option_is_choice(const char *choice, const char *text);

/* The limits of an option's value in words: "from 1 to 64", "above 0", "one of linear, cosine"; "" where it has none.
 * The text is cut where `bytes` are too few. Returns buffer. */
PEFT_API char *peft_option_limits(const peft_option *option, char *buffer, size_t bytes);

/* The flag of a setting, without its dashes: "target_rank" gives "target-rank". Cut and returned as above. */
PEFT_API char *peft_option_flag(const char *name, char *buffer, size_t bytes);

#endif
