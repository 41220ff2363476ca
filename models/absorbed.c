#include "models/absorbed.h"

#include <math.h>

/* [x y] */
static peft_tensor *beside(peft_graph *g, peft_tensor *x, peft_tensor *y)
{
    return peft_concat(g, 1, (peft_tensor *[]){x, y}, 2);
}

peft_tensor *peft_absorbed_weight(peft_graph *g, const peft_linear_layer *layer, const peft_batch *batch)
{
    peft_tensor *W = peft_adapter_weight(g, layer->adapter, &layer->base, batch);
    if (!W) return NULL;
    peft_tensor *b = layer->base.bias ? peft_weight_leaf(g, layer->base.bias)
                                      : peft_scale(g, peft_ones(g, PEFT_F32, layer->out_features, 1), 0);
    return beside(g, W, peft_reshape(g, b, peft_shape_2(layer->out_features, 1)));
}

/* x [n, m, columns] to [m, n, columns] */
static peft_tensor *swap(peft_graph *g, peft_tensor *x)
{
    return peft_permute(g, x, (const int32_t[]){1, 0, 2});
}

peft_tensor *peft_absorbed_attention(peft_graph *g, peft_tensor *q, peft_tensor *x, peft_tensor *key,
                                     peft_tensor *value, peft_tensor *starts, const peft_attention_options *options)
{
    if (!q || !x || !key || !value) return NULL;
    int64_t heads = options->num_heads, sequences = q->shape.size[0], size = q->shape.size[1] / heads;
    int64_t tokens = x->shape.size[0], wide = x->shape.size[1] + 1;
    peft_shape of_heads = peft_shape_3(heads, size, wide);

    /* The queries of a sequence's heads are those of one head, one after another. */
    peft_attention_options one_head = *options;
    one_head.num_heads = 1;
    one_head.first_row = options->first_row * heads;
    if (one_head.bias) one_head.bias = swap(g, one_head.bias);
    if (one_head.scale == 0) one_head.scale = 1 / sqrt((double)size);
    peft_tensor *query_starts = peft_arange(g, sequences + 1, heads);
    peft_tensor *seen = beside(g, x, peft_ones(g, x->dtype, tokens, 1));

    q = swap(g, peft_reshape(g, q, peft_shape_3(sequences, heads, size)));
    q = peft_matmul(g, q, false, peft_reshape(g, key, of_heads), false);
    q = peft_reshape(g, swap(g, q), peft_shape_2(sequences * heads, wide));
    peft_tensor *y = peft_attention(g, q, seen, seen, query_starts, starts, &one_head);
    y = swap(g, peft_reshape(g, y, peft_shape_3(sequences, heads, wide)));
    y = peft_matmul(g, y, false, peft_reshape(g, value, of_heads), true);
    return peft_reshape(g, swap(g, y), peft_shape_2(sequences, heads * size));
}
