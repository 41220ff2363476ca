/* tasks/wordnet.h - three tasks made from WordNet 3.0, for which nothing has to be downloaded.
 *
 *     wn-class    a definition of a noun                     which of eight kinds: act, animal, artifact, ...
 *     wn-entail   a definition; "It is a kind of X."         entailment (X is its hypernym), not_entailment
 *     wn-sense    two example sentences with a common word   same, different
 *
 * What a part of an example must not give away is balanced exactly, within train and within dev:
 *
 *     wn-class    every kind has as many examples.
 *     wn-entail   made of four nouns, two definitions d1, d2 and the hypernyms x1, x2 of each, which have a parent in
 *                 common: (d1, x1) and (d2, x2) are true, (d1, x2) and (d2, x1) are not. So every definition and every
 * X is true as often as not, and either sentence alone says nothing. wn-sense    made of two senses a, b of one word,
 * of the same part of speech, with two sentences each: (a1, a2) and (b1, b2) are the same, (a1, b2) and (b1, a2) are
 * not. Again no word and no sentence alone says anything.
 *
 * A trivial guess is therefore right 1/8, 1/2 and 1/2 of the time. In wn-entail, definitions that name x1 or x2 are
 * left out (finding the word would answer a fourth of the rows), so word overlap says nothing either. No synset is in
 * two groups, and definitions or sentences that several synsets have are left out, so train and dev share neither; what
 * they may share is the word of an X. Single persons, cities and the like (WordNet's instances) are left out.
 *
 * Logistic regression on frozen sentence vectors u, v (all-MiniLM-L6-v2; of pairs: u, v, |u - v|, u v) reaches 0.85,
 * 0.67 and 0.64 on dev; on either sentence of a pair alone, 0.50. */
#ifndef PEFT_TASKS_WORDNET_H
#define PEFT_TASKS_WORDNET_H

#include <stdint.h>

#include "ops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Reads WordNet's files (Debian: wordnet-base, in /usr/share/wordnet) and writes output_dir/wn-class/train.tsv, dev.tsv
 * and so on, in GLUE's layout: up to 4,000 rows to train on and a fourth of that in dev, as far as WordNet has them.
 * WordNet's licence is copied to output_dir/WORDNET-LICENSE. The same files and seed give the same bytes. Existing
 * files are replaced, each at once.
 *
 * PEFT_ERR_FILE, PEFT_ERR_FORMAT (a file is not WordNet's, or has too few synsets to fill a task), PEFT_ERR_MEMORY. */
PEFT_API peft_status peft_wordnet_build(const char *wordnet_dir, const char *output_dir, uint64_t seed,
                                        peft_error *error);

#ifdef __cplusplus
}
#endif
#endif
