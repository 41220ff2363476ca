#include "ops/cpu/rows.h"

#include "ops/engine/context_internal.h"
#include "ops/engine/tiles.h"

typedef struct row_loop {
    const peft_node *node;
    peft_context *ctx;
    int64_t rows, cut; /* rows of a piece, or tiles */
    peft_rows_function *run;
} row_loop;

static void run_rows(const row_loop *l, int64_t begin, int64_t end, int number)
{
    const peft_thread thread = {number, l->ctx->scratch + (size_t)number * l->ctx->scratch_stride};
    l->run(l->node, l->ctx, begin, end, &thread);
}

static void run_piece(void *argument, int64_t piece, int number)
{
    const row_loop *l = argument;
    int64_t begin = piece * l->cut, end = begin + l->cut;
    run_rows(l, begin, end < l->rows ? end : l->rows, number);
}

void peft_for_rows(const peft_node *node, peft_context *ctx, int64_t rows, int64_t grain, peft_rows_function *run)
{
    row_loop loop = {node, ctx, rows, grain, run};
    ctx->backend->loop(ctx->state, (rows + grain - 1) / grain, run_piece, &loop);
}

static void run_tile(void *argument, int64_t tile, int number)
{
    const row_loop *l = argument;
    run_rows(l, peft_tile_begin(l->rows, l->cut, tile), peft_tile_begin(l->rows, l->cut, tile + 1), number);
}

void peft_for_tiles(const peft_node *node, peft_context *ctx, int64_t rows, peft_rows_function *run)
{
    row_loop loop = {node, ctx, rows, peft_tiles(rows), run};
    ctx->backend->loop(ctx->state, loop.cut, run_tile, &loop);
}

void peft_run_part(const peft_node *node, peft_context *ctx, const peft_part *part)
{
    if (part->run) peft_for_rows(node, ctx, part->pieces(node), 1, part->run);
}
