/* io/option_kind.h - what differs between the types of settings. For io/option.c alone. */
#ifndef PEFT_IO_OPTION_KIND_H
#define PEFT_IO_OPTION_KIND_H

#include "io/option.h"

/* `field` points at the option's field in its struct. The reading functions leave it as it was when they fail, with a
 * message that does not name the option; what a field owned before is freed. to_json gives a new value, or NULL if
 * memory runs out. */
typedef struct peft_option_kind {
    const char *noun;
    size_t bytes; /* of the field */
    peft_status (*from_text)(const peft_option *option, void *field, const char *text, peft_error *error);
    peft_status (*from_json)(const peft_option *option, void *field, const json_t *value, peft_error *error);
    json_t *(*to_json)(const void *field);
    void (*clear)(void *field); /* frees what the field owns */
} peft_option_kind;

const peft_option_kind *peft_option_kind_of(const peft_option *option);

#endif
