#include "tests/peft/tiny_bert.h"
#include "tests/support/read.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *tiny_golden(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/goldens/%s", getenv("PEFT_FIXTURES"), name);
    return path;
}

peft_model *tiny_open(void)
{
    peft_model *model;
    peft_error error = {0};
    ck_assert_msg(!peft_model_open(&model, tiny_golden("models/bert"), NULL, &error), "%s", error.message);
    return model;
}

void tiny_logits(const peft_model *model, float logits[TINY_LOGITS])
{
    static const int32_t starts[] = {0, 4, 9}, types[9];
    static const int32_t ids[] = {2, 17, 45, 3, 2, 99, 8, 51, 3}, positions[] = {0, 1, 2, 3, 0, 1, 2, 3, 4};
    const peft_batch batch = {.num_tokens = 9, .num_sequences = TINY_SEQUENCES, .starts = starts};
    const peft_model_input input = {ids, types, positions};
    peft_graph *g;
    peft_context *ctx;
    peft_error error = {0};
    ck_assert(!peft_graph_create(&g, &error) && !peft_context_open(&ctx, NULL, &error));
    const peft_tensor *y = peft_graph_keep(g, peft_model_logits(g, model, &(peft_model_run){&batch, &input, false}));
    ck_assert_msg(!peft_graph_run(g, ctx, &error), "%s", error.message);
    memcpy(logits, read_values(g, y), TINY_LOGITS * sizeof *logits);
    peft_graph_free(g);
    peft_context_close(ctx);
}
