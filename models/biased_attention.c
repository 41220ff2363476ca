#include "models/biased_attention.h"

#include <math.h>

/* Each token's place in its sequence, once for each of its heads: [T * heads] */
static peft_tensor *places(peft_graph *g, const peft_batch *batch, int64_t heads)
{
    int32_t *values = NULL;
    peft_tensor *leaf = peft_integers(g, batch->num_tokens * heads, &values);
    for (int64_t s = 0; leaf && s < batch->num_sequences; s++)
        for (int64_t t = batch->starts[s]; t < batch->starts[s + 1]; t++)
            for (int64_t h = 0; h < heads; h++) values[t * heads + h] = (int32_t)(t - batch->starts[s]);
    return leaf;
}

/* [x  more] in each head: x [T, heads * size], more [T, heads, length] -> [T, heads * (size + length)] */
static peft_tensor *widen(peft_graph *g, peft_tensor *x, peft_tensor *more)
{
    if (!x || !more) return NULL;
    int64_t tokens = more->shape.size[0], heads = more->shape.size[1], length = more->shape.size[2];
    int64_t size = peft_columns(x) / heads;
    peft_tensor *parts[] = {peft_reshape(g, x, peft_shape_3(tokens, heads, size)), more};
    return peft_reshape(g, peft_concat(g, 2, parts, 2), peft_shape_2(tokens, heads * (size + length)));
}

peft_tensor *peft_biased_attention(peft_graph *g, peft_tensor *q, peft_tensor *k, peft_tensor *v,
                                   const peft_batch *batch, const peft_attention_options *options)
{
    if (!q || !options->bias) return NULL;
    int64_t tokens = batch->num_tokens, heads = options->num_heads, length = options->bias->shape.size[2];
    int64_t size = peft_columns(q) / heads;
    peft_attention_options wide = *options;
    wide.bias = NULL;
    if (wide.scale == 0) wide.scale = 1 / sqrt((double)size);
    peft_shape each = peft_shape_3(tokens, heads, length);
    peft_tensor *ones = peft_embedding(g, peft_identity(g, q->dtype, length), places(g, batch, heads));
    peft_tensor *own = peft_reshape(g, ones, each);
    peft_tensor *columns = peft_permute(g, options->bias, (const int32_t[]){2, 0, 1}); /* [keys, heads, queries] */
    columns = peft_reshape(g, columns, peft_shape_2(length, heads * length));
    peft_tensor *b = peft_reshape(g, peft_embedding(g, columns, places(g, batch, 1)), each);
    peft_tensor *starts = peft_batch_starts(g, batch);
    peft_tensor *y = peft_attention(g, widen(g, q, peft_scale(g, own, 1 / wide.scale)), widen(g, k, b),
                                    widen(g, v, peft_scale(g, own, 0)), starts, NULL, &wide);
    y = peft_reshape(g, y, peft_shape_3(tokens, heads, size + length));
    return peft_reshape(g, peft_slice(g, y, 2, 0, size), peft_shape_2(tokens, heads * size));
}
