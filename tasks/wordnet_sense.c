/* wn-sense: a group is two senses of a word, of one part of speech, with two sentences each. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/wordnet_internal.h"

enum { MAX_PARTNERS = 64 }; /* other senses that a sense is paired with */

typedef struct sense {
    const char *word;
    char part_of_speech;
    uint32_t synset;
    const char *sentences[2];
} sense;

/* Is text[0..length) the word or an inflection of it? Irregular ones are missed, which costs some examples. */
static bool is_form(const char *text, size_t length, const char *word)
{
    static const struct {
        char dropped; /* last letter of the word, which gives way to the ending */
        bool doubled; /* the last letter is doubled */
        const char *ending;
    } forms[] = {
        {0, false, ""},      {0, false, "s"},   {0, false, "es"},    {0, false, "d"},
        {0, false, "ed"},    {0, false, "ing"}, {'e', false, "ing"}, {'y', false, "ies"},
        {'y', false, "ied"}, {0, true, "ed"},   {0, true, "ing"},
    };
    size_t letters = strlen(word);
    char last = word[letters - 1];
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (forms[i].dropped && forms[i].dropped != last) continue;
        size_t stem = letters - (forms[i].dropped != 0), before = stem + forms[i].doubled;
        if (length == before + strlen(forms[i].ending) && strncasecmp(text, word, stem) == 0 &&
            (!forms[i].doubled || text[stem] == last) &&
            strncasecmp(text + before, forms[i].ending, length - before) == 0)
            return true;
    }
    return false;
}

static bool uses_word(const char *sentence, const char *word)
{
    while (*sentence) {
        const char *end = sentence;
        while (isalpha((unsigned char)*end)) end++;
        if (end > sentence && is_form(sentence, (size_t)(end - sentence), word)) return true;
        sentence = *end ? end + 1 : end;
    }
    return false;
}

/* The first two examples of a synset that use the word; false if there are not two. */
static bool find_sentences(const peft_synset *synset, const char *word, const char *sentences[2])
{
    size_t found = 0;
    for (size_t i = 0; i < synset->num_examples && found < 2; i++)
        if (peft_wordnet_is_sentence(synset->examples[i]) && uses_word(synset->examples[i], word))
            sentences[found++] = synset->examples[i];
    return found == 2;
}

static bool is_plain(const char *word)
{
    return word[0] && word[strspn(word, "abcdefghijklmnopqrstuvwxyz")] == '\0';
}

static size_t find_senses(const peft_wordnet *wordnet, sense *senses)
{
    size_t count = 0;
    for (uint32_t i = 0; i < wordnet->count; i++) {
        const peft_synset *synset = &wordnet->synsets[i];
        for (size_t j = 0; j < synset->num_words; j++) {
            senses[count] = (sense){.word = synset->words[j], .part_of_speech = synset->part_of_speech, .synset = i};
            count += is_plain(synset->words[j]) && find_sentences(synset, synset->words[j], senses[count].sentences);
        }
    }
    return count;
}

static int by_word(const void *a, const void *b)
{
    const sense *x = a, *y = b;
    int order = strcmp(x->word, y->word);
    return order ? order : (x->synset > y->synset) - (x->synset < y->synset);
}

static peft_status pair_senses(peft_wordnet_build_state *b, const sense *senses, size_t count)
{
    peft_status status = PEFT_OK;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = i + 1; j < count && j <= i + MAX_PARTNERS && status == PEFT_OK; j++) {
            if (strcmp(senses[i].word, senses[j].word) != 0 || senses[i].part_of_speech != senses[j].part_of_speech)
                break;
            status = peft_wordnet_propose(
                b, &(peft_wordnet_group){.synsets = {senses[i].synset, senses[j].synset}, .word = senses[i].word});
        }
    }
    return status;
}

static peft_status propose(peft_wordnet_build_state *b)
{
    size_t most = 1; /* one place more, since a sense is written before it is found good */
    for (size_t i = 0; i < b->wordnet->count; i++) most += b->wordnet->synsets[i].num_words;
    sense *senses = calloc(most, sizeof *senses);
    if (!senses) return peft_wordnet_fail_memory(b);
    size_t count = find_senses(b->wordnet, senses);
    qsort(senses, count, sizeof *senses, by_word);
    peft_status status = pair_senses(b, senses, count);
    free(senses);
    return status;
}

static peft_status make_rows(peft_wordnet_build_state *b, const peft_wordnet_group *group, peft_wordnet_row *rows)
{
    const char *sentences[2][2];
    for (size_t i = 0; i < 2; i++) find_sentences(&b->wordnet->synsets[group->synsets[i]], group->word, sentences[i]);
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < 2; j++)
            rows[2 * i + j] = (peft_wordnet_row){sentences[i][0], sentences[j][1], i == j ? "same" : "different"};
    return PEFT_OK;
}

const peft_wordnet_task peft_wordnet_sense = {
    .name = "wn-sense",
    .header = "index\tsentence1\tsentence2\tlabel\n",
    .group_synsets = 2,
    .group_rows = 4,
    .propose = propose,
    .make_rows = make_rows,
};
