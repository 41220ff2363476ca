#include "ops/describe/check.h"
#include "ops/ops.h"

#include <math.h>

/* Fills in what the caller left at 0, and checks that heads fit the widths of q, k and v. */
static bool complete_options(peft_graph *g, const char *op, const peft_tensor *q, peft_attention_options *o)
{
    int64_t columns = peft_columns(q), head_size;
    if (o->num_heads < 1 || columns % o->num_heads)
        return peft_graph_fail(g, PEFT_ERR_SHAPE, "%s: num_heads: expected a divisor of %lld columns, found %d", op,
                               (long long)columns, o->num_heads);
    if (!o->num_key_value_heads) o->num_key_value_heads = o->num_heads;
    if (o->num_key_value_heads < 1 || o->num_heads % o->num_key_value_heads)
        return peft_graph_fail(g, PEFT_ERR_SHAPE, "%s: num_key_value_heads: expected a divisor of %d heads, found %d",
                               op, o->num_heads, o->num_key_value_heads);
    head_size = columns / o->num_heads;
    if (o->scale == 0) o->scale = 1 / sqrt((double)head_size);
    if (!(o->scale > 0 && isfinite(o->scale)))
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: scale: expected more than 0, found %g", op, o->scale);
    if (o->mask == PEFT_MASK_WINDOW && o->window < 1)
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: window: expected 1 or more, found %lld", op,
                               (long long)o->window);
    return (o->dropout >= 0 && o->dropout < 1) ||
           peft_graph_fail(g, PEFT_ERR_ARGUMENT, "%s: dropout: expected 0 <= p < 1, found %g", op, o->dropout);
}

static bool check_bias(peft_graph *g, const char *op, const peft_tensor *q, const peft_attention_options *o)
{
    const peft_shape *shape = o->bias ? &o->bias->shape : NULL;
    if (!shape) return true;
    if (o->bias->dtype == q->dtype && shape->ndim == 3 && shape->size[0] == o->num_heads) return true;
    char found[PEFT_SHAPE_TEXT];
    return peft_graph_fail(g, PEFT_ERR_SHAPE, "%s: bias: expected [%d, queries, keys] of q's type, found %s", op,
                           o->num_heads, peft_shape_text(shape, found));
}

static bool check_starts(peft_graph *g, const char *op, const peft_tensor *q, const peft_tensor *k,
                         peft_tensor *query_starts, peft_tensor *key_starts)
{
    return peft_check_starts(g, op, "query_starts", query_starts, peft_rows(q)) &&
           peft_check_starts(g, op, "key_starts", key_starts, peft_rows(k)) &&
           peft_check_vector(g, op, "key_starts", key_starts, query_starts->shape.size[0]);
}

peft_tensor *peft_attention(peft_graph *g, peft_tensor *q, peft_tensor *k, peft_tensor *v, peft_tensor *query_starts,
                            peft_tensor *key_starts, const peft_attention_options *options)
{
    const char *op = "attention";
    if (!peft_check_real(g, op, "q", q) || !peft_check_matrix(g, op, "q", q, PEFT_ANY_SIZE, PEFT_ANY_SIZE)) return NULL;
    peft_attention_options o = *options;
    if (!complete_options(g, op, q, &o) || !check_bias(g, op, q, &o)) return NULL;
    peft_tensor *bias = o.bias ? peft_stop_gradient(g, o.bias) : NULL;
    o.bias = NULL; /* it is an input */
    int64_t width = peft_columns(q) / o.num_heads * o.num_key_value_heads;
    if (!peft_check_dtype(g, op, "k", k, q->dtype) || !peft_check_matrix(g, op, "k", k, PEFT_ANY_SIZE, width) ||
        !peft_check_dtype(g, op, "v", v, q->dtype) || !peft_check_matrix(g, op, "v", v, peft_rows(k), width))
        return NULL;
    if (!key_starts) key_starts = query_starts;
    if (!check_starts(g, op, q, k, query_starts, key_starts)) return NULL;

    peft_tensor *inputs[] = {q, k, v, query_starts, key_starts, bias};
    peft_node *node = peft_graph_append(g, PEFT_OP_attention, 6, inputs, &o, sizeof o);
    peft_tensor *y = peft_node_output(g, node, q->dtype, q->shape);
    peft_node_output(g, node, q->dtype, peft_shape_2(peft_rows(q), o.num_heads));
    return peft_graph_failed(g) ? NULL : y;
}
