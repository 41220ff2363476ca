#include "variants/orthogonality.h"

#include <math.h>

#include "ops/ops.h"

static peft_tensor *gram_matrix(peft_graph *g, peft_tensor *M, peft_gram gram)
{
    bool columns = gram == PEFT_GRAM_COLUMNS;
    return peft_matmul(g, M, columns, M, !columns);
}

peft_tensor *peft_orthogonality(peft_graph *g, peft_tensor *M, peft_gram gram)
{
    peft_tensor *products = gram_matrix(g, M, gram);
    if (!products) return NULL;
    return peft_mse(g, products, peft_identity(g, products->dtype, products->shape.size[0]), 1);
}

/* S - slack where that is above 0 */
static peft_tensor *above(peft_graph *g, peft_tensor *S, double slack)
{
    return peft_activation(g, peft_shift(g, S, -slack), PEFT_ACTIVATION_relu);
}

peft_tensor *peft_orthogonality_beyond(peft_graph *g, peft_tensor *M, peft_gram gram, double slack)
{
    if (!M) return NULL;
    int64_t rows = M->shape.size[0], columns = M->shape.size[1];
    int64_t size = gram == PEFT_GRAM_ROWS ? rows : columns, smaller = rows < columns ? rows : columns;
    peft_tensor *products = gram_matrix(g, M, rows <= columns ? PEFT_GRAM_ROWS : PEFT_GRAM_COLUMNS);
    peft_tensor *S = peft_add(g, products, peft_scale(g, peft_identity(g, M->dtype, smaller), -1));
    peft_tensor *square = peft_mse(g, above(g, S, slack), above(g, peft_scale(g, S, -1), slack), 1);
    return peft_shift(g, square, (double)(size - smaller));
}

peft_tensor *peft_orthogonality_norm(peft_graph *g, peft_tensor *M, peft_gram gram)
{
    return peft_power(g, peft_orthogonality(g, M, gram), 0.5);
}

/* ---- start values ---- */

/* `count` vectors of `length` numbers in memory of this kind. */
typedef struct vectors {
    float *data;
    int64_t count, length, next_vector, next_number; /* strides */
} vectors;

static float *number(const vectors *v, int64_t vector, int64_t at)
{
    return v->data + vector * v->next_vector + at * v->next_number;
}

static double dot(const vectors *v, int64_t a, int64_t b)
{
    double sum = 0;
    for (int64_t k = 0; k < v->length; k++) sum += (double)*number(v, a, k) * (double)*number(v, b, k);
    return sum;
}

static void subtract(const vectors *v, int64_t from, int64_t other, double times)
{
    for (int64_t k = 0; k < v->length; k++) {
        float *at = number(v, from, k);
        *at = (float)((double)*at - times * (double)*number(v, other, k));
    }
}

static void normalize(const vectors *v, int64_t vector)
{
    double length = sqrt(dot(v, vector, vector));
    for (int64_t k = 0; k < v->length && length > 0; k++) {
        float *at = number(v, vector, k);
        *at = (float)((double)*at / length);
    }
}

/* NOLINTNEXTLINE(readability-non-const-parameter): M is written through a struct */
void peft_orthonormalize(float *M, int64_t rows, int64_t columns)
{
    enum { PASSES = 2 };
    const vectors v =
        rows <= columns ? (vectors){M, rows, columns, columns, 1} : (vectors){M, columns, rows, 1, columns};
    for (int64_t a = 0; a < v.count; a++)
        for (int pass = 0; pass < PASSES; pass++) {
            for (int64_t b = 0; b < a; b++) subtract(&v, a, b, dot(&v, a, b));
            normalize(&v, a);
        }
}
