/* tasks/wordnet_internal.h - how the three tasks from WordNet are described to their common builder.
 *
 * A task proposes groups of synsets, from each of which it makes rows that are balanced among themselves. The builder
 * takes proposals in random order, each synset in one group only, deals the groups out to train and dev, and writes. */
#ifndef PEFT_TASKS_WORDNET_INTERNAL_H
#define PEFT_TASKS_WORDNET_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/arena.h"
#include "ops/status.h"
#include "tasks/wordnet_read.h"

enum { PEFT_WORDNET_MAX_GROUP = 8 }; /* synsets of a group, and its rows */

typedef struct peft_wordnet_group {
    uint32_t synsets[PEFT_WORDNET_MAX_GROUP];
    const char *word; /* wn-sense: what the sentences have in common */
} peft_wordnet_group;

typedef struct peft_wordnet_row {
    const char *sentence1, *sentence2, *label; /* sentence2 is NULL for single sentences */
} peft_wordnet_row;

typedef struct peft_wordnet_build_state {
    const peft_wordnet *wordnet;
    uint64_t seed;
    peft_wordnet_group *groups; /* proposals */
    size_t num_groups, capacity;
    peft_arena arena; /* holds sentences that are put together for rows */
    peft_error *error;
} peft_wordnet_build_state;

typedef struct peft_wordnet_task {
    const char *name;   /* as in tasks/task.h */
    const char *header; /* the first line of its files */
    size_t group_synsets, group_rows;
    peft_status (*propose)(peft_wordnet_build_state *b);
    peft_status (*make_rows)(peft_wordnet_build_state *b, const peft_wordnet_group *group, peft_wordnet_row *rows);
} peft_wordnet_task;

extern const peft_wordnet_task peft_wordnet_class, peft_wordnet_entail, peft_wordnet_sense;

peft_status peft_wordnet_propose(peft_wordnet_build_state *b, const peft_wordnet_group *group);
peft_status peft_wordnet_fail_memory(const peft_wordnet_build_state *b);

/* Some words, not a whole list. */
bool peft_wordnet_is_sentence(const char *text);

/* Is the synset a noun, a class rather than an instance, with a definition to ask about? */
bool peft_wordnet_is_defined_noun(const peft_wordnet_build_state *b, uint32_t synset);

#endif
