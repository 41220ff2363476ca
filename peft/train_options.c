#include "peft/train_options.h"

#include <math.h>
#include <string.h>

static const char *const schedules[] = {"linear", "cosine", "constant", NULL};
const char peft_head_answers[] = "answer-words";
static const char *const heads[] = {"classifier", peft_head_answers, NULL};
static const char *const keeps[] = {"last", "best", NULL};

const char *const peft_dtype_choices[] = {"f32", "bf16", NULL};

peft_dtype peft_dtype_chosen(const char *choice)
{
    return strcmp(choice, "bf16") == 0 ? PEFT_BF16 : PEFT_F32;
}

#define AT(field) .offset = offsetof(peft_train_options, field)

const peft_option peft_train_option_table[] = {
    {.name = "epochs",
     .elsewhere = "num_train_epochs",
     .type = PEFT_OPTION_FLOAT,
     AT(epochs),
     .initial = "3",
     .min = DBL_MIN,
     .max = 1e6,
     .placeholder = "X",
     .help = "passes over the training examples",
     .group = "Training"},
    {.name = "steps",
     .elsewhere = "max_steps",
     .type = PEFT_OPTION_INT,
     AT(steps),
     .initial = "0",
     .min = 0,
     .max = 1e12,
     .placeholder = "N",
     .help = "optimiser steps instead of epochs; 0: as the epochs take",
     .group = "Training"},
    {.name = "batch_size",
     .elsewhere = "per_device_train_batch_size",
     .type = PEFT_OPTION_INT,
     AT(batch_size),
     .initial = "32",
     .min = 1,
     .max = 65536,
     .placeholder = "N",
     .help = "sequences computed at once",
     .group = "Training"},
    {.name = "gradient_accumulation",
     .elsewhere = "gradient_accumulation_steps",
     .type = PEFT_OPTION_INT,
     AT(gradient_accumulation),
     .initial = "1",
     .min = 1,
     .max = 65536,
     .placeholder = "N",
     .help = "batches whose gradients make up one step",
     .group = "Training"},
    {.name = "learning_rate",
     .elsewhere = "lr",
     .type = PEFT_OPTION_FLOAT,
     AT(learning_rate),
     .initial = "1e-3",
     .min = 0,
     .max = 1e3,
     .placeholder = "X",
     .help = "highest learning rate of AdamW",
     .group = "Training"},
    {.name = "loraplus_lr_ratio",
     .type = PEFT_OPTION_FLOAT,
     AT(loraplus_lr_ratio),
     .initial = "1",
     .min = DBL_MIN,
     .max = 1e6,
     .placeholder = "X",
     .help = "LoRA+: learning rate of B and of vectors over that of the rest; 16 is usual",
     .group = "Training"},
    {.name = "schedule",
     .elsewhere = "lr_scheduler_type",
     .type = PEFT_OPTION_STRING,
     AT(schedule),
     .initial = "linear",
     .choices = schedules,
     .placeholder = "NAME",
     .help = "how the learning rate goes on after the warm-up",
     .group = "Training"},
    {.name = "warmup",
     .elsewhere = "warmup_ratio",
     .type = PEFT_OPTION_FLOAT,
     AT(warmup),
     .initial = "0.06",
     .min = 0,
     .max = 1e12,
     .placeholder = "X",
     .help = "warm-up from 0: a share of the steps if below 1, else steps",
     .group = "Training"},
    {.name = "weight_decay",
     .type = PEFT_OPTION_FLOAT,
     AT(weight_decay),
     .initial = "0.01",
     .min = 0,
     .max = 1e3,
     .placeholder = "X",
     .help = "decoupled weight decay of everything trained",
     .group = "Training"},
    {.name = "max_grad_norm",
     .type = PEFT_OPTION_FLOAT,
     AT(max_grad_norm),
     .initial = "1",
     .min = 0,
     .max = 1e12,
     .placeholder = "X",
     .help = "gradients are scaled down to this global norm; 0: never",
     .group = "Training"},
    {.name = "label_smoothing",
     .type = PEFT_OPTION_FLOAT,
     AT(label_smoothing),
     .initial = "0",
     .min = 0,
     .max = 1,
     .placeholder = "X",
     .help = "share of the target spread over all classes",
     .group = "Training"},
    {.name = "head",
     .type = PEFT_OPTION_STRING,
     AT(head),
     .initial = "classifier",
     .choices = heads,
     .placeholder = "NAME",
     .help = "classifier: a layer that is trained with the adapter; answer-words: similarity to the vectors that the "
             "frozen encoder makes of the answers, nothing to train",
     .group = "Head"},
    PEFT_ANSWERS_OPTION_ROW(AT(answers),
                            "of answer-words: an answer for each class in their order, or an object {\"class\": "
                            "\"answer\"}; without it the task's, else the names of the classes"),
    PEFT_ANSWER_SCALE_OPTION_ROW(AT(answer_scale)),
    {.name = "max_length",
     .elsewhere = "max_seq_length",
     .type = PEFT_OPTION_INT,
     AT(max_length),
     .initial = "128",
     .min = 2,
     .max = 1 << 20,
     .placeholder = "N",
     .help = "tokens of an example; longer ones are cut, and counted",
     .group = "Training"},
    {.name = "seed",
     .type = PEFT_OPTION_INT,
     AT(seed),
     .initial = "0",
     .min = 0,
     .max = (double)(1LL << 53),
     .placeholder = "N",
     .help = "of start values, order of examples and dropout",
     .group = "Training"},
    PEFT_DTYPE_OPTION_ROW(AT(dtype)),
    PEFT_BACKEND_OPTION_ROW(AT(backend)),
    {.name = "checkpoint_layers",
     .type = PEFT_OPTION_BOOL,
     AT(checkpoint_layers),
     .initial = "false",
     .help = "compute each layer again in the backward pass: less memory, a third more work",
     .group = "Computation"},
    {.name = "eval_every",
     .type = PEFT_OPTION_INT,
     AT(eval_every),
     .initial = "0",
     .min = 0,
     .max = 1e12,
     .placeholder = "N",
     .help = "steps between evaluations; 0: after each epoch",
     .group = "Choosing"},
    {.name = "keep",
     .type = PEFT_OPTION_STRING,
     AT(keep),
     .initial = "last",
     .choices = keeps,
     .placeholder = "WHICH",
     .help = "adapter to keep: of the last step, or of the best step on examples held out of train",
     .group = "Choosing"},
    {.name = "hold_out",
     .type = PEFT_OPTION_INT,
     AT(hold_out),
     .initial = "0",
     .min = 0,
     .max = 1e9,
     .placeholder = "N",
     .help = "training examples held out to choose the best step on, which share no text with those trained on; "
             "0: a tenth, at most 1000, with --keep best",
     .group = "Choosing"},
    {.name = "early_stop",
     .type = PEFT_OPTION_INT,
     AT(early_stop),
     .initial = "0",
     .min = 0,
     .max = 1e9,
     .placeholder = "N",
     .help = "stop after so many evaluations without a better one (--keep best); 0: never",
     .group = "Choosing"},
    {.name = "checkpoint_every",
     .type = PEFT_OPTION_INT,
     AT(checkpoint_every),
     .initial = "0",
     .min = 0,
     .max = 1e12,
     .placeholder = "N",
     .help = "steps between checkpoints; 0: after each epoch",
     .group = "Training"},
    {0}};

bool peft_train_compares_answers(const peft_train_options *options)
{
    return options->head && strcmp(options->head, peft_head_answers) == 0;
}

peft_status peft_train_options_check(const peft_train_options *options, peft_error *error)
{
    bool best = strcmp(options->keep, "best") == 0;
    if (options->early_stop && !best)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--early-stop %lld needs --keep best, found --keep %s",
                         (long long)options->early_stop, options->keep);
    if (options->answers && !peft_train_compares_answers(options))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--answers needs --head %s, found --head %s", peft_head_answers,
                         options->head);
    if (options->hold_out && !best)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--hold-out %lld needs --keep best, found --keep %s",
                         (long long)options->hold_out, options->keep);
    return PEFT_OK;
}

int64_t peft_train_steps_per_epoch(const peft_train_options *options, int64_t examples)
{
    int64_t batch = options->batch_size * options->gradient_accumulation;
    return (examples + batch - 1) / batch;
}

int64_t peft_train_num_steps(const peft_train_options *options, int64_t examples)
{
    if (options->steps) return options->steps;
    double steps = ceil(options->epochs * (double)peft_train_steps_per_epoch(options, examples));
    return steps < 1 ? 1 : (int64_t)steps;
}

int64_t peft_train_warmup_steps(const peft_train_options *options, int64_t num_steps)
{
    return (int64_t)(options->warmup < 1 ? options->warmup * (double)num_steps : options->warmup);
}
