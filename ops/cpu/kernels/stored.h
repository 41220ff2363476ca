/* ops/cpu/kernels/stored.h - rows of a weight as `real`, whatever it is stored as (ops/stored.h). */
#ifndef PEFT_OPS_CPU_KERNELS_STORED_H
#define PEFT_OPS_CPU_KERNELS_STORED_H

#include "ops/cpu/kernels/kernel.h"

/* What a leaf is stored as; what was computed, and in double all, is stored as `real`. */
static inline peft_stored stored_as(const peft_tensor *w)
{
    peft_stored stored = {.format = PEFT_FORMAT_F32};
    if (w->weight) stored = w->weight->stored;
    stored.data = w->data;
    return stored;
}

/* Rows first ... first + count - 1 -> to [count, columns] */
static inline void read_rows(const peft_tensor *w, int64_t first, int64_t count, real *to)
{
    peft_stored stored = stored_as(w);
    int64_t columns = peft_columns(w);
    if (stored.format == PEFT_FORMAT_F32 && !stored.transposed)
        memcpy(to, (const real *)w->data + first * columns, (size_t)(count * columns) * sizeof *to);
    else
        peft_stored_read(&stored, peft_rows(w), columns, first, count, (void *)to); /* frozen, and so floats */
}

/* Some rows for a product, W(first + r, c) = values[r * row + c * column]: all at once where they lie as `real`. */
typedef struct stored_rows {
    const real *values;
    int64_t first, count, row, column;
} stored_rows;

enum { STORED_ROWS = 128 }; /* at once where they do not */

static inline bool lies_as_real(const peft_tensor *w)
{
    return stored_as(w).format == PEFT_FORMAT_F32;
}

/* Goes on to the next rows, the first ones of what is all zeros; false: there are none left. */
static inline bool next_rows(const peft_tensor *w, real *scratch, stored_rows *at)
{
    int64_t rows = peft_rows(w), columns = peft_columns(w);
    at->first += at->count;
    if (at->first == rows) return false;
    at->count = rows - at->first;
    at->row = columns;
    at->column = 1;
    if (lies_as_real(w)) {
        at->values = w->data;
        if (stored_as(w).transposed) at->row = 1, at->column = rows;
        return true;
    }
    if (at->count > STORED_ROWS) at->count = STORED_ROWS;
    read_rows(w, at->first, at->count, scratch);
    at->values = scratch;
    return true;
}

/* Of scratch memory for them. */
static inline size_t stored_rows_bytes(const peft_tensor *w)
{
    int64_t rows = peft_rows(w) < STORED_ROWS ? peft_rows(w) : STORED_ROWS;
    return lies_as_real(w) ? 0 : (size_t)(rows * peft_columns(w)) * sizeof(real);
}

#endif
