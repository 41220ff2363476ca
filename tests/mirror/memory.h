/* tests/mirror/memory.h - the memory of the mirror: one file mapped twice. */
#ifndef PEFT_TESTS_MIRROR_MEMORY_H
#define PEFT_TESTS_MIRROR_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include "ops/status.h"

typedef struct mirror_memory {
    int file;
    char *first;  /* that nobody may touch */
    char *second; /* the same bytes, for kernels and copies */
    size_t used;
} mirror_memory;

peft_status mirror_memory_open(mirror_memory *m, peft_error *error);
void mirror_memory_close(mirror_memory *m); /* also one that could not be opened */

/* Addresses of the first mapping, which are never handed out again. */
peft_status mirror_memory_take(mirror_memory *m, size_t bytes, void **memory, peft_error *error);

/* Where so many bytes from an address of the first mapping on can be touched; NULL: they are not all of it. */
void *mirror_memory_reach(const mirror_memory *m, const void *address, size_t bytes);

#endif
