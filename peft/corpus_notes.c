/* peft/corpus_notes.c - what people should know of the labels of their files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peft/corpus.h"

enum { MOST_SHOWN = 20 };

typedef struct line {
    char text[PEFT_MESSAGE_BYTES];
    size_t used;
} line;

static void add(line *l, const char *format, ...) PEFT_PRINTF(2, 3);

static void add(line *l, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(l->text + l->used, sizeof l->text - l->used, format, arguments);
    va_end(arguments);
    l->used += (size_t)written;
    if (l->used >= sizeof l->text) l->used = sizeof l->text - 1;
}

/* "neg" (40 examples), "pos" (41), ... */
static void add_classes(line *l, const peft_dataset *d)
{
    size_t *counts = calloc(d->num_labels, sizeof *counts);
    if (counts && d->classes) peft_dataset_count_classes(d, counts);
    for (size_t k = 0; k < d->num_labels && k < MOST_SHOWN; k++) {
        add(l, "%s%zu \"%s\"", k ? ", " : "", k, d->label_names[k]);
        if (counts && d->classes) add(l, " (%zu)", counts[k]);
    }
    if (d->num_labels > MOST_SHOWN) add(l, ", ... (%zu in all)", d->num_labels);
    free(counts);
}

static void note_classes(const peft_dataset *d, bool training, peft_note_function *note, void *argument)
{
    static const char *const orders[] = {
        [PEFT_CLASSES_GIVEN] = "classes, with their examples: ",
        [PEFT_CLASSES_OF_MODEL] = "classes as the model's id2label orders them, with their examples: ",
        [PEFT_CLASSES_NUMBERS] = "classes, which are numbered in the file, with their examples: ",
        [PEFT_CLASSES_SORTED] = "classes in sorted order, with their examples: "};
    line l = {.used = 0};
    if (!training && d->order != PEFT_CLASSES_SORTED) return;
    add(&l, "%s",
        training ? orders[d->order]
                 : "nothing names the classes of the head; they are taken in sorted order, with their examples: ");
    add_classes(&l, d);
    note(argument, l.text);
}

typedef struct keyed {
    char *key;
    const char *name;
} keyed;

static int by_key(const void *a, const void *b)
{
    return strcmp(((const keyed *)a)->key, ((const keyed *)b)->key);
}

/* Where memory runs out there is no note. */
static void note_alike(const peft_dataset *d, peft_note_function *note, void *argument)
{
    keyed *list = calloc(d->num_labels, sizeof *list);
    size_t count = 0;
    while (list && count < d->num_labels && (list[count].key = peft_label_key(d->label_names[count]))) {
        list[count].name = d->label_names[count];
        count++;
    }
    if (count == d->num_labels) qsort(list, count, sizeof *list, by_key);
    for (size_t k = 1; count == d->num_labels && k < count; k++) {
        line l = {.used = 0};
        if (by_key(&list[k - 1], &list[k]) != 0) continue;
        add(&l,
            "the labels \"%s\" and \"%s\" are nearly alike (case, blanks, the way of writing a number) and are two "
            "classes; are they meant to be one?",
            list[k - 1].name, list[k].name);
        note(argument, l.text);
    }
    for (size_t k = 0; k < count; k++) free(list[k].key);
    free(list);
}

static void note_scores(const peft_dataset *d, peft_note_function *note, void *argument)
{
    line l = {.used = 0};
    if (!peft_labels_look_like_scores((const char *const *)d->label_names, d->num_labels)) return;
    add(&l,
        "the labels are %zu different numbers, and each is a class of its own; for scores on a scale give --regression",
        d->num_labels);
    note(argument, l.text);
}

void peft_corpus_notes(const peft_corpus *c, bool training, peft_note_function *note, void *argument)
{
    const peft_dataset *d = c->train ? c->train : c->dev;
    if (!note || !d || !d->label_names || c->regression) return;
    note_classes(d, training, note, argument);
    if (!training || c->knows_classes) return;
    note_alike(d, note, argument);
    note_scores(d, note, argument);
}
