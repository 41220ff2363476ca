/* Hypernyms of accepted synsets are synsets of the same part of speech; making tasks of them either works or says why
 * not. The parts of the input are the four files. */
#include "tasks/wordnet.h"

#include "tasks/wordnet_read.h"
#include "tests/fuzz/fuzz.h"

static void check_synset(const peft_wordnet *w, const peft_synset *s)
{
    FUZZ_CHECK(s->num_words >= 1 && s->definition);
    for (size_t i = 0; i < s->num_words; i++) FUZZ_CHECK(s->words[i] != NULL);
    for (size_t i = 0; i < s->num_examples; i++) FUZZ_CHECK(s->examples[i] != NULL);
    for (size_t i = 0; i < s->num_hypernyms; i++) {
        FUZZ_CHECK(s->hypernyms[i] < w->count);
        FUZZ_CHECK(w->synsets[s->hypernyms[i]].part_of_speech == s->part_of_speech);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"wn/data.noun", "wn/data.verb", "wn/data.adj", "wn/data.adv"};
    fuzz_bytes parts[4];
    fuzz_split(data, size, parts, 4);
    for (size_t i = 0; i < 4; i++) fuzz_write(names[i], parts[i]);
    peft_wordnet wordnet;
    peft_error error = {0};
    peft_status status = peft_wordnet_read(fuzz_path("wn"), &wordnet, &error);
    FUZZ_CHECK(status == PEFT_OK || *error.message);
    if (status) return 0;
    fuzz_accepted++;
    FUZZ_CHECK(wordnet.num_nouns <= wordnet.count);
    for (size_t i = 0; i < wordnet.count; i++) check_synset(&wordnet, &wordnet.synsets[i]);
    peft_wordnet_free(&wordnet);
    status = peft_wordnet_build(fuzz_path("wn"), fuzz_path("tasks"), 1, &error);
    FUZZ_CHECK(status == PEFT_OK || *error.message);
    return 0;
}
