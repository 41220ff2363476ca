/* tests/support/read.h - what a graph has computed; the test fails where its run did. */
#ifndef PEFT_TESTS_SUPPORT_READ_H
#define PEFT_TESTS_SUPPORT_READ_H

#include <check.h>

#include "ops/graph.h"

static inline const void *read_values(peft_graph *g, const peft_tensor *t)
{
    const void *values;
    peft_error error = {0};
    ck_assert_msg(!peft_graph_read(g, (peft_tensor *)(uintptr_t)t, &values, &error), "%s", error.message);
    return values;
}

#endif
