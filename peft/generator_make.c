/* peft/generator_make.c - adapters from descriptions' vectors. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "peft/adapter_write.h"
#include "peft/generator_format.h"
#include "peft/provenance.h"

/* Values that are emitted at once, at most: 256 MB. */
enum { MOST_AT_ONCE = 1 << 26, MOST_DESCRIPTIONS = 256 };

/* Some descriptions, and what the network makes of them. */
typedef struct block {
    peft_graph *g;
    int64_t count;
    float *vectors;
    peft_t2l_kind_output *outputs; /* [kinds] */
} block;

static int64_t most_at_once(const peft_generator *generator)
{
    int64_t most = MOST_AT_ONCE / (generator->start.adapters->set.num_trained + 1);
    return most < 1 ? 1 : most > MOST_DESCRIPTIONS ? MOST_DESCRIPTIONS : most;
}

static void describe(block *b, const peft_generator *generator)
{
    const peft_t2l *net = &generator->net;
    peft_graph_reset(b->g);
    peft_tensor *vectors =
        peft_constant(b->g, PEFT_F32, peft_shape_2(b->count, net->vector_size), b->vectors, "vectors");
    peft_t2l_emit(b->g, net, vectors, false, 0, b->outputs);
    peft_t2l_finish(b->g, net, b->count, b->outputs);
    for (int64_t k = 0; k < net->places.num_kinds; k++)
        for (int32_t v = 0; v < net->places.kinds[k].num_tensors; v++) peft_graph_keep(b->g, b->outputs[k].tensors[v]);
}

/* Description `n` of the block becomes the adapters' values. */
static peft_status take(const block *b, const peft_generator *generator, int64_t n, peft_error *error)
{
    const peft_places *places = &generator->net.places;
    for (int64_t k = 0; k < places->num_kinds; k++)
        for (int32_t v = 0; v < places->kinds[k].num_tensors; v++) {
            const peft_place_kind *kind = &places->kinds[k];
            const peft_place_tensor *tensor = &kind->tensors[v];
            const void *all;
            peft_status status = peft_graph_read(b->g, b->outputs[k].tensors[v], &all, error);
            if (status != PEFT_OK) return status;
            for (int64_t p = 0; p < kind->num_places; p++) {
                const float *from = (const float *)all + (p * b->count + n) * tensor->count;
                for (int64_t i = 0; i < tensor->count; i++)
                    if (!isfinite(from[i]))
                        return peft_fail(error, PEFT_ERR_NUMERIC, "generator: %s of %s: element %" PRId64 " is %g",
                                         tensor->value, places->adapters->layers[kind->layers[p]].module, i,
                                         (double)from[i]);
                memcpy(peft_place_value(places, kind, p, tensor)->data, from, (size_t)tensor->count * sizeof *from);
            }
        }
    return PEFT_OK;
}

static peft_status make_block(block *b, peft_generator *generator, peft_context *ctx, const float *vectors,
                              peft_error *error)
{
    memcpy(b->vectors, vectors, (size_t)(b->count * generator->net.vector_size) * sizeof *vectors);
    describe(b, generator);
    peft_status status = peft_graph_status(b->g, error);
    return status == PEFT_OK ? peft_graph_run(b->g, ctx, error) : status;
}

static peft_status make_all(block *b, peft_generator *generator, peft_context *ctx, const float *vectors, int64_t count,
                            peft_generator_made *made, void *argument, peft_error *error)
{
    const int64_t most = most_at_once(generator);
    peft_status status = PEFT_OK;
    for (int64_t first = 0; first < count && status == PEFT_OK; first += b->count) {
        b->count = count - first < most ? count - first : most;
        status = make_block(b, generator, ctx, vectors + first * generator->net.vector_size, error);
        for (int64_t n = 0; n < b->count && status == PEFT_OK; n++) {
            status = take(b, generator, n, error);
            if (status == PEFT_OK) status = made(argument, first + n, error);
        }
    }
    return status;
}

peft_status peft_generator_make(peft_generator *generator, peft_context *ctx, const float *vectors, int64_t count,
                                peft_generator_made *made, void *argument, peft_error *error)
{
    block b = {.vectors = malloc((size_t)(most_at_once(generator) * generator->net.vector_size) * sizeof *b.vectors),
               .outputs = calloc((size_t)generator->net.places.num_kinds, sizeof *b.outputs)};
    peft_status status = b.vectors && b.outputs ? peft_graph_create(&b.g, error)
                                                : peft_fail(error, PEFT_ERR_MEMORY, "generator: out of memory");
    if (status == PEFT_OK) status = make_all(&b, generator, ctx, vectors, count, made, argument, error);
    peft_graph_free(b.g);
    free(b.vectors);
    free(b.outputs);
    return status;
}

peft_status peft_adapter_write_like(const peft_adapter_contents *like, const char *folder, peft_error *error)
{
    peft_adapter_tensors tensors;
    peft_status status = peft_adapter_tensors_list(&tensors, NULL, like->adapters, error);
    if (status != PEFT_OK) return status;
    const peft_adapter_files content = {.config = &like->config,
                                        .tensors = &tensors,
                                        .others = like->others,
                                        .num_others = like->num_others,
                                        .base = peft_safetensors_metadata(like->file, PEFT_BASE_KEY)};
    status = peft_adapter_write(folder, &content, error);
    peft_adapter_tensors_free(&tensors);
    return status;
}

peft_status peft_generator_write(peft_generator *generator, const char *folder, peft_error *error)
{
    return peft_adapter_write_like(&generator->start, folder, error);
}

static double dot(const float *a, const float *b, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

int64_t peft_generator_nearest(const peft_generator *generator, const float *vector, double *cosine)
{
    const int64_t size = generator->net.vector_size;
    int64_t nearest = -1;
    *cosine = 0;
    for (int64_t k = 0; generator->vectors && k < generator->num_tasks; k++) {
        const float *other = generator->vectors + k * size;
        double norms = sqrt(dot(vector, vector, size) * dot(other, other, size));
        double found = norms > 0 ? dot(vector, other, size) / norms : 0;
        if (nearest >= 0 && found <= *cosine) continue;
        nearest = k;
        *cosine = found;
    }
    return nearest;
}
