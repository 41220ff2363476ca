/* tasks/wordnet_read.h - the synsets of WordNet 3.0, from its files data.noun, data.verb, data.adj and data.adv.
 *
 * Their format is described in wndb(5WN), one synset a line after the licence:
 *
 *     00004258 03 n 02 living_thing 0 animate_thing 0 007 @ 00003553 n 0000 ... | a living (or once living) entity
 *     offset, lexicographer file, part of speech, number of words (hex), words each with an id, number of pointers,
 *     pointers of four fields each, gloss: a definition and example sentences, `definition; "example"; "example"` */
#ifndef PEFT_TASKS_WORDNET_READ_H
#define PEFT_TASKS_WORDNET_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/arena.h"
#include "ops/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct peft_synset {
    uint32_t offset;             /* its name within the file of its part of speech */
    uint32_t lexicographer_file; /* 5: animals; see lexnames(5WN) */
    char part_of_speech;         /* of the file: n, v, a, r */
    bool is_instance;            /* of a class, such as a city or a person: has a pointer "@i" */
    size_t num_words, num_hypernyms, num_examples;
    char **words;        /* "living thing" */
    uint32_t *hypernyms; /* indices of synsets: those that this one is a kind of ("@") */
    char *definition;
    char **examples; /* without quotes */
} peft_synset;

typedef struct peft_wordnet {
    peft_synset *synsets;
    size_t count;
    size_t num_nouns; /* they come first, in the order of data.noun */
    char *licence;    /* the notice at the start of data.noun, which goes with every copy */
    peft_arena arena; /* holds the texts and lists */
} peft_wordnet;

/* PEFT_ERR_FILE, PEFT_ERR_FORMAT with file and line, PEFT_ERR_MEMORY. Release with peft_wordnet_free. */
PEFT_API peft_status peft_wordnet_read(const char *folder, peft_wordnet *wordnet, peft_error *error);
PEFT_API void peft_wordnet_free(peft_wordnet *wordnet);

#ifdef __cplusplus
}
#endif
#endif
