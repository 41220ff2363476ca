#include <string.h>

#include "ops/describe/check.h"
#include "ops/ops.h"

peft_tensor *peft_activation(peft_graph *g, peft_tensor *x, peft_activation_kind kind)
{
    if (!peft_check_real(g, "activation", "x", x)) return NULL;
    if ((unsigned)kind >= PEFT_NUM_ACTIVATIONS)
        return peft_graph_fail(g, PEFT_ERR_ARGUMENT, "activation: kind: expected one of %d, found %d",
                               PEFT_NUM_ACTIVATIONS, (int)kind);
    peft_node *node = peft_graph_append(g, PEFT_OP_activation, 1, &x, &kind, sizeof kind);
    return peft_node_output(g, node, x->dtype, x->shape);
}

/* gelu_new, gelu_fast and gelu_pytorch_tanh are the same function, written down in three ways. */
static const struct {
    const char *name;
    peft_activation_kind kind;
} names[] = {
    {"gelu", PEFT_ACTIVATION_gelu},           {"gelu_python", PEFT_ACTIVATION_gelu},
    {"gelu_new", PEFT_ACTIVATION_gelu_tanh},  {"gelu_fast", PEFT_ACTIVATION_gelu_tanh},
    {"gelu_tanh", PEFT_ACTIVATION_gelu_tanh}, {"gelu_pytorch_tanh", PEFT_ACTIVATION_gelu_tanh},
    {"relu", PEFT_ACTIVATION_relu},           {"silu", PEFT_ACTIVATION_silu},
    {"swish", PEFT_ACTIVATION_silu},          {"tanh", PEFT_ACTIVATION_tanh},
    {"sigmoid", PEFT_ACTIVATION_sigmoid},
};

bool peft_activation_find(const char *name, peft_activation_kind *kind)
{
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (strcmp(names[k].name, name) == 0) {
            *kind = names[k].kind;
            return true;
        }
    return false;
}
