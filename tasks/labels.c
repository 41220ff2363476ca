#include "tasks/labels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "io/number.h"

/* ---- one label ---- */

/* A whole number of 0 or more; -1: it is none. */
static int64_t whole_number(const char *text)
{
    double value;
    const double most = 1e9;
    bool whole = peft_number_read(text, &value) && value >= 0 && value < most && trunc(value) == value;
    return whole ? (int64_t)value : -1;
}

bool peft_label_is_missing(const char *text)
{
    static const char *const missing[] = {"#N/A", "#N/A N/A", "#NA",  "-1.#IND", "-1.#QNAN", "-NaN",
                                          "-nan", "1.#IND",   "<NA>", "N/A",     "NA",       "NULL",
                                          "NaN",  "None",     "n/a",  "nan",     "null",     "1.#QNAN"};
    if (!text[strspn(text, " \t\r\n")]) return true;
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++)
        if (strcmp(text, missing[i]) == 0) return true;
    return false;
}

/* utf8proc gives NULL for what is not UTF-8, too, which table.c has refused. */
char *peft_label_key(const char *text)
{
    enum { NUMBER_BYTES = 32 };
    double value;
    char *key = (char *)utf8proc_NFKC_Casefold((const utf8proc_uint8_t *)text), *to = key;
    for (const char *from = key; from && *from; from++)
        if (!strchr(" \t\r\n", *from)) *to++ = *from;
    if (to) *to = '\0';
    if (!key || !peft_number_read(key, &value)) return key;
    free(key);
    if ((key = malloc(NUMBER_BYTES))) snprintf(key, NUMBER_BYTES, "%.17g", value);
    return key;
}

/* ---- the labels of a file ---- */

static int by_value(const void *a, const void *b)
{
    const char *left = *(const char *const *)a, *right = *(const char *const *)b;
    double x, y;
    bool left_number = peft_number_read(left, &x), right_number = peft_number_read(right, &y);
    if (left_number != right_number) return left_number ? -1 : 1;
    if (left_number && (x < y || x > y)) return x < y ? -1 : 1;
    return strcmp(left, right);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

peft_status peft_labels_collect(const peft_cell *cells, size_t count, peft_label_list *list, peft_error *error)
{
    *list = (peft_label_list){.labels = calloc(count + 1, sizeof *list->labels)};
    if (!list->labels) return peft_fail(error, PEFT_ERR_MEMORY, "labels: out of memory");
    for (size_t i = 0; i < count; i++) list->labels[i] = cells[i].text;
    qsort(list->labels, count, sizeof *list->labels, by_bytes);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(list->labels[i], list->labels[i - 1]) != 0) list->labels[list->count++] = list->labels[i];
    qsort(list->labels, list->count, sizeof *list->labels, by_value);
    return PEFT_OK;
}

/* ---- their order ---- */

/* The name's index, or -1 where it is not there or not the only one. */
static int32_t find_only(const char *name, const char *const *names, size_t count)
{
    int32_t found = -1;
    for (size_t k = 0; k < count; k++) {
        if (strcmp(name, names[k]) != 0) continue;
        if (found >= 0) return -1;
        found = (int32_t)k;
    }
    return found;
}

static bool find_all(const char *const *labels, size_t num_labels, const char *const *names, size_t count, int32_t *ids)
{
    for (size_t i = 0; i < num_labels; i++) {
        if ((ids[i] = find_only(labels[i], names, count)) < 0) return false;
        for (size_t k = 0; k < i; k++)
            if (ids[k] == ids[i]) return false;
    }
    return num_labels <= count;
}

static void free_keys(char **keys, size_t count)
{
    for (size_t i = 0; keys && i < count; i++) free(keys[i]);
    free(keys);
}

static char **make_keys(const char *const *texts, size_t count)
{
    char **keys = calloc(count + 1, sizeof *keys);
    for (size_t i = 0; keys && i < count; i++) {
        if ((keys[i] = peft_label_key(texts[i]))) continue;
        free_keys(keys, i);
        return NULL;
    }
    return keys;
}

/* As they are written, else as they are read. */
static peft_status names_hold(const peft_label_list *list, const peft_class_names *model, int32_t *ids, bool *hold,
                              peft_error *error)
{
    *hold = model->names && find_all(list->labels, list->count, model->names, model->count, ids);
    if (*hold || !model->names) return PEFT_OK;
    char **labels = make_keys(list->labels, list->count), **names = make_keys(model->names, model->count);
    bool made = labels && names;
    *hold = made && find_all((const char *const *)labels, list->count, (const char *const *)names, model->count, ids);
    free_keys(labels, list->count);
    free_keys(names, model->count);
    return made ? PEFT_OK : peft_fail(error, PEFT_ERR_MEMORY, "labels: out of memory");
}

/* Sorted, so that a number twice stands beside itself. */
static bool numbers_are_ids(const peft_label_list *list, size_t num_classes, int32_t *ids)
{
    for (size_t i = 0; i < list->count; i++) {
        int64_t number = whole_number(list->labels[i]);
        if (number < 0 || (size_t)number >= num_classes || (i && number == ids[i - 1])) return false;
        ids[i] = (int32_t)number;
    }
    return true;
}

peft_status peft_labels_order(const peft_label_list *list, const peft_class_names *model, peft_label_classes *c,
                              peft_error *error)
{
    bool hold;
    *c = (peft_label_classes){.ids = calloc(list->count + 1, sizeof *c->ids)};
    if (!c->ids) return peft_fail(error, PEFT_ERR_MEMORY, "labels: out of memory");
    peft_status status = names_hold(list, model, c->ids, &hold, error);
    if (status != PEFT_OK) return status;
    bool of_head = hold || numbers_are_ids(list, model->count, c->ids);
    c->names = of_head ? model->names : (const char *const *)list->labels;
    c->count = of_head ? model->count : list->count;
    c->order = hold ? PEFT_CLASSES_OF_MODEL : PEFT_CLASSES_NUMBERS;
    if (of_head || numbers_are_ids(list, list->count, c->ids)) return PEFT_OK;
    c->order = PEFT_CLASSES_SORTED;
    for (size_t i = 0; i < list->count; i++) c->ids[i] = (int32_t)i;
    return PEFT_OK;
}

bool peft_labels_look_like_scores(const char *const *labels, size_t count)
{
    enum { USUAL = 20 };
    bool ids = true;
    for (size_t i = 0; i < count; i++) {
        double value;
        if (!peft_number_read(labels[i], &value)) return false;
        ids = ids && whole_number(labels[i]) == (int64_t)i;
    }
    return count > 2 && (!ids || count > USUAL);
}
