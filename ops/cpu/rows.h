/* ops/cpu/rows.h - how a kernel shares its work among the threads of its context. */
#ifndef PEFT_OPS_CPU_ROWS_H
#define PEFT_OPS_CPU_ROWS_H

#include "ops/backend.h"

/* Work cut into pieces of `grain` rows that do not depend on the number of threads: the same bits for any number. */
void peft_for_rows(const peft_node *node, peft_context *ctx, int64_t rows, int64_t grain, peft_rows_function *run);
/* The same for tiles of rows (ops/engine/tiles.h). */
void peft_for_tiles(const peft_node *node, peft_context *ctx, int64_t rows, peft_rows_function *run);
void peft_run_part(const peft_node *node, peft_context *ctx, const peft_part *part);

#endif
