/* wn-class: a group is one noun of each kind. */
#include <stdlib.h>

#include "ops/rng.h"
#include "tasks/wordnet_internal.h"

static const struct {
    const char *label;
    uint32_t lexicographer_file;
} kinds[] = {{"act", 4},   {"animal", 5},  {"artifact", 6}, {"communication", 10},
             {"food", 13}, {"person", 18}, {"plant", 20},   {"substance", 27}};
enum { NUM_KINDS = sizeof kinds / sizeof kinds[0] };
_Static_assert(sizeof kinds / sizeof kinds[0] <= (size_t)PEFT_WORDNET_MAX_GROUP,
               "a group holds one synset of each kind");

static size_t nouns_of_kind(const peft_wordnet_build_state *b, size_t kind, uint32_t *nouns)
{
    size_t count = 0;
    for (uint32_t i = 0; i < b->wordnet->num_nouns; i++)
        if (b->wordnet->synsets[i].lexicographer_file == kinds[kind].lexicographer_file &&
            peft_wordnet_is_defined_noun(b, i))
            nouns[count++] = i;
    return count;
}

/* Fills the kind's place in groups[0..fewest) and returns the new fewest: as many groups as the rarest kind has nouns.
 */
static size_t deal_out(peft_wordnet_group *groups, size_t fewest, size_t kind, const uint32_t *nouns,
                       const uint32_t *order, size_t count)
{
    if (count < fewest) fewest = count;
    for (size_t i = 0; i < fewest; i++) groups[i].synsets[kind] = nouns[order[i]];
    return fewest;
}

static peft_status propose(peft_wordnet_build_state *b)
{
    size_t most = b->wordnet->num_nouns, fewest = most;
    uint32_t *nouns = calloc(most + 1, sizeof *nouns);
    uint32_t *order = calloc(most + 1, sizeof *order);
    peft_wordnet_group *groups = calloc(most + 1, sizeof *groups);
    bool enough = nouns && order && groups;
    peft_status status = enough ? PEFT_OK : peft_wordnet_fail_memory(b);
    for (size_t kind = 0; kind < NUM_KINDS && enough; kind++) {
        size_t count = nouns_of_kind(b, kind, nouns);
        peft_random_permutation(order, (uint32_t)count, b->seed, peft_stream(kinds[kind].label));
        fewest = deal_out(groups, fewest, kind, nouns, order, count);
    }
    for (size_t i = 0; i < fewest && status == PEFT_OK; i++) status = peft_wordnet_propose(b, &groups[i]);
    free(nouns);
    free(order);
    free(groups);
    return status;
}

static peft_status make_rows(peft_wordnet_build_state *b, const peft_wordnet_group *group, peft_wordnet_row *rows)
{
    for (size_t kind = 0; kind < NUM_KINDS; kind++)
        rows[kind] = (peft_wordnet_row){.sentence1 = b->wordnet->synsets[group->synsets[kind]].definition,
                                        .label = kinds[kind].label};
    return PEFT_OK;
}

const peft_wordnet_task peft_wordnet_class = {
    .name = "wn-class",
    .header = "index\tsentence\tlabel\n",
    .group_synsets = NUM_KINDS,
    .group_rows = NUM_KINDS,
    .propose = propose,
    .make_rows = make_rows,
};
