#include "ops/engine/context_internal.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ops/engine/tiles.h"
#include "ops/onednn/packed.h"

/* The kernels of a backend are the files of ops/cpu/kernels, compiled for it. Fastest first; portable runs everywhere.
 * name, kernels, does it pack frozen weights, does the CPU have it */
#if defined(__x86_64__) && !defined(PEFT_PORTABLE_ONLY)
#define HAS_AVX512 (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
#define HAS_AVX2   (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#define KERNELS_LIST(X)                                                                                                \
    X(avx512)                                                                                                          \
    X(avx2)                                                                                                            \
    X(portable)
#define BACKEND_LIST(X)                                                                                                \
    X(onednn, avx512, true, HAS_AVX512)                                                                                \
    X(avx512, avx512, false, HAS_AVX512)                                                                               \
    X(avx2, avx2, false, HAS_AVX2)                                                                                     \
    X(portable, portable, false, 1)
#else
#define KERNELS_LIST(X) X(portable)
#define BACKEND_LIST(X) X(portable, portable, false, 1)
#endif

#define TABLE(kernels)                                                                                                 \
    static const peft_kernel *const kernels_##kernels[PEFT_NUM_OPS] = {PEFT_OP_LIST(ENTRY_##kernels)};
#define DECLARE_avx512(op)       extern const peft_kernel peft_kernel_##op##_avx512;
#define DECLARE_avx2(op)         extern const peft_kernel peft_kernel_##op##_avx2;
#define DECLARE_portable(op)     extern const peft_kernel peft_kernel_##op##_portable;
#define DECLARE_portable_f64(op) extern const peft_kernel peft_kernel_##op##_portable_f64;
#define ENTRY_avx512(op)         &peft_kernel_##op##_avx512,
#define ENTRY_avx2(op)           &peft_kernel_##op##_avx2,
#define ENTRY_portable(op)       &peft_kernel_##op##_portable,
#define ENTRY_portable_f64(op)   &peft_kernel_##op##_portable_f64,

#define DECLARE(kernels)         PEFT_OP_LIST(DECLARE_##kernels) TABLE(kernels)
KERNELS_LIST(DECLARE)
DECLARE(portable_f64)

/* Instead of these in bf16: kernels whose products have rounded factors (that of `linear` depends on its weight), and
 * those that round faster. */
static const peft_kernel *const kernels_bf16[PEFT_NUM_OPS] = {[PEFT_OP_activation] = &peft_kernel_activation_bf16,
                                                              [PEFT_OP_attention] = &peft_kernel_attention_bf16,
                                                              [PEFT_OP_cast] = &peft_kernel_cast_bf16,
                                                              [PEFT_OP_dropout] = &peft_kernel_dropout_bf16,
                                                              [PEFT_OP_low_rank] = &peft_kernel_low_rank_bf16};

typedef struct backend {
    const char *name;
    peft_kernel_table kernels;
    bool packs; /* frozen weights, by oneDNN */
} backend;

static const backend backends[] = {
#define X(name, kernels, packs, supported) {#name, kernels_##kernels, packs},
    BACKEND_LIST(X)
#undef X
};
enum { NUM_BACKENDS = sizeof backends / sizeof backends[0] };

static bool cpu_supports(int index)
{
    const bool table[] = {
#define X(name, kernels, packs, supported) (supported) != 0,
        BACKEND_LIST(X)
#undef X
    };
    return table[index];
}

const char *peft_backend_name(int index)
{
    return index >= 0 && index < NUM_BACKENDS ? backends[index].name : NULL;
}

static bool available(int index)
{
    return cpu_supports(index) && (!backends[index].packs || peft_dnnl_available());
}

static int find_backend(const char *name)
{
    for (int k = 0; k < NUM_BACKENDS; k++)
        if (name ? strcmp(backends[k].name, name) == 0 : available(k)) return k;
    return -1;
}

bool peft_backend_available(const char *name)
{
    int index = find_backend(name);
    return index >= 0 && available(index);
}

bool peft_dtype_available(peft_dtype dtype)
{
    return dtype == PEFT_F32 || (dtype == PEFT_BF16 && peft_backend_available("onednn") && peft_dnnl_has_bf16());
}

/* Those that this process may run on. */
static int num_processors(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    return count > 0 ? count : 1;
}

/* Which backend computes as wanted; bf16 is one's alone. */
static peft_status choose_backend(const peft_context_options *wanted, int *index, peft_error *error)
{
    bool bf16 = wanted->dtype == PEFT_BF16;
    if (!bf16 && wanted->dtype != PEFT_F32)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "dtype: expected F32 or BF16, found %s",
                         peft_dtype_name(wanted->dtype));
    const char *name = !wanted->backend && bf16 ? "onednn" : wanted->backend;
    *index = find_backend(name);
    if (*index < 0) return peft_fail(error, PEFT_ERR_ARGUMENT, "backend: no backend is called \"%s\"", name);
    if (bf16 && !backends[*index].packs)
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "bf16: backend %s has f32 alone; expected onednn", name);
    if (!cpu_supports(*index))
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "backend %s: this CPU lacks its instructions", name);
    return PEFT_OK;
}

peft_status peft_context_open(peft_context **ctx, const peft_context_options *options, peft_error *error)
{
    *ctx = NULL;
    peft_context_options wanted = options ? *options : (peft_context_options){0};
    int index = 0;
    peft_status status = choose_backend(&wanted, &index, error);
    if (status != PEFT_OK) return status;
    if (wanted.threads < 0)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "threads: expected 0 or more, found %d", wanted.threads);
    peft_context *made = calloc(1, sizeof *made);
    if (!made) return peft_fail(error, PEFT_ERR_MEMORY, "context: out of memory");
    made->threads = wanted.threads ? wanted.threads : num_processors();
    made->backend = backends[index].name;
    made->kernels = backends[index].kernels;
    made->kernels_f64 = kernels_portable_f64;
    made->seed = wanted.seed;
    made->dtype = wanted.dtype;
    atomic_flag_clear(&made->failing);
    atomic_flag_clear(&made->timing);
    status = peft_team_open(&made->team, made->threads, error);
    if (status == PEFT_OK && backends[index].packs)
        status = peft_dnnl_open(&made->dnnl, made->dtype, made->threads, error);
    if (status != PEFT_OK) {
        peft_context_close(made);
        return status;
    }
    *ctx = made;
    return PEFT_OK;
}

void peft_context_close(peft_context *ctx)
{
    if (!ctx) return;
    peft_dnnl_close(ctx->dnnl);
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

peft_dtype peft_context_dtype(const peft_context *ctx)
{
    return ctx->dtype;
}

bool peft_context_amx(const peft_context *ctx)
{
    return ctx->dnnl && peft_dnnl_amx(ctx->dnnl);
}

void peft_context_expect(peft_context *ctx, int64_t rows)
{
    if (ctx->dnnl) peft_packed_expect(ctx->dnnl, rows);
}

void peft_context_set_step(peft_context *ctx, int64_t step)
{
    ctx->step = step;
}

void peft_context_profile(peft_context *ctx, peft_profile *profile)
{
    ctx->profile = profile;
}

size_t peft_context_bytes(const peft_context *ctx)
{
    return ctx->buffer_bytes;
}

const peft_kernel *peft_context_kernel(const peft_context *ctx, const peft_node *node)
{
    if (peft_packed_serves(node, ctx->dnnl)) return &peft_kernel_packed_linear;
    if (node->out[0]->dtype == PEFT_F64) return ctx->kernels_f64[node->op];
    const peft_kernel *rounded = ctx->dtype == PEFT_BF16 ? kernels_bf16[node->op] : NULL;
    if (!rounded) return ctx->kernels[node->op];
    const peft_kernel *better = rounded->better ? rounded->better(node) : NULL;
    return better ? better : rounded;
}

peft_status peft_context_reserve(peft_context *ctx, size_t bytes, peft_error *error)
{
    enum { PAGE = 4096, HUGE_PAGE = 1 << 21 };
    if (bytes <= ctx->buffer_bytes && ctx->buffer) return PEFT_OK;
    free(ctx->buffer);
    ctx->buffer_bytes = 0;
    size_t page = bytes < HUGE_PAGE ? PAGE : HUGE_PAGE;
    ctx->buffer = aligned_alloc(page, (bytes / page + 1) * page);
    if (!ctx->buffer)
        return peft_fail(error, PEFT_ERR_MEMORY,
                         "run: the plan needs %zu bytes, which this machine does not give; "
                         "take a smaller batch or checkpoint the layers",
                         bytes);
    /* Work strides over the rows of large matrices. Whole huge pages alone: no byte more than planned is touched. */
    madvise(ctx->buffer, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
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

typedef struct row_loop {
    const peft_node *node;
    peft_context *ctx;
    int64_t rows, cut; /* rows of a piece, or tiles */
    peft_rows_function *run;
} row_loop;

static void run_rows(const row_loop *l, int64_t begin, int64_t end, int thread)
{
    l->run(l->node, l->ctx, begin, end, l->ctx->scratch + (size_t)thread * l->ctx->scratch_stride);
}

static void run_piece(void *argument, int64_t piece, int thread)
{
    const row_loop *l = argument;
    int64_t begin = piece * l->cut, end = begin + l->cut;
    run_rows(l, begin, end < l->rows ? end : l->rows, thread);
}

void peft_for_rows(const peft_node *node, peft_context *ctx, int64_t rows, int64_t grain, peft_rows_function *run)
{
    row_loop loop = {node, ctx, rows, grain, run};
    peft_team_run(ctx->team, (rows + grain - 1) / grain, run_piece, &loop);
}

static void run_tile(void *argument, int64_t tile, int thread)
{
    const row_loop *l = argument;
    run_rows(l, peft_tile_begin(l->rows, l->cut, tile), peft_tile_begin(l->rows, l->cut, tile + 1), thread);
}

void peft_for_tiles(const peft_node *node, peft_context *ctx, int64_t rows, peft_rows_function *run)
{
    row_loop loop = {node, ctx, rows, peft_tiles(rows), run};
    peft_team_run(ctx->team, loop.cut, run_tile, &loop);
}

void peft_run_part(const peft_node *node, peft_context *ctx, const peft_part *part)
{
    if (part->run) peft_for_rows(node, ctx, part->pieces(node), 1, part->run);
}
