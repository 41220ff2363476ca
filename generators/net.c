#include "generators/net.h"

#include <stdarg.h>
#include <stdio.h>

#include "ops/ops.h"

enum { MAX_NAME = 512 };

static PEFT_PRINTF(3, 0) peft_value *find(const peft_value_set *set, char name[MAX_NAME], const char *format,
                                          va_list arguments)
{
    vsnprintf(name, MAX_NAME, format, arguments);
    return peft_value_set_find(set, name);
}

peft_value *peft_net_value(const peft_value_set *set, const char *format, ...)
{
    char name[MAX_NAME];
    va_list arguments;
    va_start(arguments, format);
    peft_value *value = find(set, name, format, arguments);
    va_end(arguments);
    return value;
}

peft_tensor *peft_net_leaf(const peft_net *net, const char *format, ...)
{
    char name[MAX_NAME];
    va_list arguments;
    va_start(arguments, format);
    const peft_value *value = find(net->set, name, format, arguments);
    va_end(arguments);
    if (!value) return peft_graph_fail(net->g, PEFT_ERR_ARGUMENT, "generator: it has no tensor %s", name);
    return peft_value_tensor(net->g, value, net->training);
}

peft_tensor *peft_net_linear(const peft_net *net, peft_tensor *x, const char *name)
{
    peft_tensor *weight = peft_net_leaf(net, "%s.weight", name);
    return peft_linear(net->g, x, weight, peft_net_leaf(net, "%s.bias", name));
}
