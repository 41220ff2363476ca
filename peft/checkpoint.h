/* peft/checkpoint.h - all that a training run needs to go on, in one safetensors file, written atomically.
 *
 *     parameter.NAME               values of what is trained, and of schedules' state
 *     exp_avg.NAME exp_avg_sq.NAME the optimiser's averages
 *     best.NAME                    values at the best evaluation so far, where one is kept
 *
 * and in its metadata the step, what is known of the best one, and a fingerprint of the settings: a run resumes only
 * with those it began with. Random numbers have no state (ops/rng.h).
 *
 *     peft_progress_state state = {0};
 *     peft_checkpoint_save("net.checkpoint", &trainer, &state, "{\"layers\": 3}", &error);
 *     ...
 *     peft_checkpoint_load("net.checkpoint", &trainer, &state, "{\"layers\": 3}", &error);   another trainer of the
 * same sets
 */
#ifndef PEFT_PEFT_CHECKPOINT_H
#define PEFT_PEFT_CHECKPOINT_H

#include "peft/trainer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a run remembers besides its trainer. */
typedef struct peft_progress_state {
    double best_score;
    int64_t best_step; /* 0: nothing evaluated yet */
    int64_t evaluations_since_best;
    float *best;    /* [peft_parameters_floats], NULL where the best is not kept */
    double seconds; /* of training, over all its sessions */
    int64_t tokens;
    bool evaluation_due;            /* of the step that was done last: the run was stopped before or in it */
    size_t planned, peak_anonymous; /* bytes: of peft_train_plan, and the most seen in this session; not saved */
} peft_progress_state;

/* `settings` is a JSON object as text: all that the result depends on and the trainer does not know. PEFT_ERR_NUMERIC:
 * a value is not finite; the file stays as it was. PEFT_ERR_WRITE, PEFT_ERR_MEMORY. */
PEFT_API peft_status peft_checkpoint_save(const char *path, peft_trainer *trainer, const peft_progress_state *state,
                                          const char *settings, peft_error *error);

/* PEFT_ERR_ARGUMENT: the checkpoint was made with other settings, the first of which is named; PEFT_ERR_FORMAT:
 * damaged, or of another model: a tensor is missing or too much, a value is not finite, a step beyond the run's.
 * Nothing of the trainer is changed then. */
PEFT_API peft_status peft_checkpoint_load(const char *path, peft_trainer *trainer, peft_progress_state *state,
                                          const char *settings, peft_error *error);

/* Does the checkpoint of the run in this folder record a setting of that name? True where there is no checkpoint. */
peft_status peft_checkpoint_knows(const char *run_folder, const char *setting, bool *known, peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
