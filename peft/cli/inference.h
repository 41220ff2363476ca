/* peft/cli/inference.h - what embed, eval and predict share: their settings, and all that a forward pass needs. */
#ifndef PEFT_CLI_INFERENCE_H
#define PEFT_CLI_INFERENCE_H

#include "peft/cli/arguments.h"
#include "peft/cli/job_progress.h"
#include "peft/evaluate.h"
#include "peft/load.h"

typedef struct peft_inference_options {
    char *model, *adapter, *dtype, *backend;
    bool other_base;
    int64_t max_length; /* 0: the model's own, else 256 */
    int64_t batch_tokens;
    json_t *answers; /* NULL: the head is the adapter's or the model's */
    double answer_scale;
} peft_inference_options;

extern const peft_option peft_inference_model_table[];       /* model, adapter, other_base */
extern const peft_option peft_inference_answer_table[];      /* answers, answer_scale */
extern const peft_option peft_inference_computation_table[]; /* the others */

typedef struct peft_inference {
    const peft_inference_options *options;
    peft_output *output;
    peft_loaded loaded;
    peft_context *ctx;
    peft_graph *graph;
    peft_tokens *tokens;
    peft_job_progress progress;
    peft_predictor predictor;
} peft_inference;

/* Opens model, adapter and tokenizer, and says what peft_load has noted. `options` must outlive it. Release with
 * peft_inference_close, which takes a failed one too. */
peft_status peft_inference_open(peft_inference *inference, const peft_inference_options *options, peft_head_use head,
                                const peft_arguments *arguments, peft_output *output, peft_error *error);
void peft_inference_close(peft_inference *inference);

/* Makes the tokens of a dataset, which must outlive them; says how many texts were cut. Once for each inference. */
peft_status peft_inference_encode(peft_inference *inference, const peft_dataset *dataset, peft_error *error);

/* Encodes, and computes the outputs of all examples with a progress bar: *outputs [count, columns] is the caller's
 * (free). */
peft_status peft_inference_run(peft_inference *inference, peft_prediction what, const peft_dataset *dataset,
                               float **outputs, peft_error *error);

#endif
