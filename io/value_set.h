/* io/value_set.h - a value set: what is trained, whatever it is for. Adapters, heads and the networks of generators are
 * such sets: named tensors that are declared as data.
 *
 *     static const peft_value_spec specs[] = {
 *         {.name = "weight", .shape = {2, {8, 3}}, .start = PEFT_START_NORMAL, .spread = 0.2, .role = PEFT_ROLE_OTHER},
 *         {.name = "bias", .shape = {1, {8}}, .role = PEFT_ROLE_OTHER}};
 *     peft_value_set net = {0};
 *     peft_value_set_create(&net, "net", specs, 2, seed, &error);
 *
 * From the one list come memory and gradients, start values keyed by seed and name, counts, groups of the optimiser,
 * files and checkpoints (peft/trainer.h trains lists of such sets). */
#ifndef PEFT_IO_VALUE_SET_H
#define PEFT_IO_VALUE_SET_H

#include "ops/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* trained; frozen but saved with the rest; or state of a schedule (scores, averages), saved in checkpoints only */
typedef enum peft_value_kind { PEFT_VALUE_TRAINED, PEFT_VALUE_FROZEN, PEFT_VALUE_STATE } peft_value_kind;

/* Start values: `spread` is the constant, the bound of the uniform, the standard deviation of the normal
 * distribution. */
typedef enum peft_start {
    PEFT_START_ZERO,
    PEFT_START_ONE,
    PEFT_START_CONSTANT,
    PEFT_START_UNIFORM,
    PEFT_START_NORMAL
} peft_start;

/* What a tensor is for, to those who treat all sets alike: LoRA+ trains the up side faster, few gates are written down
 * while they train. It has to be said of all but states: 0 is an error. */
typedef enum peft_role {
    PEFT_ROLE_FORGOTTEN,
    PEFT_ROLE_DOWN,
    PEFT_ROLE_UP,
    PEFT_ROLE_GATE,
    PEFT_ROLE_ROUTER,
    PEFT_ROLE_OTHER
} peft_role;

typedef struct peft_value_spec {
    const char *name; /* in files, behind the module's name: "lora_A.weight" */
    peft_shape shape;
    peft_value_kind kind;
    peft_start start;
    double spread;
    peft_role role;
    const char *other_name;      /* optional: also taken when a file is read */
    bool no_decay;               /* weight decay leaves it alone */
    double learning_rate_factor; /* of the run's learning rate; 0: 1 */
} peft_value_spec;

/* One tensor. In a graph another one may stand in for it: peft_graph_bind in ops/side.h, with its address as owner. */
typedef struct peft_value {
    peft_value_spec spec;
    float *data;
    float *gradient; /* NULL unless trained */
} peft_value;

/* Where training stands; steps count from 1 when they are done. */
typedef struct peft_training_step {
    int64_t step, num_steps;
    double learning_rate;
} peft_training_step;

typedef struct peft_value_item {
    char *name;         /* in the set: "MODULE.NAME", or "NAME" where there is no module */
    const char *module; /* "": none */
    peft_value *value;
} peft_value_item;

typedef struct peft_value_set {
    peft_value_item *items; /* [count], in the order in which they were declared */
    int64_t count;
    int64_t num_trained; /* floats in all trained values */
    float *memory;       /* what the values lie in: trained ones first, in their order; NULL: in memory of others */
    float *gradients;    /* of the trained ones, at the same places: [num_trained] */
    peft_value *own;     /* [count] of peft_value_set_create; NULL: the values are others' */

    /* What the set's owner has to say about training it; optional. The first: can it be trained for so many steps?
     * The second is called after the optimiser's update, with the clipped gradients still there. */
    peft_status (*check_steps)(void *owner, int64_t num_steps, peft_error *error);
    peft_status (*after_step)(void *owner, const peft_training_step *step, peft_error *error);
    void *owner;
} peft_value_set;

/* A set of values of its own, of `module` ("" where names need nothing in front), with memory and start values. Names
 * in specs and `module` are borrowed. PEFT_ERR_ARGUMENT: a spec without name or role, a shape that cannot be, a name
 * that comes twice. Release with peft_value_set_free. */
PEFT_API peft_status peft_value_set_create(peft_value_set *set, const char *module, const peft_value_spec *specs,
                                           int64_t count, uint64_t seed, peft_error *error);
PEFT_API void peft_value_set_free(peft_value_set *set); /* a struct of zeros is allowed */

/* The value of this name; NULL: the set has none. */
PEFT_API peft_value *peft_value_set_find(const peft_value_set *set, const char *name);

PEFT_API int64_t peft_value_count(const peft_value *value); /* its elements */
PEFT_API void peft_value_set_zero_gradients(const peft_value_set *set);

/* A value as leaf of a graph: what is bound to it, else a parameter if it is trained and `training`, else a constant.
 */
PEFT_API peft_tensor *peft_value_tensor(peft_graph *g, const peft_value *value, bool training);

/* All but the states of schedules in one safetensors file with a checksum, under their names; and back, in place.
 * PEFT_ERR_FORMAT: one is missing, unexpected or misshapen, or the file is damaged, PEFT_ERR_NUMERIC: not finite;
 * nothing is changed then. */
PEFT_API peft_status peft_value_set_save(const peft_value_set *set, const char *path, peft_error *error);
PEFT_API peft_status peft_value_set_load(const peft_value_set *set, const char *path, peft_error *error);

/* ---- for owners of values that lie in structs of their own ---- */

/* Appends a value, whose spec is set, data and gradient not yet or to memory of its owner. */
peft_status peft_value_set_add(peft_value_set *set, const char *module, peft_value *value, peft_error *error);
/* Memory for all values and the gradients of the trained ones, zeroed, and points each value at its place. */
peft_status peft_value_set_allocate(peft_value_set *set, peft_error *error);
/* Fills all values as their specs say. A start value depends on the seed, its module and its name alone. */
void peft_value_set_draw(const peft_value_set *set, uint64_t seed);

/* The stream of random numbers (ops/rng.h) that belongs to something of a module. */
uint64_t peft_value_stream(const char *module, const char *name);

#ifdef __cplusplus
}
#endif
#endif
