/* tests/variants/adapted_layer.h - one linear layer with an adapter on it, and what the tests of variants do with it.
 */
#ifndef PEFT_TESTS_VARIANTS_ADAPTED_LAYER_H
#define PEFT_TESTS_VARIANTS_ADAPTED_LAYER_H

#include <check.h>

#include "ops/side.h"
#include "variants/adapter.h"

typedef struct layer_case {
    int64_t in_features, out_features, rank, tokens;
    double alpha;
} layer_case;

enum { LAYER_SEQUENCES = 2 }; /* the first has one token; a batch of one token has one sequence */

typedef struct adapted_layer {
    layer_case sizes;
    float *weight_data, *bias_data, *x, *target; /* noise */
    float *embeddings, *vectors; /* noise too: of the tokens, and of the sequences [LAYER_SEQUENCES, in_features] */
    peft_weight weight, bias;
    peft_base_linear base;
    peft_adapters *all;
    peft_adapter *adapter; /* NULL: none */
    int32_t starts[LAYER_SEQUENCES + 1];
    peft_batch batch;
} adapted_layer;

/* An adapter of this variant with its start values; options that the variant does not have are left out. `text` may set
 * more, "name=value;name=value"; NULL: none. */
void layer_open(adapted_layer *layer, const peft_variant *variant, layer_case sizes, const char *text);
void layer_close(adapted_layer *layer);

/* The variant and the sizes, for messages: "lora, 7 to 5, rank 3, 11 tokens". Of the last call. */
const char *layer_text(const adapted_layer *layer);

/* Adapters of several layers, with the settings of `text` and the defaults of the others. */
peft_status adapters_open(peft_adapters **all, const peft_variant *variant, const peft_layer *layers, int64_t count,
                          const char *text, peft_error *error);

/* Moves all trained values away from their start values, by up to 0.5 times the factor of their learning rate. */
void layer_shake(adapted_layer *layer);

/* The adapted layer's output for x in a graph. */
peft_tensor *layer_forward(peft_graph *g, const adapted_layer *layer);
/* Output [tokens, out] of the float kernels; the caller frees it. */
float *layer_output(const adapted_layer *layer, int threads);

/* Can its weight V be had (peft_adapter_weight)? If not, that is no error. And the output as x V^T + b. */
bool layer_has_weight(const adapted_layer *layer);
float *layer_output_by_weight(const adapted_layer *layer);

/* The loss, mean squared error of the output plus all losses that the variant adds, in double, at the trained values
 * and x as they are moved: entry `index` of all of them in one row, by `step`. */
double layer_loss_at(const adapted_layer *layer, int64_t index, double step);
/* The same loss, unmoved, and its gradient with respect to that row. The caller frees it. */
double *layer_gradient(const adapted_layer *layer);
int64_t layer_num_coordinates(const adapted_layer *layer);
/* The gradient agrees with central differences, coordinate by coordinate. */
void layer_check_gradient(const adapted_layer *layer);

/* Largest absolute difference of two arrays, and largest absolute value of one. */
double largest_difference(const float *a, const float *b, int64_t count);
double largest_value(const float *a, int64_t count);

#endif
