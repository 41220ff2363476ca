/* Tasks of an accepted file are whole: names, splits, labels that differ, an answer for each. The first byte of the
 * input says whether it is YAML or lines of JSON. */
#include <string.h>

#include "tasks/dataset.h"
#include "tasks/task_file.h"
#include "tests/fuzz/fuzz.h"

static void check(const peft_task *task)
{
    FUZZ_CHECK(task->name && *task->name && !strchr(task->name, '/') && task->help && task->text && task->label);
    FUZZ_CHECK(task->splits && task->num_labels <= PEFT_MAX_LABELS);
    FUZZ_CHECK(!task->labels || task->num_labels >= 2);
    for (const peft_split *split = task->splits; split->name; split++) FUZZ_CHECK(split->file && *split->file);
    for (size_t k = 0; task->labels && k < task->num_labels; k++)
        FUZZ_CHECK(task->labels[k].name && task->labels[k].text && (!task->answers || task->answers[k]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    peft_task_list list;
    peft_error error = {0};
    const char *path = fuzz_write(data[0] == 'j' ? "t.jsonl" : "t.yaml", (fuzz_bytes){data + 1, size - 1});
    peft_status status = peft_task_file_load(path, &list, &error);
    FUZZ_CHECK((status == PEFT_OK) == (list.count > 0));
    FUZZ_CHECK(status == PEFT_OK || strstr(error.message, path) == error.message);
    for (size_t i = 0; i < list.count; i++) check(list.tasks[i]);
    fuzz_accepted += status == PEFT_OK;
    peft_task_list_free(&list);
    return 0;
}
