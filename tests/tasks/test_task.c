/* Tests of tasks/task.c: the table is consistent, and each layout of GLUE reads (fixtures/glue: own sentences). */
#include "tasks/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tasks/dataset.h"
#include "tasks/metrics.h"
#include "tests/support/main.h"

static peft_error error;

START_TEST(every_task_is_complete)
{
    for (size_t i = 0; i < peft_num_tasks(); i++) {
        const peft_task *task = peft_task_at(i);
        ck_assert_ptr_eq(peft_task_find(task->name, &error), task);
        ck_assert_ptr_nonnull(task->folder);
        ck_assert_ptr_nonnull(task->help);
        ck_assert_ptr_nonnull(task->source);
        ck_assert_uint_ge(task->num_labels, task->labels ? 2 : 1);
        ck_assert_ptr_nonnull(task->metrics[0]);
        for (size_t j = 0; task->metrics[j]; j++) {
            const peft_metric *metric = peft_metric_find(task->metrics[j], &error);
            ck_assert_ptr_nonnull(metric);
            ck_assert_int_eq(metric->kind == PEFT_METRIC_SCORES, task->labels == NULL);
            if (metric->kind == PEFT_METRIC_BINARY) ck_assert_uint_eq(task->num_labels, 2);
        }
        ck_assert_ptr_nonnull(peft_task_split(task, "train", &error));
        ck_assert_ptr_nonnull(peft_task_split(task, "dev", &error));
    }
}
END_TEST

START_TEST(unknown_names_get_the_nearest_one)
{
    ck_assert_ptr_null(peft_task_find("sst-3", &error));
    ck_assert_int_eq(error.status, PEFT_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "task \"sst-3\": unknown; did you mean \"sst2\"? Known: cola, sst2"));
    ck_assert_ptr_null(peft_task_split(peft_task_find("mnli", NULL), "dev_missmatched", &error));
    ck_assert_str_eq(error.message, "mnli: split \"dev_missmatched\": unknown; did you mean \"dev_mismatched\"? Known: "
                                    "train, dev, dev_mismatched, test, test_mismatched");
}
END_TEST

/* First example of each split, as it stands in the fixture. */
static const struct {
    const char *task, *split;
    size_t count, line;
    const char *text, *text_pair;
    double label; /* -1: none */
} layouts[] = {
    {"cola", "train", 3, 1, "The gate creaked when we opened it.", NULL, 1},
    {"cola", "dev", 2, 1, "She slept the soup.", NULL, 0},
    {"cola", "test", 2, 2, "They rowed home.", NULL, -1},
    {"sst2", "train", 2, 2, "a warm and funny little film ", NULL, 1},
    {"sst2", "dev", 3, 2, "the cast is \"a joy\" to watch ", NULL, 1},
    {"sst2", "test", 1, 2, "a plot with no surprises", NULL, -1},
    {"mrpc", "train", 2, 2, "The bridge opens on Monday, the mayor said.",
     "\"On Monday the bridge opens,\" said the mayor.", 1},
    {"mrpc", "dev", 1, 2, "Prices rose by 3 percent.", "Prices rose by 5 percent.", 0},
    {"mrpc", "test", 1, 2, "He left early.", "He left before noon.", -1},
    {"stsb", "train", 2, 2, "A dog runs on the beach.", "A dog is running along the shore.", 4.25},
    {"stsb", "dev", 1, 2, "A girl sings.", "A girl is singing a song.", 3.8},
    {"stsb", "test", 1, 2, "A cup is on the table.", "There is a cup on the table.", -1},
    {"qqp", "train", 2, 2, "How do I boil an egg?", "What is the way to boil an egg?", 1},
    {"qqp", "dev", 1, 2, "Is tea good for you?", "Is tea healthy?", 1},
    {"qqp", "test", 1, 2, "Can fish hear?", "Do fish sleep?", -1},
    {"mnli", "train", 3, 2, "The shop is closed today.", "You cannot buy bread there today.", 0},
    {"mnli", "dev", 1, 2, "It rained all night.", "The night was dry.", 2},
    {"mnli", "dev_mismatched", 2, 2, "He owns three boats.", "He owns a boat.", 0},
    {"mnli", "test", 1, 2, "We met in June.", "We met.", -1},
    {"mnli", "test_mismatched", 1, 2, "We met in June.", "We met in winter.", -1},
    {"qnli", "train", 2, 2, "When was the mill built?", "The mill was built in 1820.", 0},
    {"qnli", "dev", 1, 2, "How tall is the tower?", "The tower is made of brick.", 1},
    {"qnli", "test", 1, 2, "What does the mill grind?", "It grinds rye.", -1},
    {"rte", "train", 2, 2, "The ferry sank near the harbour on Friday.", "A ferry sank.", 0},
    {"rte", "dev", 3, 2, "Anna, a baker from Graz, won the prize.", "Anna is a baker.", 0},
    {"rte", "test", 1, 2, "The lake froze.", "It was cold.", -1},
    {"wnli", "train", 2, 2, "The jar did not fit in the box because it was too big.", "The jar was too big.", 1},
    {"wnli", "dev", 1, 2, "Tom thanked Ben because he had helped.", "Ben had helped.", 1},
    {"wnli", "test", 1, 2, "The cat chased the mouse until it was tired.", "The cat was tired.", -1},
};

START_TEST(each_layout_of_glue_reads)
{
    char folder[512];
    snprintf(folder, sizeof folder, "%s/glue", getenv("PEFT_FIXTURES"));
    const peft_task *task = peft_task_find(layouts[_i].task, &error);
    peft_dataset *dataset;
    peft_status status = peft_dataset_load(task, folder, layouts[_i].split, &dataset, &error);
    ck_assert_msg(status == PEFT_OK, "%s", error.message);
    ck_assert_uint_eq(dataset->count, layouts[_i].count);
    ck_assert_uint_eq(dataset->lines[0], layouts[_i].line);
    ck_assert_str_eq(dataset->text[0].text, layouts[_i].text);
    ck_assert_int_eq(dataset->text_pair != NULL, layouts[_i].text_pair != NULL);
    if (layouts[_i].text_pair) ck_assert_str_eq(dataset->text_pair[0].text, layouts[_i].text_pair);
    ck_assert_int_eq(dataset->classes || dataset->scores, layouts[_i].label >= 0);
    if (dataset->classes) ck_assert_int_eq(dataset->classes[0], (int)layouts[_i].label);
    if (dataset->scores) ck_assert(dataset->scores[0] == (float)layouts[_i].label);
    ck_assert_uint_eq(dataset->num_labels, task->num_labels);
    ck_assert_uint_eq(dataset->num_skipped, task->skips_broken_rows && strcmp(layouts[_i].split, "train") == 0 ? 2 : 0);
    peft_dataset_free(dataset);
}
END_TEST

TEST_MAIN("task", tcase_add_test(tc, every_task_is_complete); tcase_add_test(tc, unknown_names_get_the_nearest_one);
          tcase_add_loop_test(tc, each_layout_of_glue_reads, 0, sizeof layouts / sizeof layouts[0]))
