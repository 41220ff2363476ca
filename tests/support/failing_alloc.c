#include "tests/support/failing_alloc.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops/status.h"

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

/* BLIS does not look whether it gets memory, so a context has it take its own when it is opened (ops/cpu/room.h). Here
 * that was before: its calls are none that fail. Not every test is linked with it. */
__attribute__((weak)) peft_status peft_gemm_reserve(int threads, peft_error *error);

static void fill_pools(void)
{
    enum { MOST_THREADS = 8 };
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (peft_gemm_reserve) peft_gemm_reserve(processors > MOST_THREADS ? (int)processors : MOST_THREADS, NULL);
}

void fail_allocation(int64_t call)
{
    fill_pools();
    json_set_alloc_funcs(__wrap_malloc, free);
    has_failed = false;
    calls_left = call;
}

bool allocation_failed(void)
{
    calls_left = -1;
    return has_failed;
}
