#include "ops/cpu/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "ops/cpu/room.h"

/* ---- what the backends share ---- */

peft_status peft_cpu_open(peft_cpu *cpu, int threads, peft_error *error)
{
    *cpu = (peft_cpu){0};
    peft_status status = peft_team_open(&cpu->team, threads, error);
    return status == PEFT_OK ? peft_gemm_reserve(threads, error) : status;
}

void peft_cpu_close(peft_cpu *cpu)
{
    peft_team_close(cpu->team);
    free(cpu->buffer);
    *cpu = (peft_cpu){0};
}

static peft_status open_cpu(void **state, peft_dtype dtype, int threads, peft_error *error)
{
    (void)dtype;
    peft_cpu *cpu = calloc(1, sizeof *cpu);
    peft_status status =
        cpu ? peft_cpu_open(cpu, threads, error) : peft_fail(error, PEFT_ERR_MEMORY, "context: out of memory");
    if (status != PEFT_OK && cpu) {
        peft_cpu_close(cpu);
        free(cpu);
        cpu = NULL;
    }
    *state = cpu;
    return status;
}

static void close_cpu(void *state)
{
    peft_cpu_close(state);
    free(state);
}

void peft_cpu_loop(void *state, int64_t pieces, peft_piece_function *run, void *argument)
{
    const peft_cpu *cpu = state;
    peft_team_run(cpu->team, pieces, run, argument);
}

peft_status peft_cpu_reserve(void *state, size_t bytes, char **buffer, peft_error *error)
{
    enum { PAGE = 4096, HUGE_PAGE = 1 << 21 };
    peft_cpu *cpu = state;
    free(cpu->buffer);
    *buffer = cpu->buffer = NULL;
    size_t page = bytes < HUGE_PAGE ? PAGE : HUGE_PAGE;
    size_t whole = (bytes / page + 1) * page;
    /* What kernels' libraries allocate while they run is little, but they do not look whether they got it. */
    if (peft_has_room(whole + page + PEFT_ROOM_FOR_LITTLE)) *buffer = cpu->buffer = aligned_alloc(page, whole);
    if (!cpu->buffer)
        return peft_fail(error, PEFT_ERR_MEMORY,
                         "run: the plan needs %zu bytes, which this machine does not give; "
                         "take a smaller batch or checkpoint the layers",
                         bytes);
    /* Work strides over the rows of large matrices. Whole huge pages alone: no byte more than planned is touched. */
    madvise(cpu->buffer, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    return PEFT_OK;
}

static const char *library_version(char text[PEFT_VERSION_TEXT])
{
    snprintf(text, PEFT_VERSION_TEXT, "%s", peft_gemm_version());
    return text;
}

/* ---- one backend for each set of instructions ---- */

/* The kernels are the files of ops/cpu/kernels. */
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
#define KERNELS(kernels)         PEFT_OP_LIST(DECLARE_##kernels) TABLE(kernels)

KERNELS(portable_f64)

/* `supported`: does this CPU have the instructions? */
#define BACKEND(kernels, supported)                                                                                    \
    KERNELS(kernels)                                                                                                   \
    static peft_status check_##kernels(peft_dtype dtype, peft_error *error)                                            \
    {                                                                                                                  \
        (void)dtype;                                                                                                   \
        if (supported) return PEFT_OK;                                                                                 \
        return peft_fail(error, PEFT_ERR_UNSUPPORTED, "backend %s: this CPU lacks its instructions", #kernels);        \
    }                                                                                                                  \
    static const peft_kernel *kernel_##kernels(const void *state, const peft_node *node)                               \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        return node->out[0]->dtype == PEFT_F64 ? kernels_portable_f64[node->op] : kernels_##kernels[node->op];         \
    }                                                                                                                  \
    const peft_backend peft_backend_##kernels = {.name = #kernels,                                                     \
                                                 .library = "blis",                                                    \
                                                 .library_version = library_version,                                   \
                                                 .dtypes = PEFT_DTYPE_BIT(PEFT_F32),                                   \
                                                 .check = check_##kernels,                                             \
                                                 .open = open_cpu,                                                     \
                                                 .close = close_cpu,                                                   \
                                                 .kernel = kernel_##kernels,                                           \
                                                 .loop = peft_cpu_loop,                                                \
                                                 .reserve = peft_cpu_reserve,                                          \
                                                 .least_recalled_rows = PEFT_CPU_LEAST_RECALLED_ROWS,                  \
                                                 .chains = true};

BACKEND(portable, true)
#if defined(__x86_64__)
BACKEND(avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
BACKEND(avx512, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
#endif

peft_gemm_arch peft_cpu_fastest_products(void)
{
#if defined(__x86_64__)
    if (peft_backend_avx512.check(PEFT_F64, NULL) == PEFT_OK) return PEFT_GEMM_avx512;
    if (peft_backend_avx2.check(PEFT_F64, NULL) == PEFT_OK) return PEFT_GEMM_avx2;
#endif
    return PEFT_GEMM_portable;
}
