/* Labels of an accepted data set are classes that it names, or finite scores; its parts have its labels. The first
 * letter of the input says what the rest is: "0" .csv, "1" .tsv, "2" .jsonl of one's own, "3" a file of GLUE's; with 4
 * added labels are scores, with 8 added there are pairs of texts. */
#include "tasks/dataset.h"

#include <math.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

static void check_dataset(const peft_dataset *d)
{
    FUZZ_CHECK(d->count >= 1 && d->count == d->table.num_rows);
    FUZZ_CHECK(d->regression ? !d->classes : !d->scores);
    for (size_t i = 0; d->classes && i < d->count; i++)
        FUZZ_CHECK(d->classes[i] >= 0 && (size_t)d->classes[i] < d->num_labels);
    for (size_t i = 0; d->scores && i < d->count; i++) FUZZ_CHECK(isfinite(d->scores[i]));
    FUZZ_CHECK(d->regression == !d->label_names);
    for (size_t k = 0; d->label_names && k < d->num_labels; k++) FUZZ_CHECK(*d->label_names[k]);
}

static void check_parts(const peft_dataset *whole)
{
    peft_dataset *held, *rest, *drawn;
    if (peft_dataset_hold_out(whole, (whole->count + 2) / 3, 1, &held, &rest, NULL) == PEFT_OK) {
        FUZZ_CHECK(held->count + rest->count == whole->count);
        check_dataset(held);
        check_dataset(rest);
        peft_dataset_free(held);
        peft_dataset_free(rest);
    }
    if (peft_dataset_draw(whole, (whole->count + 1) / 2, 1, &drawn, NULL) == PEFT_OK) {
        check_dataset(drawn);
        peft_dataset_free(drawn);
    }
}

static peft_status load_own(unsigned kind, fuzz_bytes file, peft_dataset **dataset, peft_error *error)
{
    static const char *const names[] = {"d.csv", "d.tsv", "d.jsonl"};
    static const char *const of_model[] = {"x", "POS", "1"};
    const peft_dataset_columns columns = {.text = "text",
                                          .text_pair = kind & 8 ? "pair" : NULL,
                                          .label = "label",
                                          .regression = kind & 4,
                                          .quoting = kind & 8 ? PEFT_UNQUOTED : PEFT_QUOTED,
                                          .of_model = {of_model, file.size % 2 ? 3 : 0}};
    return peft_dataset_load_file(fuzz_write(names[kind % 4], file), &columns, dataset, error);
}

static peft_status load_glue(unsigned kind, fuzz_bytes file, peft_dataset **dataset, peft_error *error)
{
    static const char *const names[] = {"cola", "stsb", "rte", "qqp"};
    const peft_task *task = peft_task_find(names[kind / 4], NULL);
    char name[64];
    FUZZ_CHECK(task != NULL && task->splits[0].labelled);
    snprintf(name, sizeof name, "%s/%s", task->folder, task->splits[0].file);
    fuzz_write(name, file);
    return peft_dataset_load(task, fuzz_path(""), task->splits[0].name, dataset, error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    const unsigned kind = data[0] & 15;
    peft_dataset *dataset;
    peft_error error = {0};
    peft_status status =
        (kind % 4 == 3 ? load_glue : load_own)(kind, (fuzz_bytes){data + 1, size - 1}, &dataset, &error);
    FUZZ_CHECK((status == PEFT_OK) == (dataset != NULL));
    FUZZ_CHECK(status == PEFT_OK || *error.message);
    if (status) return 0;
    fuzz_accepted++;
    check_dataset(dataset);
    check_parts(dataset);
    peft_dataset_free(dataset);
    return 0;
}
