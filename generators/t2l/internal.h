/* generators/t2l/internal.h - parts of the network, for each other. */
#ifndef PEFT_GENERATORS_T2L_INTERNAL_H
#define PEFT_GENERATORS_T2L_INTERNAL_H

#include "generators/net.h"
#include "generators/t2l/t2l.h"
#include "ops/ops.h"

enum { PEFT_T2L_CODES = 32, PEFT_T2L_CLASSES = 64, PEFT_T2L_CLASS_HIDDEN = 256 };

/* What the head of a kind emits for each row that it reads; 0: nothing of the kind is emitted. */
int64_t peft_t2l_head_columns(const peft_t2l *t, const peft_place_kind *kind);
/* The most rows that one of its tensors has; 0: nothing of the kind is emitted. */
int64_t peft_t2l_kind_rows(const peft_place_kind *kind);

bool peft_t2l_is_discrete(const peft_t2l *t);
bool peft_t2l_emits_rows(const peft_t2l *t);  /* S, LR */
bool peft_t2l_emits_sides(const peft_t2l *t); /* M, S: one tensor after another */

/* The network's values: fills t->set. */
peft_status peft_t2l_list_values(peft_t2l *t, uint64_t seed, peft_error *error);
/* How many numbers they are; INT64_MAX: more than can be. */
peft_status peft_t2l_count_values(peft_t2l *t, int64_t *numbers, peft_error *error);
/* Start values that no table says. */
void peft_t2l_draw(peft_t2l *t, uint64_t seed);
peft_status peft_t2l_check_start(const peft_t2l *t, peft_error *error);
/* Bias-HyperInit: the head's bias [head columns] from a start a0 [rank, in] of A. */
void peft_t2l_hyper_bias(const peft_t2l *t, const peft_place_kind *kind, const float *a0, float *bias);

/* A graph, and the network in it. */
typedef struct peft_t2l_scope {
    peft_net net;
    const peft_t2l *t;
    int64_t first_row; /* where the rows of this batch begin in their step */
    int64_t uses;      /* of dropout so far */
} peft_t2l_scope;

peft_tensor *peft_t2l_norm(peft_t2l_scope *s, peft_tensor *x, const char *name);
peft_tensor *peft_t2l_silu(peft_t2l_scope *s, peft_tensor *x);
peft_tensor *peft_t2l_dropout(peft_t2l_scope *s, peft_tensor *x);

/* Which line of a table each row of the batch reads. */
typedef struct peft_t2l_lines {
    peft_tensor *tensor;
    int32_t *values;
    int64_t count;
} peft_t2l_lines;

peft_t2l_lines peft_t2l_open_lines(peft_graph *g, int64_t rows);
void peft_t2l_add_line(peft_t2l_lines *list, int64_t line);

/* The code of each description: vectors [N, E] -> [N, z / 2], or [N, 64] of discrete. */
peft_tensor *peft_t2l_task_code(peft_t2l_scope *s, peft_tensor *vectors);

/* Each row of v [R, d] turned by its rank: ranks [R]. */
peft_tensor *peft_t2l_rotate(peft_t2l_scope *s, peft_tensor *v, peft_tensor *ranks);
/* Equations (1) and (2): vectors [N, E] -> u, all places of all descriptions as one batch: kind by kind, place by
 * place, description by description. And the parts that come behind it. */
peft_tensor *peft_t2l_trunk(peft_t2l_scope *s, peft_tensor *vectors);
peft_tensor *peft_t2l_mlp2(peft_t2l_scope *s, peft_tensor *v);
peft_tensor *peft_t2l_mlp3(peft_t2l_scope *s, peft_tensor *v);

/* Values [places, shape] of a tensor -> a row for each place and description. */
peft_tensor *peft_t2l_for_all_rows(peft_t2l_scope *s, peft_tensor *values, const peft_place_kind *kind,
                                   const peft_place_tensor *tensor, int64_t N);

peft_status peft_t2l_make_rotations(peft_t2l *t, peft_error *error);

#endif
