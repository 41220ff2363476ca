/* tests/peft/trained.h - what a model and its adapters train, in one list, as a session makes it. */
#ifndef PEFT_TESTS_PEFT_TRAINED_H
#define PEFT_TESTS_PEFT_TRAINED_H

#include <check.h>

#include "peft/parameters.h"
#include "variants/adapter.h"

typedef struct trained {
    peft_value_set weights;
    const peft_value_set *sets[2];
    int64_t num_sets;
    peft_parameters parameters;
} trained;

/* `adapters` may be NULL. */
static inline void trained_open(trained *t, const peft_adapters *adapters, peft_model *model)
{
    peft_error error = {0};
    *t = (trained){0};
    if (adapters) t->sets[t->num_sets++] = &adapters->set;
    ck_assert_msg(!peft_model_values(&t->weights, model, &error), "%s", error.message);
    t->sets[t->num_sets++] = &t->weights;
    ck_assert_msg(!peft_parameters_collect(&t->parameters, t->sets, t->num_sets, &error), "%s", error.message);
}

static inline void trained_close(trained *t)
{
    peft_parameters_free(&t->parameters);
    peft_value_set_free(&t->weights);
}

#endif
