#include "tasks/wordnet_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"

typedef struct reader {
    const char *path;
    char part_of_speech;
    size_t line;
    size_t first; /* index of the file's first synset */
    size_t capacity;
    peft_wordnet *wordnet;
    peft_error *error;
} reader;

static peft_status fail_format(const reader *r, const char *expected, const char *found)
{
    return peft_fail(r->error, PEFT_ERR_FORMAT, "%s:%zu: expected %s, found \"%.40s\"", r->path, r->line, expected,
                     found ? found : "the end of the line");
}

static peft_status fail_memory(const reader *r)
{
    return peft_fail(r->error, PEFT_ERR_MEMORY, "%s: out of memory", r->path);
}

/* ---- fields, separated by single blanks ---- */

static peft_status read_word(const reader *r, char **rest, const char *expected, char **word)
{
    *word = strsep(rest, " ");
    return *word && **word ? PEFT_OK : fail_format(r, expected, *word);
}

static peft_status read_number(const reader *r, char **rest, int base, const char *expected, uint32_t *number)
{
    char *word, *end;
    peft_status status = read_word(r, rest, expected, &word);
    if (status != PEFT_OK) return status;
    errno = 0;
    unsigned long value = strtoul(word, &end, base);
    if (*end || errno || value > UINT32_MAX || *word == '-') return fail_format(r, expected, word);
    *number = (uint32_t)value;
    return PEFT_OK;
}

/* "living_thing" to "living thing"; adjectives may end in a syntactic marker, "galore(ip)". */
static void tidy_word(char *word)
{
    char *marker = strchr(word, '(');
    if (marker) *marker = '\0';
    for (; *word; word++)
        if (*word == '_') *word = ' ';
}

static peft_status read_words(const reader *r, char **rest, peft_synset *synset)
{
    uint32_t count, id;
    peft_status status = read_number(r, rest, 16, "the number of words", &count);
    if (status != PEFT_OK) return status;
    if (count == 0 || count > 0xFF) return fail_format(r, "1 to 255 words", "another number");
    synset->words = peft_arena_take(&r->wordnet->arena, count * sizeof *synset->words);
    if (!synset->words) return fail_memory(r);
    for (; synset->num_words < count && status == PEFT_OK; synset->num_words++) {
        status = read_word(r, rest, "a word", &synset->words[synset->num_words]);
        if (status == PEFT_OK) status = read_number(r, rest, 16, "the id of a word", &id);
        if (status == PEFT_OK) tidy_word(synset->words[synset->num_words]);
    }
    return status;
}

/* Hypernyms are kept as offsets until all synsets of the file are known. */
static peft_status read_pointers(const reader *r, char **rest, peft_synset *synset)
{
    uint32_t count, target;
    char *symbol, *word;
    peft_status status = read_number(r, rest, 10, "the number of pointers", &count);
    if (status != PEFT_OK) return status;
    if (count > 999) return fail_format(r, "at most 999 pointers", "more");
    synset->hypernyms = peft_arena_take(&r->wordnet->arena, count * sizeof *synset->hypernyms);
    if (!synset->hypernyms) return fail_memory(r);
    for (uint32_t i = 0; i < count; i++) {
        if ((status = read_word(r, rest, "the symbol of a pointer", &symbol)) != PEFT_OK ||
            (status = read_number(r, rest, 10, "the target of a pointer", &target)) != PEFT_OK ||
            (status = read_word(r, rest, "the part of speech of a pointer", &word)) != PEFT_OK ||
            (status = read_word(r, rest, "the words of a pointer", &word)) != PEFT_OK)
            return status;
        if (strcmp(symbol, "@") == 0) synset->hypernyms[synset->num_hypernyms++] = target;
        if (strcmp(symbol, "@i") == 0) synset->is_instance = true;
    }
    return PEFT_OK;
}

/* ---- the gloss ---- */

static void trim_end(char *text)
{
    size_t length = strlen(text);
    while (length > 0 && strchr(" ;", text[length - 1])) length--;
    text[length] = '\0';
}

static char *cut_example(char **rest)
{
    char *open = *rest ? strchr(*rest, '"') : NULL;
    char *close = open ? strchr(open + 1, '"') : NULL;
    if (!close) return NULL; /* a quote without its pair, 20 times in WordNet 3.0, ends the list */
    *close = '\0';
    *rest = close + 1;
    return open + 1;
}

static size_t count_letters(const char *text, char letter)
{
    size_t count = 0;
    for (; (text = strchr(text, letter)); text++) count++;
    return count;
}

static peft_status read_gloss(const reader *r, char *gloss, peft_synset *synset)
{
    synset->definition = gloss;
    char *examples = strstr(gloss, "; \"");
    if (examples) {
        *examples++ = '\0';
        size_t most = count_letters(examples, '"') / 2;
        synset->examples = peft_arena_take(&r->wordnet->arena, most * sizeof *synset->examples);
        if (!synset->examples) return fail_memory(r);
        for (char *example; (example = cut_example(&examples));) synset->examples[synset->num_examples++] = example;
    }
    trim_end(synset->definition);
    return PEFT_OK;
}

/* ---- lines and files ---- */

/* NULL: out of memory. */
static peft_synset *new_synset(reader *r)
{
    peft_wordnet *wordnet = r->wordnet;
    if (wordnet->count == r->capacity) {
        size_t capacity = r->capacity ? 2 * r->capacity : 1024;
        peft_synset *larger = realloc(wordnet->synsets, capacity * sizeof *larger);
        if (!larger) return NULL;
        wordnet->synsets = larger;
        r->capacity = capacity;
    }
    peft_synset *synset = &wordnet->synsets[wordnet->count++];
    *synset = (peft_synset){.part_of_speech = r->part_of_speech};
    return synset;
}

static peft_status read_synset(reader *r, char *line)
{
    char *gloss = strstr(line, " | "), *rest = line, *word;
    if (!gloss) return fail_format(r, "a gloss after \" | \"", line);
    *gloss = '\0';

    peft_synset *synset = new_synset(r);
    if (!synset) return fail_memory(r);
    peft_status status;
    if ((status = read_number(r, &rest, 10, "an offset", &synset->offset)) != PEFT_OK ||
        (status = read_number(r, &rest, 10, "a file number", &synset->lexicographer_file)) != PEFT_OK ||
        (status = read_word(r, &rest, "a part of speech", &word)) != PEFT_OK ||
        (status = read_words(r, &rest, synset)) != PEFT_OK || (status = read_pointers(r, &rest, synset)) != PEFT_OK)
        return status;
    if (r->wordnet->count - r->first > 1 && synset->offset <= synset[-1].offset)
        return fail_format(r, "offsets that rise from line to line", line);
    return read_gloss(r, gloss + 3, synset);
}

/* The lines of the licence, in front of the synsets, begin with two blanks. */
static bool is_licence(const char *line)
{
    return strncmp(line, "  ", 2) == 0;
}

static char *copy_licence(peft_arena *arena, const char *text)
{
    const char *end = text;
    while (is_licence(end)) {
        const char *line_end = strchr(end, '\n');
        end = line_end ? line_end + 1 : end + strlen(end);
    }
    char *licence = peft_arena_take(arena, (size_t)(end - text) + 1);
    return licence ? memcpy(licence, text, (size_t)(end - text)) : NULL;
}

static peft_status read_text(reader *r, char *text)
{
    for (char *line; (line = strsep(&text, "\n"));) {
        r->line++;
        if (!*line || is_licence(line)) continue;
        peft_status status = read_synset(r, line);
        if (status != PEFT_OK) return status;
    }
    return PEFT_OK;
}

static int by_offset(const void *a, const void *b)
{
    uint32_t x = ((const peft_synset *)a)->offset, y = ((const peft_synset *)b)->offset;
    return (x > y) - (x < y);
}

static peft_status resolve_hypernyms(const reader *r)
{
    peft_wordnet *wordnet = r->wordnet;
    for (size_t i = r->first; i < wordnet->count; i++) {
        for (size_t j = 0; j < wordnet->synsets[i].num_hypernyms; j++) {
            uint32_t *hypernym = &wordnet->synsets[i].hypernyms[j];
            const peft_synset wanted = {.offset = *hypernym};
            const peft_synset *found =
                bsearch(&wanted, wordnet->synsets + r->first, wordnet->count - r->first, sizeof wanted, by_offset);
            if (!found)
                return peft_fail(r->error, PEFT_ERR_FORMAT, "%s: synset %08u: no synset %08u, which it points to",
                                 r->path, (unsigned)wordnet->synsets[i].offset, (unsigned)*hypernym);
            *hypernym = (uint32_t)(found - wordnet->synsets);
        }
    }
    return PEFT_OK;
}

/* Texts point into a copy of the file, cut into strings where it lies. */
static peft_status read_copy(reader *r, const peft_mapped_file *file)
{
    if (memchr(file->data, 0, file->bytes))
        return peft_fail(r->error, PEFT_ERR_FORMAT, "%s: a NUL byte in a text file", r->path);
    char *text = peft_arena_take(&r->wordnet->arena, file->bytes + 1);
    if (!text) return fail_memory(r);
    memcpy(text, file->data, file->bytes);
    if (!r->wordnet->licence && !(r->wordnet->licence = copy_licence(&r->wordnet->arena, text))) return fail_memory(r);
    peft_status status = read_text(r, text);
    return status == PEFT_OK ? resolve_hypernyms(r) : status;
}

static peft_status read_file(reader *r)
{
    peft_mapped_file file;
    peft_status status = peft_file_map(r->path, &file, r->error);
    if (status != PEFT_OK) return status;
    status = read_copy(r, &file);
    peft_file_unmap(&file);
    return status;
}

static peft_status read_part(reader *r, const char *folder, const char *name)
{
    char *path;
    peft_status status = peft_path_join(folder, name, &path, r->error);
    if (status != PEFT_OK) return status;
    r->path = path;
    r->line = 0;
    r->first = r->wordnet->count;
    status = read_file(r);
    free(path);
    return status;
}

peft_status peft_wordnet_read(const char *folder, peft_wordnet *wordnet, peft_error *error)
{
    static const struct {
        const char *file;
        char part_of_speech;
    } parts[] = {{"data.noun", 'n'}, {"data.verb", 'v'}, {"data.adj", 'a'}, {"data.adv", 'r'}};

    *wordnet = (peft_wordnet){0};
    reader r = {.wordnet = wordnet, .error = error};
    peft_status status = PEFT_OK;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && status == PEFT_OK; i++) {
        r.part_of_speech = parts[i].part_of_speech;
        status = read_part(&r, folder, parts[i].file);
        if (i == 0) wordnet->num_nouns = wordnet->count;
    }
    if (status != PEFT_OK) peft_wordnet_free(wordnet);
    return status;
}

void peft_wordnet_free(peft_wordnet *wordnet)
{
    free(wordnet->synsets);
    peft_arena_free(&wordnet->arena);
    *wordnet = (peft_wordnet){0};
}
