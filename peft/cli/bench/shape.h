/* peft/cli/bench/shape.h - models that are known by their sizes, for machines that have no model's files. */
#ifndef PEFT_CLI_BENCH_SHAPE_H
#define PEFT_CLI_BENCH_SHAPE_H

#include <stddef.h>
#include <stdint.h>

#include "ops/status.h"

typedef struct peft_bench_shape {
    const char *name; /* "minilm" */
    int64_t layers, hidden, heads, intermediate;
} peft_bench_shape;

extern const char *const peft_bench_shape_names[]; /* NULL at the end */

const peft_bench_shape *peft_bench_shape_at(size_t index);       /* NULL past the end */
const peft_bench_shape *peft_bench_shape_find(const char *name); /* NULL: not known */

/* Writes a model of this shape, of `layers` hidden layers (0: its own), with random weights into a new folder below
 * $TMPDIR (/tmp), and removes it again; its name is the caller's in between. */
peft_status peft_bench_shape_write(const peft_bench_shape *shape, int64_t layers, char **folder, peft_error *error);
void peft_bench_shape_remove(char *folder); /* and frees the name; NULL is allowed */

#endif
