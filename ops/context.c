#include "ops/context_internal.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* The kernels of a backend are the files of ops/kernels, compiled for it. Fastest first; portable runs everywhere. */
#if defined(__x86_64__) && !defined(PEFT_PORTABLE_ONLY)
#define BACKEND_LIST(X)                                                                                                \
    X(avx512, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))                                 \
    X(avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))                                           \
    X(portable, 1)
#else
#define BACKEND_LIST(X) X(portable, 1)
#endif

#define TABLE(backend)                                                                                                 \
    static const peft_kernel *const kernels_##backend[PEFT_NUM_OPS] = {PEFT_OP_LIST(ENTRY_##backend)};
#define DECLARE_avx512(op)          extern const peft_kernel peft_kernel_##op##_avx512;
#define DECLARE_avx2(op)            extern const peft_kernel peft_kernel_##op##_avx2;
#define DECLARE_portable(op)        extern const peft_kernel peft_kernel_##op##_portable;
#define DECLARE_portable_f64(op)    extern const peft_kernel peft_kernel_##op##_portable_f64;
#define ENTRY_avx512(op)            &peft_kernel_##op##_avx512,
#define ENTRY_avx2(op)              &peft_kernel_##op##_avx2,
#define ENTRY_portable(op)          &peft_kernel_##op##_portable,
#define ENTRY_portable_f64(op)      &peft_kernel_##op##_portable_f64,

#define DECLARE(backend, supported) PEFT_OP_LIST(DECLARE_##backend) TABLE(backend)
BACKEND_LIST(DECLARE)
DECLARE(portable_f64, 1)

typedef struct backend {
    const char *name;
    peft_kernel_table kernels;
} backend;

static const backend backends[] = {
#define X(name, supported) {#name, kernels_##name},
    BACKEND_LIST(X)
#undef X
};
enum { NUM_BACKENDS = sizeof backends / sizeof backends[0] };

static bool supported(int index)
{
    const bool table[] = {
#define X(name, condition) (condition) != 0,
        BACKEND_LIST(X)
#undef X
    };
    return table[index];
}

const char *peft_backend_name(int index)
{
    return index >= 0 && index < NUM_BACKENDS ? backends[index].name : NULL;
}

static int find_backend(const char *name)
{
    for (int k = 0; k < NUM_BACKENDS; k++)
        if (name ? strcmp(backends[k].name, name) == 0 : supported(k)) return k;
    return -1;
}

bool peft_backend_available(const char *name)
{
    int index = find_backend(name);
    return index >= 0 && supported(index);
}

/* Those that this process may run on. */
static int num_processors(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    return count > 0 ? count : 1;
}

peft_status peft_context_open(peft_context **ctx, const peft_context_options *options, peft_error *error)
{
    *ctx = NULL;
    peft_context_options wanted = options ? *options : (peft_context_options){0};
    int index = find_backend(wanted.backend);
    if (index < 0) return peft_fail(error, PEFT_ERR_ARGUMENT, "backend: no backend is called \"%s\"", wanted.backend);
    if (!supported(index))
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "backend %s: this CPU lacks its instructions", wanted.backend);
    if (wanted.threads < 0)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "threads: expected 0 or more, found %d", wanted.threads);
    peft_context *made = calloc(1, sizeof *made);
    if (!made) return peft_fail(error, PEFT_ERR_MEMORY, "context: out of memory");
    made->threads = wanted.threads ? wanted.threads : num_processors();
    made->backend = backends[index].name;
    made->kernels = backends[index].kernels;
    made->kernels_f64 = kernels_portable_f64;
    made->seed = wanted.seed;
    atomic_flag_clear(&made->failing);
    peft_status status = peft_team_open(&made->team, made->threads, error);
    if (status != PEFT_OK) {
        free(made);
        return status;
    }
    *ctx = made;
    return PEFT_OK;
}

void peft_context_close(peft_context *ctx)
{
    if (!ctx) return;
    peft_team_close(ctx->team);
    free(ctx->buffer);
    free(ctx);
}

int peft_context_threads(const peft_context *ctx)
{
    return ctx->threads;
}

const char *peft_context_backend(const peft_context *ctx)
{
    return ctx->backend;
}

void peft_context_set_step(peft_context *ctx, int64_t step)
{
    ctx->step = step;
}

size_t peft_context_bytes(const peft_context *ctx)
{
    return ctx->buffer_bytes;
}

const peft_kernel *peft_context_kernel(const peft_context *ctx, const peft_node *node)
{
    return (node->out[0]->dtype == PEFT_F64 ? ctx->kernels_f64 : ctx->kernels)[node->op];
}

peft_status peft_context_reserve(peft_context *ctx, size_t bytes, peft_error *error)
{
    enum { PAGE = 4096 };
    if (bytes <= ctx->buffer_bytes && ctx->buffer) return PEFT_OK;
    free(ctx->buffer);
    ctx->buffer_bytes = 0;
    ctx->buffer = aligned_alloc(PAGE, (bytes / PAGE + 1) * PAGE);
    if (!ctx->buffer)
        return peft_fail(error, PEFT_ERR_MEMORY,
                         "run: the plan needs %zu bytes, which this machine does not give; "
                         "take a smaller batch or checkpoint the layers",
                         bytes);
    ctx->buffer_bytes = bytes;
    return PEFT_OK;
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

void *peft_shared_scratch(const peft_context *ctx)
{
    return ctx->shared;
}

typedef struct row_loop {
    const peft_node *node;
    peft_context *ctx;
    int64_t rows, grain;
    peft_rows_function *run;
} row_loop;

static void run_piece(void *argument, int64_t piece, int thread)
{
    const row_loop *l = argument;
    int64_t begin = piece * l->grain;
    int64_t end = begin + l->grain < l->rows ? begin + l->grain : l->rows;
    l->run(l->node, l->ctx, begin, end, l->ctx->scratch + (size_t)thread * l->ctx->scratch_stride);
}

void peft_for_rows(const peft_node *node, peft_context *ctx, int64_t rows, int64_t grain, peft_rows_function *run)
{
    row_loop loop = {node, ctx, rows, grain, run};
    peft_team_run(ctx->team, (rows + grain - 1) / grain, run_piece, &loop);
}
