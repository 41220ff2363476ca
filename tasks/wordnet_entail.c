/* wn-entail: a group is two nouns and their hypernyms, which are siblings. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/rng.h"
#include "tasks/wordnet_internal.h"

enum { NOUN_1, HYPERNYM_1, NOUN_2, HYPERNYM_2, NUM_ROLES };

enum {
    MAX_CHOICES = 64, /* children of a noun that are looked at */
    MAX_DEPTH = 24,   /* of the chains of hypernyms: 19 in WordNet 3.0; ends a walk in a circle */
};

/* children[first[i]] to children[first[i + 1] - 1] are a kind of noun i. */
typedef struct hyponyms {
    uint32_t *first, *children;
} hyponyms;

/* Lists of children from lists of parents: count two places up, sum, then each start moves to its end as it fills. */
static bool find_hyponyms(const peft_wordnet *wordnet, hyponyms *h)
{
    const peft_synset *nouns = wordnet->synsets;
    size_t num_nouns = wordnet->num_nouns, total = 0;
    for (size_t i = 0; i < num_nouns; i++) total += nouns[i].num_hypernyms;
    h->first = calloc(num_nouns + 2, sizeof *h->first);
    h->children = calloc(total + 1, sizeof *h->children);
    if (!h->first || !h->children) return false;

    for (size_t i = 0; i < num_nouns; i++)
        for (size_t j = 0; j < nouns[i].num_hypernyms; j++) h->first[nouns[i].hypernyms[j] + 2]++;
    for (size_t i = 2; i < num_nouns + 2; i++) h->first[i] += h->first[i - 1];
    for (size_t i = 0; i < num_nouns; i++)
        for (size_t j = 0; j < nouns[i].num_hypernyms; j++)
            h->children[h->first[nouns[i].hypernyms[j] + 1]++] = (uint32_t)i;
    return true;
}

/* Is the word a name of the noun or of something that it is a kind of? */
static bool is_called(const peft_synset *nouns, uint32_t noun, const char *word, int depth)
{
    const peft_synset *synset = &nouns[noun];
    for (size_t i = 0; i < synset->num_words; i++)
        if (strcasecmp(synset->words[i], word) == 0) return true;
    for (size_t i = 0; i < synset->num_hypernyms && depth > 0; i++)
        if (is_called(nouns, synset->hypernyms[i], word, depth - 1)) return true;
    return false;
}

/* May the noun, a kind of `hypernym`, stand for it against `other`? Not where its definition names the one or the
 * other: looking for the word would answer. */
static bool is_fair(const peft_wordnet_build_state *b, uint32_t noun, uint32_t hypernym, uint32_t other)
{
    const peft_synset *nouns = b->wordnet->synsets;
    const char *wrong = nouns[other].words[0];
    return peft_wordnet_is_defined_noun(b, noun) && !strcasestr(nouns[noun].definition, nouns[hypernym].words[0]) &&
           !strcasestr(nouns[noun].definition, wrong) && !is_called(nouns, noun, wrong, MAX_DEPTH);
}

/* A random noun that is a kind of `hypernym` and not of `other`; false if there is none. */
static bool pick_child(const peft_wordnet_build_state *b, const hyponyms *h, uint32_t hypernym, uint32_t other,
                       uint32_t *child)
{
    uint32_t good[MAX_CHOICES];
    size_t count = 0;
    for (uint32_t i = h->first[hypernym]; i < h->first[hypernym + 1] && count < MAX_CHOICES; i++)
        if (is_fair(b, h->children[i], hypernym, other)) good[count++] = h->children[i];
    if (count == 0) return false;
    *child = good[peft_random_u64(b->seed, peft_stream("child of a hypernym"), hypernym) % count];
    return true;
}

static peft_status propose_children(peft_wordnet_build_state *b, const hyponyms *h, uint32_t parent)
{
    peft_status status = PEFT_OK;
    for (uint32_t i = h->first[parent]; i + 1 < h->first[parent + 1] && status == PEFT_OK; i++) {
        peft_wordnet_group group = {.synsets = {[HYPERNYM_1] = h->children[i], [HYPERNYM_2] = h->children[i + 1]}};
        uint32_t *s = group.synsets;
        if (pick_child(b, h, s[HYPERNYM_1], s[HYPERNYM_2], &s[NOUN_1]) &&
            pick_child(b, h, s[HYPERNYM_2], s[HYPERNYM_1], &s[NOUN_2]))
            status = peft_wordnet_propose(b, &group);
    }
    return status;
}

static peft_status propose(peft_wordnet_build_state *b)
{
    hyponyms h = {0};
    peft_status status = find_hyponyms(b->wordnet, &h) ? PEFT_OK : peft_wordnet_fail_memory(b);
    for (uint32_t parent = 0; parent < b->wordnet->num_nouns && status == PEFT_OK; parent++)
        status = propose_children(b, &h, parent);
    free(h.first);
    free(h.children);
    return status;
}

static const char *kind_sentence(peft_wordnet_build_state *b, uint32_t hypernym)
{
    static const char format[] = "It is a kind of %s.";
    const char *word = b->wordnet->synsets[hypernym].words[0];
    size_t bytes = sizeof format + strlen(word);
    char *sentence = peft_arena_take(&b->arena, bytes);
    if (sentence) snprintf(sentence, bytes, format, word);
    return sentence;
}

static peft_status make_rows(peft_wordnet_build_state *b, const peft_wordnet_group *group, peft_wordnet_row *rows)
{
    const uint32_t *s = group->synsets;
    const char *definitions[] = {b->wordnet->synsets[s[NOUN_1]].definition, b->wordnet->synsets[s[NOUN_2]].definition};
    const char *kinds[] = {kind_sentence(b, s[HYPERNYM_1]), kind_sentence(b, s[HYPERNYM_2])};
    if (!kinds[0] || !kinds[1]) return peft_wordnet_fail_memory(b);
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < 2; j++)
            rows[2 * i + j] = (peft_wordnet_row){definitions[i], kinds[j], i == j ? "entailment" : "not_entailment"};
    return PEFT_OK;
}

const peft_wordnet_task peft_wordnet_entail = {
    .name = "wn-entail",
    .header = "index\tsentence1\tsentence2\tlabel\n",
    .group_synsets = NUM_ROLES,
    .group_rows = 4,
    .propose = propose,
    .make_rows = make_rows,
};
