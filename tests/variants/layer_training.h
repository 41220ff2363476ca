/* tests/variants/layer_training.h - training of one adapted layer, as the training run does it: gradients, AdamW, and
 * what the variant does after a step. */
#ifndef PEFT_TESTS_VARIANTS_LAYER_TRAINING_H
#define PEFT_TESTS_VARIANTS_LAYER_TRAINING_H

#include "ops/optimizer.h"
#include "tests/variants/adapted_layer.h"

typedef struct layer_training {
    adapted_layer layer;
    peft_optimizer *optimizer;
    int threads;
    const char *backend; /* NULL, as after opening: the fastest */
    double rate;         /* 0.01 after opening */
} layer_training;

void training_open(layer_training *t, const peft_variant *variant, layer_case sizes, const char *text, int threads);
void training_close(layer_training *t);

/* Steps first ... last of num_steps, counted from 1, towards the layer's target. */
void training_run(layer_training *t, int64_t first, int64_t last, int64_t num_steps);

/* Goes on from where `other` stands: takes what a checkpoint has of it, values and states. */
void training_resume(layer_training *t, const layer_training *other);

/* All values, trained or not, are the same to the bit. */
bool training_same(const layer_training *a, const layer_training *b);

#endif
