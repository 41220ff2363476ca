/* ops/context.h - what a run needs besides the graph: threads, kernels, the seed of its random numbers, memory.
 *
 * A context may be used by one thread at a time; several contexts are independent of each other. */
#ifndef PEFT_OPS_CONTEXT_H
#define PEFT_OPS_CONTEXT_H

#include "ops/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_context peft_context;

typedef struct peft_context_options {
    int threads;         /* 0: as many as there are processors. Results are the same bits for any number. */
    const char *backend; /* NULL: the fastest that this CPU has; else a name of peft_backend_name */
    uint64_t seed;       /* of dropout */
    peft_dtype dtype;    /* of products with frozen weights that were packed (ops/weight.h): PEFT_F32 or PEFT_BF16 */
} peft_context_options;

/* `options` may be NULL. PEFT_ERR_ARGUMENT: unknown backend or dtype; PEFT_ERR_UNSUPPORTED: this CPU lacks it,
 * or the backend lacks its library or the type; PEFT_ERR_MEMORY: there is too little for the backend that would be
 * taken, and no other is taken instead. */
PEFT_API peft_status peft_context_open(peft_context **ctx, const peft_context_options *options, peft_error *error);
PEFT_API void peft_context_close(peft_context *ctx); /* NULL is allowed */

PEFT_API int peft_context_threads(const peft_context *ctx);
PEFT_API const char *peft_context_backend(const peft_context *ctx); /* "avx512" */

PEFT_API peft_dtype peft_context_dtype(const peft_context *ctx);
/* Does AMX compute its products in bf16? Then results are other bits than those of a CPU without. */
PEFT_API bool peft_context_amx(const peft_context *ctx);

/* Does it compute on a device, in memory that the host cannot reach? */
PEFT_API bool peft_context_on_device(const peft_context *ctx);

/* Results of so many rows and more are computed again for the backward pass where that is cheap, and rounded where that
 * was asked for. Fewer lie in caches, where this would cost time and save nothing worth it: a batch of fewer tokens may
 * take more memory. */
PEFT_API int64_t peft_context_least_recalled_rows(const peft_context *ctx);

/* Says that graphs with so many rows of tokens will come: what the first of all plans generates (code of products) then
 * serves them too. */
PEFT_API void peft_context_expect(peft_context *ctx, int64_t rows);

/* Optimiser step, part of the key of every random number (ops/rng.h); counts from 0. */
PEFT_API void peft_context_set_step(peft_context *ctx, int64_t step);

/* Piece 0 ... pieces - 1 of a loop, on thread 0 ... threads - 1. */
typedef void peft_piece_function(void *argument, int64_t piece, int thread);

/* Work of the caller's own on the context's threads: runs all pieces, in any order, each once, and returns when the
 * last is done. Pieces may not run graphs. */
void peft_context_loop(peft_context *ctx, int64_t pieces, peft_piece_function *run, void *argument);

/* Bytes that the context holds now for plans: the largest plan run so far. */
PEFT_API size_t peft_context_bytes(const peft_context *ctx);

/* Backends in order of preference; NULL past the end. onednn is avx512 with products that read packed weights. */
PEFT_API const char *peft_backend_name(int index);
PEFT_API bool peft_backend_available(const char *name);
/* Can products with frozen weights be in this type here? */
PEFT_API bool peft_dtype_available(peft_dtype dtype);

/* "2.6.3", into `text`, of a library that some backend multiplies matrices with ("blis", "onednn"); "none" where this
 * build has no such backend or this machine no such library. */
enum { PEFT_VERSION_TEXT = 32 };
PEFT_API const char *peft_library_version(const char *library, char text[PEFT_VERSION_TEXT]);

#ifdef __cplusplus
}
#endif
#endif
