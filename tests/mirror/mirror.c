#include "tests/mirror/mirror.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ops/cpu/cpu.h"
#include "ops/engine/context_internal.h"
#include "tests/mirror/memory.h"
#include "tests/mirror/queue.h"

/* What the host has of a leaf while a run goes on. */
typedef struct held {
    peft_leaf leaf;
    void *host;
    const void *before; /* a batch's values, to be put back; or NULL */
    size_t bytes;
} held;

enum { MOST_HELD = 1 << 14 };

typedef struct state {
    peft_cpu cpu; /* first: functions of the CPU's backends take it for theirs */
    mirror_memory memory;
    mirror_queue queue;
    held *held;
    size_t num_held, used_before; /* used_before: of the memory, where what was copied begins */
    int garbage;                  /* a file that is read over the host's copies */
    /* Of the portable kernels, for floats and for doubles, and the wrappers around them: */
    peft_kernel kernels[2][PEFT_NUM_OPS];
    peft_row_work works[2][PEFT_NUM_OPS][2];
} state;

/* ---- wrappers ---- */

static const peft_kernel *inner_of(const peft_context *ctx, const peft_node *node)
{
    return peft_backend_portable.kernel(ctx->state, node);
}

/* A node whose tensors lie where they can be touched. */
typedef struct moved_node {
    peft_node node;
    peft_tensor tensors[2 * PEFT_MAX_INPUTS + PEFT_MAX_OUTPUTS + 1];
    int num_tensors;
    bool fits;
} moved_node;

static size_t bytes_of(const peft_tensor *t)
{
    if (t->weight) return peft_weight_stored_bytes(t->weight);
    return (size_t)peft_shape_count(&t->shape) * peft_dtype_bytes(t->dtype);
}

/* Of a tensor that is there for a tile of its rows, the first of them can be looked for alone. What is nowhere else has
 * no address outside of tiles, and nobody looks. */
static void move_tensor(moved_node *m, const state *s, peft_tensor **tensor, bool tile)
{
    if (!*tensor || !(*tensor)->data) return;
    peft_tensor *own = &m->tensors[m->num_tensors++];
    *own = **tensor;
    own->data = mirror_memory_reach(&s->memory, own->data, tile ? 1 : bytes_of(own));
    own->host = NULL; /* it is no kernel's */
    m->fits = m->fits && own->data;
    *tensor = own;
}

static void move_node(moved_node *m, peft_context *ctx, const peft_node *node, bool tile)
{
    const state *s = ctx->state;
    *m = (moved_node){.node = *node, .fits = true};
    for (int32_t i = 0; i < node->num_inputs; i++) move_tensor(m, s, &m->node.in[i], tile);
    for (int32_t i = 0; i < node->num_inputs; i++) move_tensor(m, s, &m->node.din[i], tile);
    for (int32_t j = 0; j < node->num_outputs; j++) move_tensor(m, s, &m->node.out[j], tile);
    move_tensor(m, s, &m->node.dout, tile);
    m->node.shared = mirror_memory_reach(&s->memory, node->shared, 0);
    m->fits = m->fits && m->node.shared;
    if (!m->fits) peft_context_fail(ctx, PEFT_ERR_ARGUMENT, "mirror: a tensor lies outside of its memory");
}

static void run_node(const peft_node *node, peft_context *ctx, bool backward)
{
    const peft_kernel *inner = inner_of(ctx, node);
    moved_node m;
    move_node(&m, ctx, node, false);
    char *scratch = ctx->scratch;
    ctx->scratch = mirror_memory_reach(&((const state *)ctx->state)->memory, scratch, 0);
    if (m.fits && ctx->scratch) (backward ? inner->backward : inner->forward)(&m.node, ctx);
    ctx->scratch = scratch;
}

static void forward(const peft_node *node, peft_context *ctx)
{
    run_node(node, ctx, false);
}

static void backward(const peft_node *node, peft_context *ctx)
{
    run_node(node, ctx, true);
}

static void run_rows(peft_rows_function *run, const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                     const peft_thread *thread)
{
    moved_node m;
    move_node(&m, ctx, node, true);
    void *scratch = mirror_memory_reach(&((const state *)ctx->state)->memory, thread->scratch, 0);
    const peft_thread moved = {thread->number, scratch};
    if (m.fits && scratch) run(&m.node, ctx, begin, end, &moved);
}

/* One for each function of a peft_row_work, in either direction. */
#define ROWS(name, direction, member)                                                                                  \
    static void name(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end, const peft_thread *thread)  \
    {                                                                                                                  \
        run_rows(inner_of(ctx, node)->by_rows[direction]->member, node, ctx, begin, end, thread);                      \
    }
ROWS(forward_rows, 0, run)
ROWS(forward_before, 0, before.run)
ROWS(forward_after, 0, after.run)
ROWS(backward_rows, 1, run)
ROWS(backward_before, 1, before.run)
ROWS(backward_after, 1, after.run)

static void wrap_rows(peft_row_work *work, const peft_row_work *inner, int direction)
{
    *work = *inner;
    work->run = direction ? backward_rows : forward_rows;
    if (inner->before.run) work->before.run = direction ? backward_before : forward_before;
    if (inner->after.run) work->after.run = direction ? backward_after : forward_after;
}

static void wrap_kernels(state *s)
{
    static const peft_dtype dtypes[] = {PEFT_F32, PEFT_F64};
    for (int d = 0; d < 2; d++)
        for (int op = 0; op < PEFT_NUM_OPS; op++) {
            peft_tensor out = {.dtype = dtypes[d]};
            const peft_node node = {.op = (peft_op_id)op, .out = {&out}};
            peft_kernel *kernel = &s->kernels[d][op];
            *kernel = *peft_backend_portable.kernel(s, &node);
            if (kernel->forward) kernel->forward = forward;
            if (kernel->backward) kernel->backward = backward;
            for (int direction = 0; direction < 2; direction++) {
                if (!kernel->by_rows[direction]) continue;
                wrap_rows(&s->works[d][op][direction], kernel->by_rows[direction], direction);
                kernel->by_rows[direction] = &s->works[d][op][direction];
            }
        }
}

static const peft_kernel *kernel(const void *opened, const peft_node *node)
{
    const state *s = opened;
    return &s->kernels[node->out[0]->dtype == PEFT_F64][node->op];
}

/* ---- opening ---- */

enum { GARBAGE = 1 << 16 };

/* Bytes that are all ones: a NaN as a float or a double, -1 as an integer. */
static int open_garbage(void)
{
    static char ones[GARBAGE];
    memset(ones, 0xFF, sizeof ones);
    int file = memfd_create("garbage", 0);
    if (file >= 0 && pwrite(file, ones, sizeof ones, 0) == (ssize_t)sizeof ones) return file;
    if (file >= 0) close(file);
    return -1;
}

static peft_status check(peft_dtype dtype, peft_error *error)
{
    return peft_backend_portable.check(dtype, error);
}

static void close_state(void *opened)
{
    state *s = opened;
    if (!s) return;
    mirror_queue_close(&s->queue);
    mirror_memory_close(&s->memory);
    peft_cpu_close(&s->cpu);
    if (s->garbage > 0) close(s->garbage);
    free(s->held);
    free(s);
}

static peft_status open_state(void **opened, peft_dtype dtype, int threads, peft_error *error)
{
    (void)dtype;
    *opened = NULL;
    state *s = calloc(1, sizeof *s);
    if (!s) return peft_fail(error, PEFT_ERR_MEMORY, "context: out of memory");
    s->garbage = open_garbage();
    s->held = calloc(MOST_HELD, sizeof *s->held);
    peft_status status = peft_cpu_open(&s->cpu, threads, error);
    if (status == PEFT_OK) status = mirror_memory_open(&s->memory, error);
    if (status == PEFT_OK && (s->garbage < 0 || !s->held || !mirror_queue_open(&s->queue)))
        status = peft_fail(error, PEFT_ERR_MEMORY, "mirror: no thread");
    wrap_kernels(s);
    if (status == PEFT_OK)
        *opened = s;
    else
        close_state(s);
    return status;
}

/* ---- memory ---- */

static peft_status take(void *opened, size_t bytes, void **memory, peft_error *error)
{
    state *s = opened;
    return mirror_memory_take(&s->memory, bytes, memory, error);
}

static peft_status reserve(void *opened, size_t bytes, char **buffer, peft_error *error)
{
    void *memory;
    peft_status status = take(opened, bytes, &memory, error);
    *buffer = memory;
    return status;
}

static void release(void *opened, void *memory)
{
    (void)opened, (void)memory; /* addresses are not used again, so that a late look fails */
}

static void upload(void *opened, peft_leaf leaf, void *to, const void *from, size_t bytes)
{
    state *s = opened;
    memcpy(mirror_memory_reach(&s->memory, to, bytes), from, bytes);
    if (leaf != PEFT_LEAF_BATCH && leaf != PEFT_LEAF_GRADIENT) return;
    if (s->num_held < MOST_HELD) s->held[s->num_held++] = (held){leaf, (void *)(uintptr_t)from, NULL, bytes};
}

static void read_back(void *opened, void *to, const void *from, size_t bytes)
{
    const state *s = opened;
    memcpy(to, mirror_memory_reach(&s->memory, from, bytes), bytes);
}

/* ---- runs ---- */

/* The system refuses to read into memory that is constant, which nobody can change. */
static void overwrite(state *s, held *h)
{
    void *copy = NULL;
    if (h->leaf == PEFT_LEAF_BATCH) {
        if (take(s, h->bytes, &copy, NULL) != PEFT_OK) return;
        copy = mirror_memory_reach(&s->memory, copy, h->bytes);
        memcpy(copy, h->host, h->bytes);
    }
    size_t done = 0;
    for (ssize_t got = 1; done < h->bytes && got > 0; done += (size_t)got) {
        size_t left = h->bytes - done;
        got = pread(s->garbage, (char *)h->host + done, left < GARBAGE ? left : GARBAGE, 0);
        if (got < 0) got = 0;
    }
    if (done) h->before = copy;
}

static void run(void *opened, void (*function)(void *), void *argument)
{
    state *s = opened;
    s->used_before = s->memory.used;
    for (size_t k = 0; k < s->num_held; k++) overwrite(s, &s->held[k]);
    mirror_queue_give(&s->queue, function, argument);
}

static void wait_for_run(void *opened)
{
    state *s = opened;
    mirror_queue_wait(&s->queue);
    while (s->num_held > 0) {
        const held *h = &s->held[--s->num_held]; /* last first: memory may have been overwritten twice */
        if (h->before) memcpy(h->host, h->before, h->bytes);
    }
    s->memory.used = s->used_before;
}

/* ---- weights ---- */

static peft_status pack(void *opened, const peft_weight *weight, peft_packing packing, peft_form **form,
                        peft_error *error)
{
    (void)packing;
    size_t bytes = peft_weight_stored_bytes(weight);
    *form = calloc(1, sizeof **form);
    if (!*form) return peft_fail(error, PEFT_ERR_MEMORY, "mirror: out of memory");
    **form = (peft_form){.backend = &mirror_backend, .product_bytes = bytes};
    peft_status status = take(opened, bytes, &(*form)->memory, error);
    if (status == PEFT_OK) upload(opened, PEFT_LEAF_FROZEN, (*form)->memory, weight->stored.data, bytes);
    return status;
}

static void unpack(peft_form *form)
{
    free(form);
}

static const char *library_version(char text[PEFT_VERSION_TEXT])
{
    return peft_backend_portable.library_version(text);
}

static const peft_device device = {
    .allocate = take, .release = release, .upload = upload, .run = run, .wait = wait_for_run, .read = read_back};

const peft_backend mirror_backend = {.name = "mirror",
                                     .library = "blis",
                                     .library_version = library_version,
                                     .dtypes = PEFT_DTYPE_BIT(PEFT_F32),
                                     .check = check,
                                     .open = open_state,
                                     .close = close_state,
                                     .kernel = kernel,
                                     .loop = peft_cpu_loop,
                                     .device = &device,
                                     .reserve = reserve,
                                     .pack = pack,
                                     .unpack = unpack,
                                     .least_recalled_rows = PEFT_CPU_LEAST_RECALLED_ROWS,
                                     .chains = true};
