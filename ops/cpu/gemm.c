#include "ops/cpu/gemm.h"

#include <blis.h>
#include <stdlib.h>

#include "ops/cpu/room.h"

/* BLIS keeps the blocks of a kernel family as a context; looking one up builds it on first use, under a lock. */
static const cntx_t *context_of(peft_gemm_arch arch)
{
    static const arch_t ids[PEFT_NUM_GEMM_ARCHS] = {
#if defined(__x86_64__)
        [PEFT_GEMM_avx512] = BLIS_ARCH_SKX,
        [PEFT_GEMM_avx2] = BLIS_ARCH_HASWELL,
#else
        [PEFT_GEMM_avx512] = BLIS_ARCH_GENERIC,
        [PEFT_GEMM_avx2] = BLIS_ARCH_GENERIC,
#endif
        [PEFT_GEMM_portable] = BLIS_ARCH_GENERIC,
        [PEFT_GEMM_portable_f64] = BLIS_ARCH_GENERIC,
    };
    bli_init();
    return bli_gks_lookup_nat_cntx(ids[arch]);
}

/* Our tiles are the threads (ops/engine/op.h, peft_for_rows); BLIS runs each product on the one that calls. */
static rntm_t one_thread(void)
{
    rntm_t runtime = BLIS_RNTM_INITIALIZER;
    bli_rntm_set_num_threads(1, &runtime);
    return runtime;
}

/* Of A and of B; blocks of C are for products that we do not use. */
static const packbuf_t block_kinds[] = {BLIS_BUFFER_FOR_A_BLOCK, BLIS_BUFFER_FOR_B_PANEL};
enum { NUM_BLOCK_KINDS = sizeof block_kinds / sizeof *block_kinds };

static size_t block_bytes(packbuf_t kind)
{
    enum { PAGES = 1 << 14 }; /* beside each block: for its alignment */
    return bli_pool_block_size(bli_pba_pool((dim_t)bli_packbuf_index(kind), bli_pba_query())) + PAGES;
}

/* Its pools keep blocks that were given back, so all are taken before the first is. */
static void fill_pools(mem_t *blocks, int threads)
{
    rntm_t runtime = one_thread();
    bli_pba_rntm_set_pba(&runtime);
    for (int k = 0; k < threads * NUM_BLOCK_KINDS; k++)
        bli_pba_acquire_m(&runtime, 1, block_kinds[k % NUM_BLOCK_KINDS], &blocks[k]);
    for (int k = 0; k < threads * NUM_BLOCK_KINDS; k++) bli_pba_release(&runtime, &blocks[k]);
}

peft_status peft_gemm_reserve(int threads, peft_error *error)
{
    mem_t *blocks = calloc((size_t)threads * NUM_BLOCK_KINDS, sizeof *blocks);
    size_t bytes = PEFT_ROOM_FOR_LITTLE;
    bool fits = blocks && peft_has_room(bytes);
    if (fits) bli_init();
    for (int kind = 0; fits && kind < NUM_BLOCK_KINDS; kind++)
        bytes += (size_t)threads * block_bytes(block_kinds[kind]);
    fits = fits && peft_has_room(bytes);
    if (fits) fill_pools(blocks, threads);
    free(blocks);
    if (fits) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_MEMORY,
                     "products: this machine does not give the %zu bytes in which %d threads pack their matrices; take "
                     "fewer threads",
                     bytes, threads);
}

void peft_gemm_f32(peft_gemm_arch arch, const peft_gemm_shape *s, float alpha, const float *a, const float *b,
                   float beta, float *c)
{
    rntm_t runtime = one_thread();
    bli_sgemm_ex(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, s->m, s->n, s->k, &alpha, (float *)(uintptr_t)a, s->row_a,
                 s->column_a, (float *)(uintptr_t)b, s->row_b, s->column_b, &beta, c, s->row_c, s->column_c,
                 (cntx_t *)(uintptr_t)context_of(arch), &runtime);
}

void peft_gemm_f64(peft_gemm_arch arch, const peft_gemm_shape *s, double alpha, const double *a, const double *b,
                   double beta, double *c)
{
    rntm_t runtime = one_thread();
    bli_dgemm_ex(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, s->m, s->n, s->k, &alpha, (double *)(uintptr_t)a, s->row_a,
                 s->column_a, (double *)(uintptr_t)b, s->row_b, s->column_b, &beta, c, s->row_c, s->column_c,
                 (cntx_t *)(uintptr_t)context_of(arch), &runtime);
}

int64_t peft_gemm_buffer_bytes(peft_gemm_arch arch, int64_t columns)
{
    const cntx_t *context = context_of(arch);
    int64_t mc = bli_cntx_get_blksz_max_dt(BLIS_FLOAT, BLIS_MC, (cntx_t *)(uintptr_t)context);
    int64_t kc = bli_cntx_get_blksz_max_dt(BLIS_FLOAT, BLIS_KC, (cntx_t *)(uintptr_t)context);
    int64_t nc = bli_cntx_get_blksz_max_dt(BLIS_FLOAT, BLIS_NC, (cntx_t *)(uintptr_t)context);
    return (mc + (columns < nc ? columns : nc)) * kc * (int64_t)sizeof(float);
}

const char *peft_gemm_version(void)
{
    return bli_info_get_version_str();
}
