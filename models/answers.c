#include "models/answers.h"

#include "models/model_internal.h"
#include "ops/batch.h"
#include "ops/ops.h"

/* x / |x| of each row, as torch.nn.functional.normalize has it: [S, n] */
static peft_tensor *unit_rows(peft_graph *g, peft_tensor *x)
{
    const double least = 1e-24; /* of a length squared */
    if (peft_graph_failed(g)) return NULL;
    int64_t rows = peft_rows(x), columns = peft_columns(x);
    peft_tensor *squares = peft_sum(g, peft_mul(g, x, x), 1);
    peft_tensor *inverse = peft_power(g, peft_shift(g, squares, least), -0.5);
    peft_tensor *unit = peft_matmul(g, peft_reshape(g, inverse, peft_shape_3(rows, 1, 1)), false,
                                    peft_reshape(g, x, peft_shape_3(rows, 1, columns)), false);
    return peft_reshape(g, unit, peft_shape_2(rows, columns));
}

peft_tensor *peft_model_sentence(peft_graph *g, const peft_model *model, const peft_model_run *run)
{
    peft_tensor *hidden = peft_model_hidden(g, model, run), *starts = peft_batch_starts(g, run->batch);
    bool first = model->options.pooling == PEFT_POOL_FIRST;
    return unit_rows(g, first ? peft_first_pool(g, hidden, starts) : peft_mean_pool(g, hidden, starts));
}

peft_tensor *peft_answer_logits(peft_graph *g, peft_tensor *vectors, peft_tensor *answers)
{
    if (peft_graph_failed(g) || !vectors || !answers) return NULL;
    if (answers->shape.ndim != 3) return peft_linear(g, vectors, answers, NULL);
    int64_t sequences = answers->shape.size[0], count = answers->shape.size[1];
    peft_tensor *each = peft_reshape(g, vectors, peft_shape_3(sequences, 1, answers->shape.size[2]));
    return peft_reshape(g, peft_matmul(g, each, false, answers, true), peft_shape_2(sequences, count));
}

peft_weight *peft_model_answers(peft_model *model)
{
    return model->answers ? &model->weights[model->answers - model->weights] : NULL;
}
