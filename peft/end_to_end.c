#include "peft/end_to_end.h"

#include <stdlib.h>
#include <string.h>

#include "generators/t2l/loss.h"
#include "ops/ops.h"
#include "ops/rng.h"
#include "ops/side.h"

static peft_status reserve(peft_end_to_end *x, int64_t count, peft_error *error)
{
    if (count <= x->capacity) return PEFT_OK;
    peft_end_to_end_free(x);
    x->drawn = malloc((size_t)count * sizeof *x->drawn);
    x->places = malloc((size_t)count * sizeof *x->places);
    x->batch_vectors = malloc((size_t)(count * x->net->vector_size) * sizeof *x->batch_vectors);
    x->capacity = x->drawn && x->places && x->batch_vectors ? count : 0;
    return x->capacity ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "generator: out of memory for a batch");
}

/* A description of the example's task: a function of seed, step and task, so that sequences of one task share it. */
static uint32_t draw(const peft_end_to_end *x, uint32_t example, int64_t step)
{
    const uint32_t task = x->tasks[example], first = x->first[task], count = x->first[task + 1] - first;
    const uint64_t stream = peft_value_stream("generator", "descriptions");
    return first + (uint32_t)(peft_random_u64(x->seed, stream + task, (uint64_t)step) % count);
}

/* places[s] becomes the number of the description of sequence s among those of the batch. */
static void choose(peft_end_to_end *x, const peft_examples *examples)
{
    const int64_t size = x->net->vector_size;
    x->num_descriptions = 0;
    for (int64_t s = 0; s < examples->count; s++) {
        const uint32_t wanted = draw(x, examples->rows[s], examples->step);
        int64_t place = 0;
        while (place < x->num_descriptions && x->drawn[place] != wanted) place++;
        x->places[s] = (int32_t)place;
        if (place < x->num_descriptions) continue;
        x->drawn[x->num_descriptions++] = wanted;
        memcpy(x->batch_vectors + place * size, x->vectors + wanted * size, (size_t)size * sizeof(float));
    }
}

/* The rows of one for each place and description that make one for each place and sequence. */
static peft_tensor *rows_of_sequences(peft_graph *g, const peft_end_to_end *x, const peft_place_kind *kind,
                                      int64_t sequences)
{
    int32_t *lines = NULL;
    peft_tensor *ids = peft_integers(g, kind->num_places * sequences, &lines);
    for (int64_t p = 0; ids && p < kind->num_places; p++)
        for (int64_t s = 0; s < sequences; s++)
            lines[p * sequences + s] = (int32_t)(p * x->num_descriptions) + x->places[s];
    return ids;
}

static peft_status bind(void *argument, peft_graph *g, const peft_examples *examples, peft_batch *batch,
                        peft_error *error)
{
    peft_end_to_end *x = argument;
    const peft_t2l *net = x->net;
    peft_status status = reserve(x, examples->count, error);
    if (status != PEFT_OK) return status;
    peft_t2l_kind_output *outputs = calloc((size_t)net->places.num_kinds, sizeof *outputs);
    if (!outputs) return peft_fail(error, PEFT_ERR_MEMORY, "generator: out of memory for a batch");
    choose(x, examples);
    peft_tensor *vectors = peft_constant(g, PEFT_F32, peft_shape_2(x->num_descriptions, net->vector_size),
                                         x->batch_vectors, "descriptions");
    peft_t2l_emit(g, net, vectors, batch->training, examples->first_example, outputs);
    peft_t2l_finish(g, net, x->num_descriptions, outputs);
    if (x->regulariser > 0 && batch->training)
        peft_graph_add_loss(g, "generator", "size", peft_t2l_mean_squares(g, net, outputs), x->regulariser);
    for (int64_t k = 0; k < net->places.num_kinds; k++) {
        peft_tensor *rows = rows_of_sequences(g, x, &net->places.kinds[k], examples->count);
        for (int32_t v = 0; v < net->places.kinds[k].num_tensors; v++)
            outputs[k].tensors[v] = peft_embedding(g, outputs[k].tensors[v], rows);
    }
    peft_t2l_bind(g, net, examples->count, outputs, batch->training);
    free(outputs);
    return PEFT_OK;
}

void peft_end_to_end_attach(peft_end_to_end *x, peft_answer_objective *objective)
{
    objective->bind = bind;
    objective->argument = x;
}

void peft_end_to_end_free(peft_end_to_end *x)
{
    free(x->drawn);
    free(x->places);
    free(x->batch_vectors);
    x->drawn = NULL;
    x->places = NULL;
    x->batch_vectors = NULL;
    x->capacity = 0;
}
