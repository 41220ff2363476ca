/* peft/calibrate.h - start values that come from the training data (docs/initialisation.md).
 *
 * Before the first step the model runs on some batches without its adapters, and each layer's start values are set from
 * what was seen of it: its inputs, or the gradient of the loss with respect to its weight. The batches are the first of
 * the training, without dropout; the result is the same bits for any number of threads. */
#ifndef PEFT_PEFT_CALIBRATE_H
#define PEFT_PEFT_CALIBRATE_H

#include "peft/train_options.h"
#include "tasks/tokens.h"

typedef struct peft_calibration {
    peft_context *ctx;
    peft_model *model; /* has the adapters attached */
    const peft_train_options *options;
    const peft_tokens *train;
    bool regression;
    int64_t most_numbers; /* to see in one pass over the batches; 0: 32 million, 256 MiB */
} peft_calibration;

/* Does nothing where the start values do not ask for it. Where ranks are handed out anew, *adapters become others, and
 * these are attached. *bytes is the memory that it took for a while: more layers than fit into most_numbers are
 * looked at in several passes. On failure *adapters are attached as before. */
peft_status peft_calibrate(const peft_calibration *calibration, peft_adapters **adapters, size_t *bytes,
                           peft_error *error);

#endif
