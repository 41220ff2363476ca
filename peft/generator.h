/* peft/generator.h - a generator as a folder, and the adapters that it makes. The base model is never opened.
 *
 *     generator.json          what it is: kind, settings of its network, the adapted layers in their order, the encoder
 * of descriptions, the tasks it was trained on generator.safetensors   its values (generators/t2l/t2l.h)
 *     tasks.safetensors       "vectors" [tasks, size]: the descriptions' vectors of these tasks; may be missing
 *     adapter/                the adapter from which all tasks start: settings, head, what is known of the base
 *
 * What it makes is an ordinary adapter's folder: that of adapter/, with other values. */
#ifndef PEFT_PEFT_GENERATOR_H
#define PEFT_PEFT_GENERATOR_H

#include "generators/t2l/t2l.h"
#include "models/model.h"
#include "peft/target.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A task that it was trained on. */
typedef struct peft_generator_task {
    const char *name, *description;
} peft_generator_task;

/* What is known beside the network; everything is borrowed, NULL and 0: nothing. */
typedef struct peft_generator_about {
    const char *encoder; /* folder of the encoder of descriptions */
    const peft_generator_task *tasks;
    int64_t num_tasks;
    const float *vectors; /* [num_tasks, vector_size] */
    /* The adapter that was read, with the network's adapters in it: its settings, head and base are written, in place
     * of those of a model. */
    const struct peft_adapter_contents *like;
} peft_generator_about;

/* Writes the folder. The adapter in it is what net->places.adapters hold now, with the head and the base of `model`,
 * which may be NULL, as peft_adapter_save writes them. PEFT_ERR_UNSUPPORTED: files of this adapter hold other values
 * than those which are trained (--init pissa), so that none could be made. */
PEFT_API peft_status peft_generator_save(const char *folder, const peft_t2l *net, peft_model *model,
                                         const peft_target_options *targets, const peft_generator_about *about,
                                         peft_error *error);

typedef struct peft_generator peft_generator;

/* PEFT_ERR_FILE, PEFT_ERR_FORMAT, PEFT_ERR_ARGUMENT, PEFT_ERR_MEMORY: what is missing or does not fit together, by file
 * and name. Release with peft_generator_close, which takes NULL too. */
PEFT_API peft_status peft_generator_open(peft_generator **generator, const char *folder, peft_error *error);
PEFT_API void peft_generator_close(peft_generator *generator);

PEFT_API int64_t peft_generator_vector_size(const peft_generator *generator);
PEFT_API const char *peft_generator_encoder(const peft_generator *generator); /* NULL: none is named */
PEFT_API const peft_t2l *peft_generator_network(const peft_generator *generator);
PEFT_API peft_adapters *peft_generator_adapters(peft_generator *generator); /* those that are filled */

/* The tasks that it was trained on; NULL past the end. */
PEFT_API const peft_generator_task *peft_generator_task_at(const peft_generator *generator, int64_t index);

/* Called with the adapter of description `index` in peft_generator_adapters. */
typedef peft_status peft_generator_made(void *argument, int64_t index, peft_error *error);

/* The adapters of vectors [count, vector_size], one after another; their products are computed for some descriptions at
 * once. PEFT_ERR_NUMERIC: a value is not finite. */
PEFT_API peft_status peft_generator_make(peft_generator *generator, peft_context *ctx, const float *vectors,
                                         int64_t count, peft_generator_made *made, void *argument, peft_error *error);

/* The adapter that was made last, as a folder. */
PEFT_API peft_status peft_generator_write(peft_generator *generator, const char *folder, peft_error *error);

/* The task whose vector is nearest, and the cosine; -1: none is known. */
PEFT_API int64_t peft_generator_nearest(const peft_generator *generator, const float *vector, double *cosine);

#ifdef __cplusplus
}
#endif
#endif
