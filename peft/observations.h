/* peft/observations.h - observations.jsonl of a run folder: what a variant decided while it was trained.
 *
 *     {"step": 40, "module": "bert.encoder.layer.0.attention.self.query", "name": "lora_E", "kind": "value",
 *      "values": [0.12, 0, -0.31]}
 *
 * Of kind "value" are gates and singular values that are trained (role PEFT_ROLE_GATE, as far as there are few of
 * them), as they stand after the step; of kind "observation" is what forward functions observed (peft_graph_observe)
 * and the losses they added, the mean over the step's tokens: load of experts, entropy of routers, distance from
 * orthonormal directions. A variant that decides nothing leaves no file.
 */
#ifndef PEFT_PEFT_OBSERVATIONS_H
#define PEFT_PEFT_OBSERVATIONS_H

#include "peft/log.h"
#include "peft/parameters.h"

typedef struct peft_observed {
    const char *module, *name; /* as the graph has them */
    int64_t count;
    int64_t times; /* that one graph saw it */
    double weight;
    double *sums;
} peft_observed;

typedef struct peft_observations {
    const char *path;
    peft_log *log;        /* opened with the first line */
    peft_observed *items; /* of the step that is being computed */
    int64_t num_items;
} peft_observations;

/* `path` stays the caller's. Release with peft_observations_close, which takes a zeroed one too. */
void peft_observations_open(peft_observations *observations, const char *path);
void peft_observations_close(peft_observations *observations);

/* Is step `step` (from 1) of `num_steps` written down? Some hundred of them are, spread evenly, and the last. */
bool peft_observations_due(int64_t step, int64_t num_steps);

/* Adds what a graph that has run observed, as one batch of a step that counts `weight`. What has the same module and
 * name is one thing: an adapter for each sequence, whose formula is described once for each, gives their mean.
 * PEFT_ERR_SHAPE: it has other numbers than before in this step. */
peft_status peft_observations_add(peft_observations *observations, peft_graph *g, double weight, peft_error *error);

/* Writes the step down and starts anew. */
peft_status peft_observations_write(peft_observations *observations, int64_t step, const peft_parameters *parameters,
                                    peft_error *error);

#endif
