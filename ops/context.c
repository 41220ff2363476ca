#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/engine/context_internal.h"

/* ---- which backend ---- */

const char *peft_backend_name(int index)
{
    const peft_backend *backend = peft_backend_at(index);
    return backend ? backend->name : NULL;
}

static const peft_backend *find_backend(const char *name)
{
    for (int k = 0; peft_backend_at(k); k++)
        if (strcmp(peft_backend_at(k)->name, name) == 0) return peft_backend_at(k);
    return NULL;
}

static bool has_dtype(const peft_backend *backend, peft_dtype dtype)
{
    return backend->dtypes & PEFT_DTYPE_BIT(dtype);
}

/* The next backend from `index` on that has this type, or NULL. */
static const peft_backend *next_with(peft_dtype dtype, int *index)
{
    const peft_backend *backend;
    while ((backend = peft_backend_at((*index)++)) && !has_dtype(backend, dtype)) continue;
    return backend;
}

bool peft_backend_available(const char *name)
{
    const peft_backend *backend = find_backend(name);
    return backend && backend->check(PEFT_F32, NULL) == PEFT_OK;
}

bool peft_dtype_available(peft_dtype dtype)
{
    int index = 0;
    for (const peft_backend *backend; (backend = next_with(dtype, &index));)
        if (backend->check(dtype, NULL) == PEFT_OK) return true;
    return false;
}

const char *peft_library_version(const char *library, char text[PEFT_VERSION_TEXT])
{
    for (int k = 0; peft_backend_at(k); k++)
        if (strcmp(peft_backend_at(k)->library, library) == 0) return peft_backend_at(k)->library_version(text);
    snprintf(text, PEFT_VERSION_TEXT, "none");
    return text;
}

/* The fastest of those that are here. One that is only short of memory is not passed over: results would be other bits,
 * and slow. */
static peft_status choose_fastest(peft_dtype dtype, const peft_backend **chosen, peft_error *error)
{
    peft_error first = {0};
    int index = 0;
    for (const peft_backend *backend; (backend = next_with(dtype, &index));) {
        peft_error found = {0};
        *chosen = backend;
        peft_status status = backend->check(dtype, &found);
        if (status == PEFT_OK) return PEFT_OK;
        if (first.status == PEFT_OK || status == PEFT_ERR_MEMORY) first = found;
        if (status == PEFT_ERR_MEMORY) break;
    }
    return peft_fail(error, first.status, "%s", first.message);
}

static peft_status choose_named(const char *name, peft_dtype dtype, const peft_backend **chosen, peft_error *error)
{
    *chosen = find_backend(name);
    if (!*chosen) return peft_fail(error, PEFT_ERR_ARGUMENT, "backend: no backend is called \"%s\"", name);
    if (has_dtype(*chosen, dtype)) return (*chosen)->check(dtype, error);
    int index = 0;
    const peft_backend *other = next_with(dtype, &index);
    return peft_fail(error, PEFT_ERR_UNSUPPORTED, "bf16: backend %s has f32 alone; expected %s", name,
                     other ? other->name : "another");
}

/* ---- opening ---- */

/* Those that this process may run on. */
static int num_processors(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    return count > 0 ? count : 1;
}

peft_status peft_context_open_on(peft_context **ctx, const peft_backend *backend, const peft_context_options *options,
                                 peft_error *error)
{
    *ctx = NULL;
    if (options->threads < 0)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "threads: expected 0 or more, found %d", options->threads);
    peft_context *made = calloc(1, sizeof *made);
    if (!made) return peft_fail(error, PEFT_ERR_MEMORY, "context: out of memory");
    made->threads = options->threads ? options->threads : num_processors();
    made->backend = backend;
    made->seed = options->seed;
    made->dtype = options->dtype;
    atomic_flag_clear(&made->failing);
    atomic_flag_clear(&made->timing);
    peft_status status = backend->open(&made->state, made->dtype, made->threads, error);
    if (status != PEFT_OK) {
        free(made);
        return status;
    }
    *ctx = made;
    return PEFT_OK;
}

peft_status peft_context_open(peft_context **ctx, const peft_context_options *options, peft_error *error)
{
    *ctx = NULL;
    const peft_context_options wanted = options ? *options : (peft_context_options){0};
    if (wanted.dtype != PEFT_F32 && wanted.dtype != PEFT_BF16)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "dtype: expected F32 or BF16, found %s",
                         peft_dtype_name(wanted.dtype));
    const peft_backend *backend = NULL;
    peft_status status = wanted.backend ? choose_named(wanted.backend, wanted.dtype, &backend, error)
                                        : choose_fastest(wanted.dtype, &backend, error);
    return status == PEFT_OK ? peft_context_open_on(ctx, backend, &wanted, error) : status;
}

void peft_context_close(peft_context *ctx)
{
    if (!ctx) return;
    peft_context_settle(ctx);
    if (ctx->leaves) ctx->backend->device->release(ctx->state, ctx->leaves);
    ctx->backend->close(ctx->state);
    free(ctx);
}

/* ---- what it is, and what it is told ---- */

int peft_context_threads(const peft_context *ctx)
{
    return ctx->threads;
}

const char *peft_context_backend(const peft_context *ctx)
{
    return ctx->backend->name;
}

peft_dtype peft_context_dtype(const peft_context *ctx)
{
    return ctx->dtype;
}

bool peft_context_amx(const peft_context *ctx)
{
    return ctx->backend->amx && ctx->backend->amx(ctx->state);
}

bool peft_context_on_device(const peft_context *ctx)
{
    return ctx->backend->device != NULL;
}

int64_t peft_context_least_recalled_rows(const peft_context *ctx)
{
    return ctx->backend->least_recalled_rows;
}

void peft_context_expect(peft_context *ctx, int64_t rows)
{
    if (ctx->backend->expect) ctx->backend->expect(ctx->state, rows);
}

void peft_context_set_step(peft_context *ctx, int64_t step)
{
    peft_context_settle(ctx);
    ctx->step = step;
}

void peft_context_loop(peft_context *ctx, int64_t pieces, peft_piece_function *run, void *argument)
{
    peft_context_settle(ctx);
    ctx->backend->loop(ctx->state, pieces, run, argument);
}

void peft_context_profile(peft_context *ctx, peft_profile *profile)
{
    peft_context_settle(ctx);
    ctx->profile = profile;
}

/* ---- while it runs ---- */

size_t peft_context_bytes(const peft_context *ctx)
{
    return ctx->buffer_bytes;
}

peft_status peft_context_reserve(peft_context *ctx, size_t bytes, peft_error *error)
{
    if (bytes <= ctx->buffer_bytes && ctx->buffer) return PEFT_OK;
    ctx->buffer_bytes = 0;
    peft_status status = ctx->backend->reserve(ctx->state, bytes, &ctx->buffer, error);
    if (status == PEFT_OK) ctx->buffer_bytes = bytes;
    return status;
}

void peft_context_fail(peft_context *ctx, peft_status status, const char *format, ...)
{
    if (atomic_flag_test_and_set(&ctx->failing)) return;
    if (ctx->error.status == PEFT_OK) {
        va_list arguments;
        va_start(arguments, format);
        peft_fail_va(&ctx->error, status, format, arguments);
        va_end(arguments);
    }
    atomic_flag_clear(&ctx->failing);
}
