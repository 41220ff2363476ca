/* peft/generator_train.h - training a generator to make the adapters of a library, from files to files. */
#ifndef PEFT_PEFT_GENERATOR_TRAIN_H
#define PEFT_PEFT_GENERATOR_TRAIN_H

#include "peft/library_folder.h"
#include "peft/progress.h"
#include "peft/reconstruction.h"
#include "peft/train_options.h"

/* All pointers are the caller's. */
typedef struct peft_generator_job {
    peft_library_folder *library; /* its adapters become canonical where that is asked for */
    const char *library_path, *output;
    bool force, resume;
    const peft_t2l_options *network;
    const peft_train_options *train;
    peft_t2l_loss loss;
    bool canonical;
    const char *encoder;  /* folder, for who generates; or NULL */
    const float *vectors; /* [descriptions of the library, vector_size] */
    int64_t vector_size;
    int64_t threads;
    peft_callback callback;
} peft_generator_job;

/* Trains, and leaves in the output folder a generator (peft/generator.h), run.json, log.jsonl and checkpoint/. *summary
 * is the content of run.json (json_decref):
 *
 *     {"kind": "t2l", "settings": {...}, "tasks": 32, "descriptions": 64, "parameters": 55317504, "steps": 1000,
 *      "loss": 0.01, "mean_cosine": 0.998, "smallest_cosine": 0.99}
 *
 * The cosines are those of what it makes of each description with the update of its task; of LoRAs only.
 * PEFT_ERR_CANCELLED: stopped by the callback, after a checkpoint. */
peft_status peft_generator_train(const peft_generator_job *job, json_t **summary, peft_error *error);

/* What memory that takes, in bytes: all of it, and the plan of its largest batch. Nothing is written. */
peft_status peft_generator_plan(const peft_generator_job *job, size_t *total, size_t *batch, int64_t *parameters,
                                peft_error *error);

#endif
