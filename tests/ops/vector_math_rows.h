#ifndef PEFT_TESTS_OPS_VECTOR_MATH_ROWS_H
#define PEFT_TESTS_OPS_VECTOR_MATH_ROWS_H

#include <stdint.h>

typedef void vector_math_row(const float *x, float *y, int64_t count);

enum { ROW_EXP, ROW_TANH, ROW_NORMAL, ROW_DENSITY, NUM_ROWS };

typedef vector_math_row *vector_math_rows[NUM_ROWS];

extern const vector_math_rows vector_math_rows_portable, vector_math_rows_avx2, vector_math_rows_avx512;

#endif
