/* peft/cli/bench/bench.h - what the subjects of `peft bench` share: gemm, step, memory.
 *
 * A subject measures, and what it found is a document: --json prints it, and people see it as tables. */
#ifndef PEFT_CLI_BENCH_BENCH_H
#define PEFT_CLI_BENCH_BENCH_H

#include "models/model.h"
#include "peft/cli/job.h"
#include "peft/cli/progress.h"
#include "peft/limits.h"
#include "peft/session.h"

typedef struct peft_bench_options {
    char *shape;
    char *dtype, *backend; /* dtype NULL: f32; gemm: all that there are */
    int64_t layers, sequences, length, steps;
    bool checkpoint_layers;
    peft_job_options job; /* model, variant, data, targets; training as the rest of this says */
} peft_bench_options;

extern const peft_command_part peft_bench_parts[];

typedef struct peft_bench {
    const peft_bench_options *options;
    peft_output *output;
    peft_train_job job; /* its model is NULL where there is none */
    const char *name;   /* of the model: its folder, or --shape */
    peft_progress bar;
} peft_bench;

typedef struct peft_bench_subject {
    const char *name;
    bool runs_model;
    peft_status (*measure)(peft_bench *bench, json_t **document, peft_error *error);
    peft_status (*print)(const json_t *document, FILE *out, peft_error *error);
} peft_bench_subject;

extern const peft_bench_subject peft_bench_gemm, peft_bench_step, peft_bench_memory;

/* Real text, as against full batches of arbitrary tokens? */
bool peft_bench_has_text(const peft_bench *bench);

/* Opens the training of the job on what there is to train on. */
peft_status peft_bench_session_open(const peft_bench *bench, peft_session *session, peft_error *error);

/* Progress: begins; one more is done (PEFT_ERR_CANCELLED after Ctrl-C); ends, also after an error. */
void peft_bench_begin(peft_bench *bench, const char *label, const char *unit, int64_t total);
peft_status peft_bench_advance(peft_bench *bench, peft_error *error);
void peft_bench_end(peft_bench *bench);

/* Does the layer belong to a hidden layer, and so see every token? Those of the head see one row a sequence. */
bool peft_bench_sees_tokens(const peft_linear_layer *linear);

/* ---- bench/limits.c ---- */

typedef struct peft_bench_limits {
    double peak[PEFT_NUM_DTYPES]; /* of products in this type, FLOP/s; 0: not measured */
    double bandwidth;             /* bytes/s */
} peft_bench_limits;

peft_status peft_bench_context_open(const peft_bench *bench, peft_dtype dtype, peft_context **ctx, peft_error *error);

/* Adds the peak of ctx's type, and the bandwidth. */
peft_status peft_bench_limits_measure(peft_context *ctx, peft_bench_limits *limits, peft_error *error);

/* {"peak_gflops": {"f32": 440.1}, "bandwidth_gbs": 35.2} */
json_t *peft_bench_limits_json(const peft_bench_limits *limits);
void peft_bench_limits_print(const json_t *limits, FILE *out);

/* "f32", as --dtype has it */
const char *peft_bench_dtype_name(peft_dtype dtype);

#endif
