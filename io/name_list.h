/* io/name_list.h - names for a message, with commas between them: as many whole ones as it has room for. */
#ifndef PEFT_IO_NAME_LIST_H
#define PEFT_IO_NAME_LIST_H

#include <stddef.h>

#include "ops/status.h"

/* Start with {.room = N}, N the bytes of `text` that may be used, its end included. */
typedef struct peft_name_list {
    char text[PEFT_MESSAGE_BYTES / 2];
    size_t room;
    size_t used, count; /* `count` is that of all, also of those that found no room */
} peft_name_list;

void peft_name_list_add(peft_name_list *list, const char *name);

#endif
