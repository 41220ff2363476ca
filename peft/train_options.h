/* peft/train_options.h - the settings of a training run, as data: flags of `peft train`, keys of its configuration
 * files and of run.json. The adapter's own settings are its variant's (variants/variant.h). */
#ifndef PEFT_PEFT_TRAIN_OPTIONS_H
#define PEFT_PEFT_TRAIN_OPTIONS_H

#include <float.h>

#include "io/option.h"
#include "ops/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_train_options {
    double epochs;
    int64_t steps; /* 0: as many as the epochs take */
    int64_t batch_size, gradient_accumulation;
    double learning_rate, loraplus_lr_ratio;
    char *schedule; /* linear, cosine, constant */
    double warmup;  /* below 1: share of the steps; else steps */
    double weight_decay, max_grad_norm, label_smoothing;
    char *head; /* classifier, answer-words */
    json_t *answers;
    double answer_scale;
    int64_t max_length, seed;
    char *dtype, *backend;
    bool checkpoint_layers;
    int64_t eval_every, hold_out;
    char *keep; /* best, last */
    int64_t early_stop, checkpoint_every;
} peft_train_options;

PEFT_API extern const peft_option peft_train_option_table[];

/* A row for the kernels to use, for this table and those of other commands; `at` is its .offset. */
#define PEFT_BACKEND_OPTION_ROW(at)                                                                                    \
    {                                                                                                                  \
        .name = "backend", .type = PEFT_OPTION_STRING, at, .placeholder = "NAME",                                      \
        .help = "kernels: onednn, avx512, avx2 or portable; the fastest that there is if not set",                     \
        .group = "Computation"                                                                                         \
    }

/* And one for the type of the matrix products. */
#define PEFT_DTYPE_OPTION_ROW(at)                                                                                      \
    {                                                                                                                  \
        .name = "dtype", .type = PEFT_OPTION_STRING, at, .initial = "f32", .choices = peft_dtype_choices,              \
        .placeholder = "NAME",                                                                                         \
        .help = "type of products with frozen weights; bf16 is faster, rounds more, and needs a CPU that has it",      \
        .group = "Computation"                                                                                         \
    }
PEFT_API extern const char *const peft_dtype_choices[]; /* f32, bf16, NULL */
PEFT_API peft_dtype peft_dtype_chosen(const char *choice);

/* The head's settings, for this table and those of other commands: "answer-words" and how long its vectors are. */
PEFT_API extern const char peft_head_answers[];
#define PEFT_ANSWERS_OPTION_ROW(at, help_)                                                                             \
    {                                                                                                                  \
        .name = "answers", .type = PEFT_OPTION_JSON, at, .placeholder = "LIST", .help = help_, .group = "Head",        \
        .names = true                                                                                                  \
    }
#define PEFT_ANSWER_SCALE_OPTION_ROW(at)                                                                               \
    {                                                                                                                  \
        .name = "answer_scale", .type = PEFT_OPTION_FLOAT, at, .initial = "20", .min = DBL_MIN, .max = 1e4,            \
        .placeholder = "X", .help = "a logit is so many times the cosine of text and answer", .group = "Head"          \
    }

/* Is the class of a text its most similar answer? */
PEFT_API bool peft_train_compares_answers(const peft_train_options *options);

/* What the limits of single options cannot say. */
PEFT_API peft_status peft_train_options_check(const peft_train_options *options, peft_error *error);

/* Steps of an epoch over `examples`, and of the whole run. */
PEFT_API int64_t peft_train_steps_per_epoch(const peft_train_options *options, int64_t examples);
PEFT_API int64_t peft_train_num_steps(const peft_train_options *options, int64_t examples);
PEFT_API int64_t peft_train_warmup_steps(const peft_train_options *options, int64_t num_steps);

#ifdef __cplusplus
}
#endif
#endif
