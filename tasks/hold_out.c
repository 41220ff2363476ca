/* tasks/hold_out.c - parts of a training set: some examples drawn, or some held out so that no text stands on both
 * sides.
 *
 * Examples often come in families: a sentence with several questions, a word with a true and a false use. Were some of
 * a family trained on, the others would say what was learnt by heart - or, where each true one has its false twin, the
 * opposite of it. So families are drawn, not examples. */
#include <stdlib.h>
#include <string.h>

#include "ops/rng.h"
#include "tasks/dataset.h"

static peft_status fail_memory(peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "part of a data set: out of memory");
}

/* ---- families: examples that share a text, directly or by others ---- */

typedef struct use {
    peft_cell cell;
    uint32_t example;
} use;

static int by_text(const void *a, const void *b)
{
    const use *x = a, *y = b;
    if (x->cell.bytes != y->cell.bytes) return x->cell.bytes < y->cell.bytes ? -1 : 1;
    return memcmp(x->cell.text, y->cell.text, x->cell.bytes);
}

static uint32_t head_of(uint32_t *parent, uint32_t example)
{
    while (parent[example] != example) example = parent[example] = parent[parent[example]];
    return example;
}

/* head[i]: the example that stands for the family of example i. An empty text is nobody's. */
static peft_status find_families(const peft_dataset *d, uint32_t *head, peft_error *error)
{
    size_t count = 0;
    use *uses = calloc(2 * d->count, sizeof *uses);
    if (!uses) return fail_memory(error);
    for (uint32_t i = 0; i < d->count; i++) {
        head[i] = i;
        if (d->text[i].bytes) uses[count++] = (use){d->text[i], i};
        if (d->text_pair && d->text_pair[i].bytes) uses[count++] = (use){d->text_pair[i], i};
    }
    qsort(uses, count, sizeof *uses, by_text);
    for (size_t k = 1; k < count; k++)
        if (by_text(&uses[k - 1], &uses[k]) == 0)
            head[head_of(head, uses[k].example)] = head_of(head, uses[k - 1].example);
    for (uint32_t i = 0; i < d->count; i++) head[i] = head_of(head, i);
    free(uses);
    return PEFT_OK;
}

/* ---- the draw ---- */

typedef struct place {
    uint32_t family, drawn, example; /* when the family's first example was drawn, and this one */
} place;

static int by_family(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->family != y->family) return x->family < y->family ? -1 : 1;
    return (x->drawn > y->drawn) - (x->drawn < y->drawn);
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Brings each family to where its first example stands. */
static void gather(uint32_t *order, const uint32_t *head, size_t count, place *places, uint32_t *first)
{
    memset(first, 0xFF, count * sizeof *first);
    for (uint32_t k = 0; k < count; k++) {
        uint32_t *when = &first[head[order[k]]];
        if (k < *when) *when = k;
        places[k] = (place){*when, k, order[k]};
    }
    qsort(places, count, sizeof *places, by_family);
    for (size_t k = 0; k < count; k++) order[k] = places[k].example;
}

static void shuffle(uint32_t *order, size_t count, uint64_t seed)
{
    peft_random_permutation(order, (uint32_t)count, seed, peft_stream("hold out"));
}

static peft_status shuffle_families(const peft_dataset *whole, uint64_t seed, uint32_t *order, peft_error *error)
{
    size_t count = whole->count;
    uint32_t *head = calloc(count, sizeof *head), *first = calloc(count, sizeof *first);
    place *places = calloc(count, sizeof *places);
    peft_status status = head && first && places ? find_families(whole, head, error) : fail_memory(error);
    if (status == PEFT_OK) {
        shuffle(order, count, seed);
        gather(order, head, count, places, first);
    }
    free(head);
    free(first);
    free(places);
    return status;
}

/* In the order of the file. */
static peft_status take(const peft_dataset *whole, uint32_t *rows, size_t count, peft_dataset **part, peft_error *error)
{
    qsort(rows, count, sizeof *rows, by_number);
    return peft_dataset_select(whole, rows, count, part, error);
}

static peft_status check_count(const peft_dataset *whole, size_t count, const char *what, peft_error *error)
{
    if (count > 0 && count < whole->count && whole->count <= UINT32_MAX) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_ARGUMENT, "examples to %s: expected 1 to %zu (of %zu), found %zu", what,
                     whole->count - 1, whole->count, count);
}

peft_status peft_dataset_draw(const peft_dataset *whole, size_t count, uint64_t seed, peft_dataset **drawn,
                              peft_error *error)
{
    *drawn = NULL;
    peft_status status = check_count(whole, count, "draw", error);
    if (status != PEFT_OK) return status;
    uint32_t *order = calloc(whole->count, sizeof *order);
    if (!order) return fail_memory(error);
    shuffle(order, whole->count, seed);
    status = take(whole, order, count, drawn, error);
    free(order);
    return status;
}

peft_status peft_dataset_hold_out(const peft_dataset *whole, size_t held_out, uint64_t seed, peft_dataset **held,
                                  peft_dataset **rest, peft_error *error)
{
    *held = *rest = NULL;
    peft_status status = check_count(whole, held_out, "hold out", error);
    if (status != PEFT_OK) return status;
    uint32_t *order = calloc(whole->count, sizeof *order);
    status = order ? shuffle_families(whole, seed, order, error) : fail_memory(error);
    if (status == PEFT_OK) status = take(whole, order, held_out, held, error);
    if (status == PEFT_OK) status = take(whole, order + held_out, whole->count - held_out, rest, error);
    if (status != PEFT_OK) {
        peft_dataset_free(*held);
        *held = NULL;
    }
    free(order);
    return status;
}
