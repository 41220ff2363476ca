/* ops/describe/check.h - what building functions check, each with one message form: "linear: weight: expected [out,
 * 384], found [384, 384]". All return false after having failed the graph. */
#ifndef PEFT_OPS_DESCRIBE_CHECK_H
#define PEFT_OPS_DESCRIBE_CHECK_H

#include "ops/engine/op.h"

enum { PEFT_ANY_SIZE = -1 };

/* The tensor is there; a graph that has failed already fails in silence. */
bool peft_check_given(peft_graph *g, const char *op, const char *what, const peft_tensor *t);

/* It is there and has this many dimensions and these sizes (PEFT_ANY_SIZE: any). */
bool peft_check_shape(peft_graph *g, const char *op, const char *what, const peft_tensor *t, int32_t ndim,
                      const int64_t *sizes);
bool peft_check_vector(peft_graph *g, const char *op, const char *what, const peft_tensor *t, int64_t size);
bool peft_check_matrix(peft_graph *g, const char *op, const char *what, const peft_tensor *t, int64_t rows,
                       int64_t columns);

bool peft_check_dtype(peft_graph *g, const char *op, const char *what, const peft_tensor *t, peft_dtype dtype);
bool peft_check_real(peft_graph *g, const char *op, const char *what, const peft_tensor *t); /* F32 or F64 */

/* x has a dimension of this number. */
bool peft_check_dimension(peft_graph *g, const char *op, const peft_tensor *x, int32_t dim);

/* PEFT_I32 [S + 1], S >= 1: a leaf whose values are there already and rise from 0 to `tokens`, so that every sequence
 * has a token. */
bool peft_check_starts(peft_graph *g, const char *op, const char *what, peft_tensor *starts, int64_t tokens);

/* No kernel computes this input's gradient. */
bool peft_check_no_gradient(peft_graph *g, const char *op, const char *what, const peft_tensor *t);

#endif
