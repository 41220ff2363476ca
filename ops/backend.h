/* ops/backend.h - what computes: a table of functions and traits that a context is opened with
 * (docs/adding-a-backend.md).
 *
 * The engine (ops/engine) decides what is computed and where its results lie, and asks the backend for the kernel of
 * each node; it knows no backend. Each has a folder of its own, and its name in the list of ops/backends.c. */
#ifndef PEFT_OPS_BACKEND_H
#define PEFT_OPS_BACKEND_H

#include "ops/engine/op.h"
#include "ops/weight.h"

/* ---- kernels ---- */

/* What runs a kernel's function: one of the context's threads, by its number, and scratch memory of its own. */
typedef struct peft_thread {
    int number; /* 0 ... threads - 1 */
    void *scratch;
} peft_thread;

/* Work on the rows begin ... end - 1. */
typedef void peft_rows_function(const peft_node *node, peft_context *ctx, int64_t begin, int64_t end,
                                const peft_thread *thread);

/* Work in pieces that do not depend on each other, nor their number on that of the threads. */
typedef struct peft_part {
    int64_t (*pieces)(const peft_node *node);
    peft_rows_function *run; /* NULL: there is nothing to do */
} peft_part;

/* Work row by row: what it writes to some rows of the result, or of the gradients of the inputs named here, depends on
 * the same rows alone, and on other inputs that are whole already. Such neighbours run together (ops/engine/chain.h),
 * and find their rows in the tensors from first_row on. */
typedef struct peft_row_work {
    peft_rows_function *run;
    bool elements;                          /* `run` counts elements, not rows */
    uint32_t inputs;                        /* PEFT_IN(i): has the rows of the result */
    bool (*allowed)(const peft_node *node); /* for this node; NULL: for all */
    peft_part before, after;                /* the first rows, and the last */
} peft_row_work;

typedef struct peft_kernel {
    void (*forward)(const peft_node *node, peft_context *ctx);
    void (*backward)(const peft_node *node, peft_context *ctx);
    /* Bytes of scratch memory in one direction, for each thread and for all together; NULL: none. */
    size_t (*thread_bytes)(const peft_node *node, bool backward);
    size_t (*shared_bytes)(const peft_node *node, bool backward);
    size_t (*library_bytes)(const peft_node *node); /* what a library keeps for itself in each thread; NULL: nothing */
    const peft_row_work *by_rows[2];                /* forward, backward; NULL: not row by row */
    /* Values that need not be floats (ops/engine/narrow.h): */
    uint32_t takes_bf16; /* PEFT_IN(i): in[i], PEFT_OUT(0): dL/d out[0] may be bf16, to which they are rounded anyway */
    uint32_t gives_bf16; /* PEFT_OUT(0): out[0], PEFT_IN(i): dL/d in[i] may be written in bf16, if set, not added to */
    bool (*rounds)(const peft_node *node); /* whether it takes bf16 for this node; NULL: for all */
} peft_kernel;

/* ---- the memory of a device ---- */

/* Memory that the host cannot reach: addresses of it are formed, never followed. Calls come in this order: uploads,
 * then `run`, then `wait`, then reads. */
typedef struct peft_device {
    peft_status (*allocate)(void *state, size_t bytes, void **memory, peft_error *error);
    void (*release)(void *state, void *memory);
    /* What the host's memory is for is said by `leaf`: that of a batch need not stay what it is until the run is over.
     */
    void (*upload)(void *state, peft_leaf leaf, void *to, const void *from, size_t bytes);
    void (*run)(void *state, void (*function)(void *), void *argument); /* calls it, later, on a thread of its own */
    void (*wait)(void *state);                                          /* until it has returned */
    void (*read)(void *state, void *to, const void *from, size_t bytes);
} peft_device;

/* ---- weights ---- */

/* A frozen weight as a backend keeps it for itself: the first member of a struct of the backend's. */
typedef struct peft_form {
    const struct peft_backend *backend;
    size_t bytes;         /* of memory */
    size_t product_bytes; /* that a product reads */
    void *memory;         /* of a device, where it is as stored; else NULL */
} peft_form;

/* ---- a backend ---- */

/* `state` is what `open` has made. Functions that may be NULL say so. */
typedef struct peft_backend {
    const char *name;    /* "avx2" */
    const char *library; /* that multiplies its matrices: "blis" */
    const char *(*library_version)(char text[PEFT_VERSION_TEXT]);

    /* Can a context of this type be opened here? PEFT_ERR_UNSUPPORTED: the CPU or the library is not there;
     * PEFT_ERR_MEMORY: there is too little memory to tell. */
    uint32_t dtypes; /* PEFT_DTYPE_BIT of each that it has */
    peft_status (*check)(peft_dtype dtype, peft_error *error);

    peft_status (*open)(void **state, peft_dtype dtype, int threads, peft_error *error);
    void (*close)(void *state);

    /* The kernel that runs this node, by the type of its result, the form of its weight and what is asked for. */
    const peft_kernel *(*kernel)(const void *state, const peft_node *node);
    /* Runs all pieces, in any order, each once, and returns when the last is done. */
    void (*loop)(void *state, int64_t pieces, peft_piece_function *run, void *argument);
    const peft_device *device; /* NULL: kernels work in the host's memory */
    /* Memory for plans, in place of what was given before: the device's. */
    peft_status (*reserve)(void *state, size_t bytes, char **buffer, peft_error *error);
    /* Graphs with so many rows will come (peft_context_expect); NULL: it does not matter. */
    void (*expect)(void *state, int64_t rows);

    /* Forms of weights; NULL: products read weights as they are stored. pack leaves *form NULL for one that it has read
     * as stored, too. */
    peft_packing (*packing)(const void *state, int64_t elements, int64_t rows); /* see peft_context_packing */
    peft_status (*pack)(void *state, const peft_weight *weight, peft_packing packing, peft_form **form,
                        peft_error *error);
    void (*unpack)(peft_form *form);

    /* Traits. */
    int64_t least_recalled_rows;    /* results of fewer rows are not computed again (ops/engine/recall.h) */
    bool chains;                    /* neighbours that work row by row run together, tile after tile */
    bool (*amx)(const void *state); /* NULL: never */
} peft_backend;

#define PEFT_DTYPE_BIT(dtype) (1U << (dtype))

/* Backends in order of preference; NULL past the end. */
const peft_backend *peft_backend_at(int index);

/* Opens a context on a backend that need not be in the list. */
peft_status peft_context_open_on(peft_context **ctx, const peft_backend *backend, const peft_context_options *options,
                                 peft_error *error);

/* A kernel that finds its input unusable (an index out of range) reports it; the run stops after the node. */
void peft_context_fail(peft_context *ctx, peft_status status, const char *format, ...) PEFT_PRINTF(3, 4);

#endif
