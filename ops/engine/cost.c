#include "ops/engine/cost.h"

#include <math.h>

#include "ops/backend.h"
#include "ops/describe/low_rank.h"
#include "ops/describe/matmul.h"
#include "ops/describe/scan.h"
#include "ops/ops.h"

static double elements(const peft_tensor *t)
{
    return t ? (double)peft_shape_count(&t->shape) : 0;
}

/* ---- products ---- */

/* For each gradient that is wanted a product of the forward pass's size. */
static double wanted(const peft_node *node, int first, int last)
{
    double count = 0;
    for (int i = first; i <= last; i++) count += node->din[i] != NULL;
    return count;
}

/* Of inputs x, weight, bias. */
static double weighted_flops(const peft_node *node, bool backward, double product)
{
    enum { X, WEIGHT, BIAS };
    if (!backward) return product + (node->in[BIAS] ? elements(node->out[0]) : 0);
    return product * wanted(node, X, WEIGHT) + (node->din[BIAS] ? elements(node->dout) : 0);
}

/* Backward computes the logits again for each of the two. */
static double linear_cross_entropy_flops(const peft_node *node, bool backward)
{
    enum { X, WEIGHT, BIAS };
    double logits = (double)peft_rows(node->in[X]) * (double)peft_rows(node->in[WEIGHT]);
    double product = 2 * (double)peft_columns(node->in[X]) * logits, loss = 4 * logits;
    if (!backward) return product + loss;
    bool of_weight = node->din[WEIGHT] || node->din[BIAS];
    return product * wanted(node, X, WEIGHT) + (product + loss) * ((node->din[X] ? 1 : 0) + (of_weight ? 1 : 0));
}

/* Also of convolutions along samples: a row of x meets each number of the weight. */
static double linear_flops(const peft_node *node, bool backward)
{
    return weighted_flops(node, backward, 2 * (double)peft_rows(node->in[0]) * elements(node->in[1]));
}

static double causal_conv_flops(const peft_node *node, bool backward)
{
    return weighted_flops(node, backward, 2 * elements(node->out[0]) * (double)peft_columns(node->in[1]));
}

static double matmul_flops(const peft_node *node, bool backward)
{
    const peft_matmul_attributes *a = node->attributes;
    const peft_shape *left = &node->in[0]->shape;
    double inner = (double)left->size[left->ndim - (a->transpose_a ? 2 : 1)];
    double product = 2 * elements(node->out[0]) * inner;
    return backward ? product * wanted(node, 0, 1) : product;
}

/* y += B h, h = A x. Backward: B^T dy is needed by all but dB. */
static double low_rank_flops(const peft_node *node, bool backward)
{
    const peft_low_rank_attributes *a = node->attributes;
    double each = 2 * (double)peft_rows(node->in[LOW_RANK_X]) * (double)a->rank;
    double down = each * (double)a->in_features, up = each * (double)a->out_features;
    if (!backward) return down + up;
    return up + down * wanted(node, LOW_RANK_X, LOW_RANK_A) + up * wanted(node, LOW_RANK_B, LOW_RANK_B);
}

/* How many keys the queries of one sequence see, all together. */
static double seen_keys(const peft_attention_options *o, int64_t queries, int64_t keys)
{
    if (o->mask == PEFT_MASK_NONE) return (double)queries * (double)keys;
    double seen = 0, reach = o->mask == PEFT_MASK_WINDOW ? (double)o->window : HUGE_VAL;
    for (int64_t i = 0; i < queries; i++) seen += fmax(0, fmin(reach, (double)(i + 1 + keys - queries)));
    return seen;
}

/* Two products forward; five backward, which computes the scores again; and the softmax. */
static double attention_flops(const peft_node *node, bool backward)
{
    enum { Q, K, V, QUERY_STARTS, KEY_STARTS };
    const peft_attention_options *o = node->attributes;
    const int32_t *queries = node->in[QUERY_STARTS]->planned, *keys = node->in[KEY_STARTS]->planned;
    const double products = backward ? 5 : 2, softmax = backward ? 6 : 5;
    double head_size = (double)peft_columns(node->in[Q]) / o->num_heads, seen = 0;
    for (int64_t s = 0; s + 1 < node->in[QUERY_STARTS]->shape.size[0]; s++)
        seen += seen_keys(o, queries[s + 1] - queries[s], keys[s + 1] - keys[s]);
    return seen * o->num_heads * (2 * products * head_size + softmax);
}

/* Where forward saves the slope, it does what backward would have done. */
static double activation_flops(const peft_node *node, bool backward)
{
    const double value = 4, slope = 6;
    bool computes_slope = backward != peft_saves_slope(node);
    return elements(node->in[0]) * ((backward ? 1 : value) + (computes_slope ? slope : 0));
}

/* Of each number of the states: an exponential and the update; backward does that again, and has all gradients. */
static double selective_scan_flops(const peft_node *node, bool backward)
{
    const double exponential = 12, update = 6, gradients = 16;
    double states = elements(node->out[0]) * (double)peft_columns(node->in[SCAN_B]);
    return states * (backward ? 2 * exponential + update + gradients : exponential + update);
}

/* Products of the tokens of a chunk with each other, and of tokens with states: two of each forward, five backward. */
static double ssd_flops(const peft_node *node, bool backward)
{
    const peft_scan_attributes *a = node->attributes;
    double tokens = (double)peft_rows(node->in[SCAN_X]), J = (double)peft_columns(node->in[SCAN_B]);
    double pairs = tokens * (double)a->chunk * (J + (double)peft_columns(node->in[SCAN_X]));
    return 2 * (pairs + 2 * elements(node->out[0]) * J) * (backward ? 2.5 : 1);
}

/* ---- all ops ---- */

/* Products are counted by a function; other ops do so many operations for each element of their first input or their
 * result, whichever has more. `part` marks an input of which only as much is read as the result has, and
 * added to in its gradient. */
static const struct rule {
    double (*flops)(const peft_node *node, bool backward);
    double forward, backward;
    uint32_t part;
} rules[PEFT_NUM_OPS] = {
    [PEFT_OP_linear] = {.flops = linear_flops},
    [PEFT_OP_low_rank] = {.flops = low_rank_flops},
    [PEFT_OP_linear_cross_entropy] = {.flops = linear_cross_entropy_flops},
    [PEFT_OP_matmul] = {.flops = matmul_flops},
    [PEFT_OP_attention] = {.flops = attention_flops},
    [PEFT_OP_embedding] = {.part = PEFT_IN(0)},
    [PEFT_OP_slice] = {.part = PEFT_IN(0)},
    [PEFT_OP_first_pool] = {.part = PEFT_IN(0)},
    [PEFT_OP_layer_norm] = {.forward = 8, .backward = 11},
    [PEFT_OP_batch_norm] = {.forward = 7, .backward = 10},
    [PEFT_OP_causal_conv] = {.flops = causal_conv_flops},
    [PEFT_OP_conv] = {.flops = linear_flops},
    [PEFT_OP_selective_scan] = {.flops = selective_scan_flops},
    [PEFT_OP_ssd] = {.flops = ssd_flops},
    [PEFT_OP_activation] = {.flops = activation_flops},
    [PEFT_OP_softmax] = {.forward = 4, .backward = 4},
    [PEFT_OP_log_sum_exp] = {.forward = 3, .backward = 3},
    [PEFT_OP_entropy] = {.forward = 3, .backward = 3},
    [PEFT_OP_mean_pool] = {.forward = 1, .backward = 1},
    [PEFT_OP_spread] = {.backward = 1},
    [PEFT_OP_dropout] = {.forward = 1, .backward = 1},
    [PEFT_OP_jitter] = {.forward = 1, .backward = 1},
    [PEFT_OP_add] = {.forward = 1, .backward = 1},
    [PEFT_OP_mul] = {.forward = 1, .backward = 2},
    [PEFT_OP_modulate] = {.forward = 2, .backward = 5},
    [PEFT_OP_scale] = {.forward = 1, .backward = 1},
    [PEFT_OP_shift] = {.forward = 1},
    [PEFT_OP_power] = {.forward = 1, .backward = 3},
    [PEFT_OP_fold] = {.forward = 1, .backward = 1},
    [PEFT_OP_running_average] = {.forward = 3},
    [PEFT_OP_sum] = {.forward = 1, .backward = 1},
    [PEFT_OP_cross_entropy] = {.forward = 4, .backward = 4},
    [PEFT_OP_mse] = {.forward = 3, .backward = 2},
};

static double count_flops(const peft_node *node, bool backward)
{
    const struct rule *rule = &rules[node->op];
    if (rule->flops) return rule->flops(node, backward);
    return fmax(elements(node->in[0]), elements(node->out[0])) * (backward ? rule->backward : rule->forward);
}

static double tensor_bytes(const peft_tensor *t)
{
    if (!t) return 0;
    if (t->weight && t->weight->form) return (double)t->weight->form->product_bytes;
    if (t->weight) return (double)peft_weight_stored_bytes(t->weight);
    return elements(t) * (double)peft_dtype_bytes(t->dtype);
}

static double input_bytes(const peft_node *node, int i)
{
    return tensor_bytes(rules[node->op].part & PEFT_IN(i) ? node->out[0] : node->in[i]);
}

static double forward_bytes(const peft_node *node)
{
    double bytes = 0;
    for (int i = 0; i < node->num_inputs; i++) bytes += input_bytes(node, i);
    for (int j = 0; j < node->num_outputs; j++) bytes += tensor_bytes(node->out[j]);
    return bytes;
}

/* What the gradients that are written need, as the planner sees it. */
static double backward_bytes(const peft_node *node)
{
    double bytes = tensor_bytes(node->dout);
    uint32_t reads = 0;
    for (int i = 0; i < node->num_inputs; i++) {
        if (!node->din[i]) continue;
        reads |= peft_gradient_reads(node, i);
        bytes += peft_accumulates(node, i) ? 2 * input_bytes(node, i) : tensor_bytes(node->din[i]);
    }
    for (int i = 0; i < node->num_inputs; i++)
        if (reads & PEFT_IN(i)) bytes += input_bytes(node, i);
    for (int j = 0; j < node->num_outputs; j++)
        if (reads & PEFT_OUT(j)) bytes += tensor_bytes(node->out[j]);
    return bytes;
}

peft_cost peft_node_cost(const peft_node *node, bool backward)
{
    return (peft_cost){count_flops(node, backward), backward ? backward_bytes(node) : forward_bytes(node)};
}
