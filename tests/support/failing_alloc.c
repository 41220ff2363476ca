#include "tests/support/failing_alloc.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* The linker's --wrap sends calls of malloc to __wrap_malloc and gives the true one the name __real_malloc. */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
char *__wrap_strdup(const char *text);

static atomic_int_least64_t calls_left = -1; /* negative: none fails */
static atomic_bool has_failed;

static bool fails(void)
{
    bool now = atomic_load(&calls_left) >= 0 && atomic_fetch_sub(&calls_left, 1) == 0;
    if (now) atomic_store(&has_failed, true);
    return now;
}

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    return fails() ? NULL : __real_realloc(memory, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, bytes);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

void fail_allocation(int64_t call)
{
    json_set_alloc_funcs(__wrap_malloc, free);
    has_failed = false;
    calls_left = call;
}

bool allocation_failed(void)
{
    calls_left = -1;
    return has_failed;
}
