/* ops/arena.h - memory that is taken piece by piece and given back at once. */
#ifndef PEFT_OPS_ARENA_H
#define PEFT_OPS_ARENA_H

#include <stddef.h>

typedef struct peft_arena_block peft_arena_block;

/* Start with {0}. */
typedef struct peft_arena {
    peft_arena_block *newest;
    size_t used;
} peft_arena;

/* Zeroed, aligned for any type; NULL: out of memory. */
void *peft_arena_take(peft_arena *arena, size_t bytes);

void peft_arena_reset(peft_arena *arena); /* keeps one block for the next use */
void peft_arena_free(peft_arena *arena);

#endif
