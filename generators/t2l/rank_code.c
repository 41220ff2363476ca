/* generators/t2l/rank_code.c - how rows of a tensor, ranks, are told apart: a learned table, or a rotation.
 *
 *     Rot(v, k)_j            = v_j cos(k f_j) - v_{j + d/2} sin(k f_j)         f_j = 10000^(-2 j / d), j < d / 2
 *     Rot(v, k)_{j + d/2}    = v_{j + d/2} cos(k f_j) + v_j sin(k f_j) */
#include <math.h>
#include <stdlib.h>

#include "generators/t2l/internal.h"

peft_status peft_t2l_make_rotations(peft_t2l *t, peft_error *error)
{
    const int64_t rows = t->places.most_rows, d = t->width, half = d / 2, count = rows * d;
    t->rotations = malloc((size_t)(2 * count) * sizeof *t->rotations);
    t->rotations_f32 = malloc((size_t)(2 * count) * sizeof *t->rotations_f32);
    if (!t->rotations || !t->rotations_f32)
        return peft_fail(error, PEFT_ERR_MEMORY, "generator: out of memory for its rank codes");
    for (int64_t k = 0; k < rows; k++)
        for (int64_t c = 0; c < d; c++) {
            double angle = (double)k * pow(10000, -2 * (double)(c % half) / (double)d);
            t->rotations[k * d + c] = cos(angle);
            t->rotations[count + k * d + c] = c < half ? -sin(angle) : sin(angle);
        }
    for (int64_t i = 0; i < 2 * count; i++) t->rotations_f32[i] = (float)t->rotations[i];
    return PEFT_OK;
}

/* Of each row its rank's line of the table `which`: 0 cosines, 1 sines with their signs. */
static peft_tensor *angles(peft_t2l_scope *s, peft_dtype dtype, int which, peft_tensor *ranks)
{
    const peft_t2l *t = s->t;
    const int64_t rows = t->places.most_rows, d = t->width;
    const void *data = dtype == PEFT_F64 ? (const void *)(t->rotations + which * rows * d)
                                         : (const void *)(t->rotations_f32 + which * rows * d);
    return peft_embedding(s->net.g, peft_constant(s->net.g, dtype, peft_shape_2(rows, d), data, "rotations"), ranks);
}

peft_tensor *peft_t2l_rotate(peft_t2l_scope *s, peft_tensor *v, peft_tensor *ranks)
{
    if (peft_graph_failed(s->net.g)) return NULL;
    peft_graph *g = s->net.g;
    const int64_t half = s->t->width / 2;
    peft_tensor *swapped =
        peft_concat(g, 1, (peft_tensor *[]){peft_slice(g, v, 1, half, half), peft_slice(g, v, 1, 0, half)}, 2);
    return peft_add(g, peft_mul(g, v, angles(s, v->dtype, 0, ranks)),
                    peft_mul(g, swapped, angles(s, v->dtype, 1, ranks)));
}
