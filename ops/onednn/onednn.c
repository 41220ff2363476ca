#include "ops/onednn/onednn.h"

#include <stdlib.h>

#include "ops/cpu/cpu.h"
#include "ops/describe/low_rank.h"
#include "ops/onednn/kernels.h"
#include "ops/onednn/packed.h"

typedef struct state {
    peft_cpu cpu; /* first: functions of the CPU's backends take it for theirs */
    peft_dnnl *dnnl;
    bool bf16;
} state;

/* ---- opening ---- */

static peft_status check(peft_dtype dtype, peft_error *error)
{
    peft_status status = peft_backend_avx512.check(dtype, NULL);
    if (status != PEFT_OK)
        return peft_fail(error, status, "backend %s: this CPU lacks its instructions", peft_backend_onednn.name);
    return peft_dnnl_check(dtype, error);
}

static void close_state(void *opened)
{
    state *s = opened;
    if (!s) return;
    peft_dnnl_close(s->dnnl);
    peft_cpu_close(&s->cpu);
    free(s);
}

static peft_status open_state(void **opened, peft_dtype dtype, int threads, peft_error *error)
{
    *opened = NULL;
    state *s = calloc(1, sizeof *s);
    if (!s) return peft_fail(error, PEFT_ERR_MEMORY, "context: out of memory");
    s->bf16 = dtype == PEFT_BF16;
    peft_status status = peft_cpu_open(&s->cpu, threads, error);
    if (status == PEFT_OK) status = peft_dnnl_open(&s->dnnl, dtype, threads, error);
    if (status == PEFT_OK)
        *opened = s;
    else
        close_state(s);
    return status;
}

/* ---- kernels ---- */

static const peft_kernel *const kernels_bf16[PEFT_NUM_OPS] = {[PEFT_OP_activation] = &peft_kernel_activation_bf16,
                                                              [PEFT_OP_attention] = &peft_kernel_attention_bf16,
                                                              [PEFT_OP_cast] = &peft_kernel_cast_bf16,
                                                              [PEFT_OP_dropout] = &peft_kernel_dropout_bf16,
                                                              [PEFT_OP_low_rank] = &peft_kernel_low_rank_bf16};

static bool has_few_ranks(const peft_node *node)
{
    return node->op == PEFT_OP_low_rank && ((const peft_low_rank_attributes *)node->attributes)->rank <= PEFT_FEW_RANKS;
}

static const peft_kernel *kernel(const void *opened, const peft_node *node)
{
    const state *s = opened;
    if (peft_packed_of(node, s->dnnl)) return s->bf16 ? &peft_kernel_linear_packed_bf16 : &peft_kernel_linear_packed;
    bool rounds = s->bf16 && kernels_bf16[node->op] && node->out[0]->dtype != PEFT_F64;
    if (!rounds) return peft_backend_avx512.kernel(opened, node);
    return has_few_ranks(node) ? &peft_kernel_low_rank_few : kernels_bf16[node->op];
}

/* ---- weights ---- */

/* To turn weights in each step takes time, a second copy takes memory. In large batches of a large model the one is
 * little and the other much; but not in bf16, with its half as large copies in another order. */
static peft_packing packing(const void *opened, int64_t elements, int64_t rows)
{
    const state *s = opened;
    const int64_t much = (64 << 20) / (int64_t)sizeof(float);
    bool turns = !s->bf16 && elements > much && rows >= PEFT_CPU_LEAST_RECALLED_ROWS;
    return turns ? PEFT_PACK_ONCE : PEFT_PACK_BOTH;
}

static peft_status pack(void *opened, const peft_weight *weight, peft_packing wanted, peft_form **form,
                        peft_error *error)
{
    const state *s = opened;
    peft_packed *packed = NULL;
    *form = NULL;
    if (weight->stored.format == PEFT_FORMAT_Q8_0) return PEFT_OK; /* it would be larger than what is stored */
    peft_status status = peft_packed_make(&packed, s->dnnl, weight, wanted, error);
    *form = packed ? &packed->form : NULL;
    return status;
}

static void unpack(peft_form *form)
{
    peft_packed_free((peft_packed *)(void *)form);
}

static void expect(void *opened, int64_t rows)
{
    const state *s = opened;
    peft_packed_expect(s->dnnl, rows);
}

static bool amx(const void *opened)
{
    return peft_dnnl_amx(((const state *)opened)->dnnl);
}

const peft_backend peft_backend_onednn = {.name = "onednn",
                                          .library = "onednn",
                                          .library_version = peft_dnnl_version,
                                          .dtypes = PEFT_DTYPE_BIT(PEFT_F32) | PEFT_DTYPE_BIT(PEFT_BF16),
                                          .check = check,
                                          .open = open_state,
                                          .close = close_state,
                                          .kernel = kernel,
                                          .loop = peft_cpu_loop,
                                          .reserve = peft_cpu_reserve,
                                          .expect = expect,
                                          .packing = packing,
                                          .pack = pack,
                                          .unpack = unpack,
                                          .least_recalled_rows = PEFT_CPU_LEAST_RECALLED_ROWS,
                                          .chains = true,
                                          .amx = amx};
