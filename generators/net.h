/* generators/net.h - a graph, and a network's values in it under their names. */
#ifndef PEFT_GENERATORS_NET_H
#define PEFT_GENERATORS_NET_H

#include "io/value_set.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_net {
    peft_graph *g;
    const peft_value_set *set;
    bool training; /* what trains is a parameter */
} peft_net;

/* The value whose name the format makes; NULL: there is none. */
peft_value *peft_net_value(const peft_value_set *set, const char *format, ...) PEFT_PRINTF(2, 3);
/* It as leaf; fails the graph where there is none. */
peft_tensor *peft_net_leaf(const peft_net *net, const char *format, ...) PEFT_PRINTF(2, 3);

/* x W^T + b, of NAME.weight and NAME.bias */
peft_tensor *peft_net_linear(const peft_net *net, peft_tensor *x, const char *name);

#ifdef __cplusplus
}
#endif
#endif
