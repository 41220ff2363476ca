#include "tasks/wordnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "ops/rng.h"
#include "tasks/wordnet_internal.h"

typedef peft_wordnet_build_state build;
typedef peft_wordnet_group group;
typedef peft_wordnet_row row;
typedef peft_wordnet_task task;

enum {
    MAX_ROWS = 5000, /* of a task, train and dev together */
    DEV_PART = 5,    /* a fifth of them is dev */
    MIN_TEXT = 10,   /* bytes */
    MAX_TEXT = 300,
};

/* ---- what the tasks share ---- */

peft_status peft_wordnet_fail_memory(const build *b)
{
    return peft_fail(b->error, PEFT_ERR_MEMORY, "tasks from WordNet: out of memory");
}

peft_status peft_wordnet_propose(build *b, const group *proposal)
{
    if (b->num_groups == b->capacity) {
        size_t capacity = b->capacity ? 2 * b->capacity : 1024;
        group *larger = realloc(b->groups, capacity * sizeof *larger);
        if (!larger) return peft_wordnet_fail_memory(b);
        b->groups = larger;
        b->capacity = capacity;
    }
    b->groups[b->num_groups++] = *proposal;
    return PEFT_OK;
}

bool peft_wordnet_is_sentence(const char *text)
{
    size_t length = strnlen(text, MAX_TEXT + 1);
    return length >= MIN_TEXT && length <= MAX_TEXT && strchr(text, ' ') && !strchr(text, '\t');
}

bool peft_wordnet_is_defined_noun(const build *b, uint32_t index)
{
    const peft_synset *synset = &b->wordnet->synsets[index];
    return synset->part_of_speech == 'n' && !synset->is_instance && peft_wordnet_is_sentence(synset->definition);
}

/* ---- texts that several synsets have are nobody's: they could stand in train and in dev, or have two labels ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t list_texts(const peft_wordnet *wordnet, char **texts)
{
    size_t count = 0;
    for (size_t i = 0; i < wordnet->count; i++) {
        const peft_synset *synset = &wordnet->synsets[i];
        texts[count++] = synset->definition;
        for (size_t j = 0; j < synset->num_examples; j++) texts[count++] = synset->examples[j];
    }
    return count;
}

static peft_status empty_repeated_texts(build *b)
{
    size_t most = 0;
    for (size_t i = 0; i < b->wordnet->count; i++) most += 1 + b->wordnet->synsets[i].num_examples;
    char **texts = calloc(most + 1, sizeof *texts);
    if (!texts) return peft_wordnet_fail_memory(b);
    size_t count = list_texts(b->wordnet, texts);
    qsort(texts, count, sizeof *texts, by_text);
    for (size_t first = 0, end; first < count; first = end) {
        for (end = first + 1; end < count && strcmp(texts[first], texts[end]) == 0;) end++;
        for (size_t i = first; i < end && end - first > 1; i++) texts[i][0] = '\0';
    }
    free(texts);
    return PEFT_OK;
}

/* ---- choosing groups ---- */

static bool take_if_free(const group *g, size_t group_synsets, bool *used)
{
    for (size_t i = 0; i < group_synsets; i++)
        if (used[g->synsets[i]]) return false;
    for (size_t i = 0; i < group_synsets; i++) used[g->synsets[i]] = true;
    return true;
}

static size_t choose_groups(const build *b, const task *t, const uint32_t *order, bool *used, group *chosen)
{
    size_t count = 0, most = MAX_ROWS / t->group_rows;
    for (size_t i = 0; i < b->num_groups && count < most; i++) {
        const group *g = &b->groups[order[i]];
        if (take_if_free(g, t->group_synsets, used)) chosen[count++] = *g;
    }
    return count;
}

/* ---- writing ---- */

static peft_status write_row(peft_writer *writer, size_t index, const row *r, peft_error *error)
{
    char line[2 * MAX_TEXT + 256];
    const char *tab = r->sentence2 ? "\t" : "", *second = r->sentence2 ? r->sentence2 : "";
    int bytes = snprintf(line, sizeof line, "%zu\t%s%s%s\t%s\n", index, r->sentence1, tab, second, r->label);
    if (bytes < 0 || (size_t)bytes >= sizeof line)
        return peft_fail(error, PEFT_ERR_FORMAT, "WordNet: \"%.40s...\": a word with more than 200 letters", second);
    return peft_writer_write(writer, line, (size_t)bytes, error);
}

static peft_status write_lines(peft_writer *writer, const task *t, const row *rows, const uint32_t *order, size_t count,
                               peft_error *error)
{
    peft_status status = peft_writer_write(writer, t->header, strlen(t->header), error);
    for (size_t i = 0; i < count && status == PEFT_OK; i++) status = write_row(writer, i, &rows[order[i]], error);
    return status;
}

static peft_status write_rows(const char *path, const task *t, const row *rows, const uint32_t *order, size_t count,
                              peft_error *error)
{
    peft_writer *writer;
    peft_status status = peft_writer_open(path, &writer, error);
    if (status != PEFT_OK) return status;
    status = write_lines(writer, t, rows, order, count, error);
    if (status == PEFT_OK) return peft_writer_commit(writer, error);
    peft_writer_discard(writer);
    return status;
}

/* The rows of groups[0..num_groups) in random order, so that those of a group do not stand together. */
static peft_status write_split(build *b, const task *t, const group *groups, size_t num_groups, const char *folder,
                               const char *file)
{
    size_t count = num_groups * t->group_rows;
    row *rows = calloc(count, sizeof *rows);
    uint32_t *order = calloc(count, sizeof *order);
    char *path = NULL;
    peft_status status = rows && order ? PEFT_OK : peft_wordnet_fail_memory(b);
    for (size_t i = 0; i < num_groups && status == PEFT_OK; i++)
        status = t->make_rows(b, &groups[i], rows + i * t->group_rows);
    if (status == PEFT_OK) status = peft_path_join(folder, file, &path, b->error);
    if (status == PEFT_OK) {
        peft_random_permutation(order, (uint32_t)count, b->seed, peft_stream("rows"));
        status = write_rows(path, t, rows, order, count, b->error);
    }
    free(path);
    free(order);
    free(rows);
    return status;
}

static peft_status write_task(build *b, const task *t, const group *groups, size_t count, const char *output_dir)
{
    size_t num_dev = count / DEV_PART;
    if (num_dev == 0)
        return peft_fail(b->error, PEFT_ERR_FORMAT, "%s: expected at least %d groups of synsets in WordNet, found %zu",
                         t->name, DEV_PART, count);
    char *folder;
    peft_status status = peft_path_join(output_dir, t->name, &folder, b->error);
    if (status != PEFT_OK) return status;
    status = peft_make_directories(folder, b->error);
    if (status == PEFT_OK) status = write_split(b, t, groups, num_dev, folder, "dev.tsv");
    if (status == PEFT_OK) status = write_split(b, t, groups + num_dev, count - num_dev, folder, "train.tsv");
    free(folder);
    return status;
}

/* ---- all together ---- */

static peft_status choose_and_write(build *b, const task *t, const char *output_dir)
{
    uint32_t *order = calloc(b->num_groups + 1, sizeof *order);
    bool *used = calloc(b->wordnet->count + 1, sizeof *used);
    group *chosen = calloc(b->num_groups + 1, sizeof *chosen);
    peft_status status = order && used && chosen ? PEFT_OK : peft_wordnet_fail_memory(b);
    if (status == PEFT_OK) {
        peft_random_permutation(order, (uint32_t)b->num_groups, b->seed, peft_stream("groups"));
        size_t count = choose_groups(b, t, order, used, chosen);
        status = write_task(b, t, chosen, count, output_dir);
    }
    free(order);
    free(used);
    free(chosen);
    return status;
}

static peft_status build_task(build *b, const task *t, const char *output_dir)
{
    b->num_groups = 0;
    peft_status status = t->propose(b);
    return status == PEFT_OK ? choose_and_write(b, t, output_dir) : status;
}

static peft_status write_licence(const build *b, const char *output_dir)
{
    char *path;
    peft_status status = peft_path_join(output_dir, "WORDNET-LICENSE", &path, b->error);
    if (status != PEFT_OK) return status;
    status = peft_file_write(path, b->wordnet->licence, strlen(b->wordnet->licence), b->error);
    free(path);
    return status;
}

static peft_status build_all(build *b, const char *output_dir)
{
    static const task *const all[] = {&peft_wordnet_class, &peft_wordnet_entail, &peft_wordnet_sense};
    peft_status status = empty_repeated_texts(b);
    for (size_t i = 0; i < sizeof all / sizeof all[0] && status == PEFT_OK; i++)
        status = build_task(b, all[i], output_dir);
    return status == PEFT_OK ? write_licence(b, output_dir) : status;
}

peft_status peft_wordnet_build(const char *wordnet_dir, const char *output_dir, uint64_t seed, peft_error *error)
{
    peft_wordnet wordnet;
    peft_status status = peft_wordnet_read(wordnet_dir, &wordnet, error);
    if (status != PEFT_OK) return status;
    build b = {.wordnet = &wordnet, .seed = seed, .error = error};
    status = build_all(&b, output_dir);
    free(b.groups);
    peft_arena_free(&b.arena);
    peft_wordnet_free(&wordnet);
    return status;
}
