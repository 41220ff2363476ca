/* ops/onednn/dnnl.h - matrix products whose right-hand matrix never changes, by oneDNN.
 *
 *     C = A B,  C = A B + bias,  C += A B        A [rows, k], B [k, n], C [rows, n]
 *
 * B is copied once into the order in which the library reads it, in the type of the products: float, or bf16, where A
 * is rounded by the caller and sums and C are float. Each product runs on the thread that calls, so results do not
 * depend on their number. The library is loaded when the first of these is opened: it is large, and few verbs need it.
 */
#ifndef PEFT_OPS_ONEDNN_DNNL_H
#define PEFT_OPS_ONEDNN_DNNL_H

#include "ops/context.h"

typedef struct peft_dnnl peft_dnnl;
typedef struct peft_dnnl_matrix peft_dnnl_matrix;

typedef enum peft_dnnl_form { PEFT_DNNL_SET, PEFT_DNNL_BIAS, PEFT_DNNL_ADD, PEFT_DNNL_NUM_FORMS } peft_dnnl_form;

/* Code is made for single heights: a few rows, or units of them. */
enum { PEFT_DNNL_UNIT = 8, PEFT_DNNL_MOST = 256 };

/* Of the first of several products which together have so many rows. */
static inline int64_t peft_dnnl_height(int64_t rows)
{
    if (rows < PEFT_DNNL_UNIT) return rows;
    return rows < PEFT_DNNL_MOST ? rows / PEFT_DNNL_UNIT * PEFT_DNNL_UNIT : PEFT_DNNL_MOST;
}

/* `dtype` is PEFT_F32 or PEFT_BF16; products run on threads 0 ... threads - 1. PEFT_ERR_UNSUPPORTED: the library is not
 * there, or this CPU has no instructions for bf16. */
peft_status peft_dnnl_open(peft_dnnl **d, peft_dtype dtype, int threads, peft_error *error);
void peft_dnnl_close(peft_dnnl *d); /* after all its matrices; NULL is allowed */
peft_dtype peft_dnnl_dtype(const peft_dnnl *d);
/* Are products computed by AMX, the matrix unit of some CPUs? It sums in another order. */
bool peft_dnnl_amx(const peft_dnnl *d);

/* Whether it could be opened, apart from memory. Without instructions for bf16 oneDNN computes the same more slowly
 * than f32, so it is refused. */
peft_status peft_dnnl_check(peft_dtype dtype, peft_error *error);

/* "2.6.3", into `text`; "none" where the library is not on this machine. */
const char *peft_dnnl_version(char text[PEFT_VERSION_TEXT]);

/* B(p, j) = number p * row + j * column of `data`, of type PEFT_F32 or PEFT_BF16. */
typedef struct peft_dnnl_source {
    const void *data;
    peft_dtype dtype;
    int64_t row, column;
} peft_dnnl_source;

/* Reads it once. One thread at a time. */
peft_status peft_dnnl_pack(peft_dnnl *d, int64_t k, int64_t n, const peft_dnnl_source *source,
                           peft_dnnl_matrix **matrix, peft_error *error);
/* B = from^T, which has no memory of its own: peft_dnnl_turn writes it where products then find it. `from` outlives it.
 */
peft_status peft_dnnl_pack_turned(peft_dnnl *d, const peft_dnnl_matrix *from, peft_dnnl_matrix **matrix,
                                  peft_error *error);
bool peft_dnnl_turn(peft_dnnl_matrix *matrix, void *memory, int thread); /* false: out of memory */
void peft_dnnl_matrix_free(peft_dnnl_matrix *matrix);                    /* NULL is allowed */
const peft_dnnl *peft_dnnl_matrix_owner(const peft_dnnl_matrix *matrix);
size_t peft_dnnl_matrix_bytes(const peft_dnnl_matrix *matrix);

/* Says that there will be products of a height. */
void peft_dnnl_expect(peft_dnnl *d, int64_t height);
/* Makes the code for products of all heights that are expected, unless it is there: the bytes that any of them needs at
 * `scratch`, which is aligned to 64 bytes. Where memory runs out, the product fails for which there is no code. One
 * thread at a time, and none that multiplies meanwhile. */
size_t peft_dnnl_prepare(const peft_dnnl_matrix *matrix, peft_dnnl_form form);

typedef struct peft_dnnl_call {
    peft_dnnl_form form;
    int64_t rows; /* a height that was prepared for this form */
    int thread;
    const void *a; /* in the type of the products */
    const float *bias;
    float *c;
    void *scratch;
} peft_dnnl_call;

/* False: the library failed, which it does only when memory runs out. */
bool peft_dnnl_product(const peft_dnnl_matrix *b, const peft_dnnl_call *call);

#endif
