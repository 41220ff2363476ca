#include "ops/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct peft_arena_block {
    peft_arena_block *older;
    size_t bytes;
    alignas(max_align_t) unsigned char data[];
};

enum { BLOCK_BYTES = 1 << 16 };

static peft_arena_block *new_block(size_t bytes, peft_arena_block *older)
{
    if (bytes > SIZE_MAX - sizeof(peft_arena_block)) return NULL;
    peft_arena_block *block = malloc(sizeof *block + bytes);
    if (block) *block = (peft_arena_block){.older = older, .bytes = bytes};
    return block;
}

void *peft_arena_take(peft_arena *arena, size_t bytes)
{
    size_t align = alignof(max_align_t);
    if (bytes > SIZE_MAX - align) return NULL;
    bytes = (bytes + align - 1) / align * align;
    if (!arena->newest || bytes > arena->newest->bytes - arena->used) {
        peft_arena_block *block = new_block(bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES, arena->newest);
        if (!block) return NULL;
        arena->newest = block;
        arena->used = 0;
    }
    void *memory = arena->newest->data + arena->used;
    arena->used += bytes;
    return memset(memory, 0, bytes);
}

static void free_blocks(peft_arena_block *block)
{
    while (block) {
        peft_arena_block *older = block->older;
        free(block);
        block = older;
    }
}

void peft_arena_reset(peft_arena *arena)
{
    if (arena->newest) {
        free_blocks(arena->newest->older);
        arena->newest->older = NULL;
    }
    arena->used = 0;
}

void peft_arena_free(peft_arena *arena)
{
    free_blocks(arena->newest);
    *arena = (peft_arena){0};
}
