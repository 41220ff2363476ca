/* Tests of tasks/dataset.c: labels, files of one's own, held-out examples. */
#include "tasks/dataset.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

static peft_error error;

static const peft_dataset_columns columns = {.text = "text", .label = "label"};

static peft_dataset *load(const char *name, const char *content, const peft_dataset_columns *as)
{
    peft_dataset *dataset;
    peft_status status = peft_dataset_load_file(scratch_write(name, content, strlen(content)), as, &dataset, &error);
    ck_assert_msg(status == PEFT_OK, "%s", error.message);
    return dataset;
}

static void expect_failure(const char *name, const char *content, const peft_dataset_columns *as, const char *message)
{
    peft_dataset *dataset;
    peft_status status = peft_dataset_load_file(scratch_write(name, content, strlen(content)), as, &dataset, &error);
    ck_assert_int_eq(status, PEFT_ERR_FORMAT);
    ck_assert_ptr_null(dataset);
    ck_assert_msg(strstr(error.message, message) != NULL, "found: %s", error.message);
}

START_TEST(classes_are_the_sorted_distinct_labels)
{
    peft_dataset *dataset = load("a.csv", "text,label\na,red\nb,blue\nc,red\nd,green\n", &columns);
    ck_assert_uint_eq(dataset->num_labels, 3);
    ck_assert_str_eq(dataset->label_names[0], "blue");
    ck_assert_str_eq(dataset->label_names[1], "green");
    ck_assert_str_eq(dataset->label_names[2], "red");
    static const float expected[] = {2, 0, 2, 1};
    for (size_t i = 0; i < 4; i++) ck_assert(dataset->labels[i] == expected[i]);
    ck_assert_ptr_null(dataset->text_pair);
    peft_dataset_free(dataset);
}
END_TEST

START_TEST(a_dev_file_takes_the_classes_of_the_training_file)
{
    peft_dataset *train = load("train.tsv", "text\tlabel\na\tred\nb\tblue\nc\tgreen\n", &columns);
    peft_dataset_columns as = columns;
    as.label_names = (const char *const *)train->label_names;
    as.num_labels = train->num_labels;
    peft_dataset *dev = load("dev.tsv", "text\tlabel\nd\tred\n", &as);
    ck_assert_uint_eq(dev->num_labels, 3);
    ck_assert(dev->labels[0] == 2);
    expect_failure("dev.tsv", "text\tlabel\nd\tred\ne\tgren\n", &as,
                   "dev.tsv:3: label \"gren\": unknown; did you mean \"green\"? Known: blue, green, red");
    peft_dataset_free(dev);
    peft_dataset_free(train);
}
END_TEST

START_TEST(regression_takes_numbers)
{
    peft_dataset_columns as = {.text = "text", .label = "label", .regression = true};
    peft_dataset *dataset =
        load("a.jsonl", "{\"text\": \"a\", \"label\": 4.8}\n{\"text\": \"b\", \"label\": -1e1}\n", &as);
    ck_assert_uint_eq(dataset->num_labels, 1);
    ck_assert_ptr_null(dataset->label_names);
    ck_assert(dataset->labels[0] == 4.8f);
    ck_assert(dataset->labels[1] == -10.0f);
    peft_dataset_free(dataset);

    static const char *const wrong[] = {"", "high", "1,5", "1.5x", "nan", "inf", "1e99", "0x10", " 1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char content[64], message[64];
        snprintf(content, sizeof content, "text\tlabel\na\t1\nb\t%s\n", wrong[i]);
        snprintf(message, sizeof message, "a.tsv:3: score: expected a number, found \"%s\"", wrong[i]);
        expect_failure("a.tsv", content, &as, message);
    }
}
END_TEST

START_TEST(files_without_labels_are_read_for_prediction)
{
    peft_dataset_columns as = {.text = "text"};
    peft_dataset *dataset = load("a.tsv", "text\tlabel\na\tx\n", &as);
    ck_assert_ptr_null(dataset->labels);
    ck_assert_uint_eq(dataset->num_labels, 0);
    peft_dataset_free(dataset);
}
END_TEST

START_TEST(useless_labels_are_refused)
{
    expect_failure("a.tsv", "text\tlabel\na\tx\nb\tx\n", &columns,
                   "labels: expected 2 to 1000 different ones, found 1");
    expect_failure("a.tsv", "text\tother\na\tx\n", &columns, "column \"label\": unknown");
    enum { LABELS = PEFT_MAX_LABELS + 1 };
    static char content[16 * LABELS + 16];
    size_t bytes = (size_t)sprintf(content, "text\tlabel\n");
    for (int i = 0; i < LABELS; i++) bytes += (size_t)sprintf(content + bytes, "a\t%d\n", i);
    expect_failure("a.tsv", content, &columns, "found 1001; numbers on a scale are a regression");
}
END_TEST

START_TEST(a_label_that_the_task_does_not_have_is_named)
{
    const peft_task *rte = peft_task_find("rte", NULL);
    ck_assert_int_eq(mkdir(scratch("RTE"), 0700), 0);
    const char content[] = "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n1\ta\tb\tneutral\n";
    scratch_write("RTE/dev.tsv", content, sizeof content - 1);
    peft_dataset *dataset;
    ck_assert_int_eq(peft_dataset_load(rte, scratch(""), "dev", &dataset, &error), PEFT_ERR_FORMAT);
    ck_assert_ptr_nonnull(
        strstr(error.message, "RTE/dev.tsv:3: label \"neutral\": unknown. Known: entailment, not_entailment"));
    ck_assert_int_eq(peft_dataset_load(rte, scratch(""), "train", &dataset, &error), PEFT_ERR_FILE);
    ck_assert_int_eq(peft_dataset_load(rte, scratch(""), "valid", &dataset, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_null(dataset);
}
END_TEST

enum { ROWS = 40, HELD = 10 };

static peft_dataset *numbered_rows(void)
{
    char content[ROWS * 32];
    size_t bytes = (size_t)sprintf(content, "text\tpair\tlabel\n");
    for (int i = 0; i < ROWS; i++) bytes += (size_t)sprintf(content + bytes, "t%d\tp%d\t%s\n", i, i, i % 3 ? "x" : "y");
    peft_dataset_columns as = {.text = "text", .text_pair = "pair", .label = "label"};
    return load("a.tsv", content, &as);
}

/* Marks the rows of a part by the number in their text; each must keep its pair, label, line and place. */
static void mark(const peft_dataset *part, int seen[ROWS])
{
    size_t line = 0;
    for (size_t i = 0; i < part->count; i++) {
        int number = 0, pair = -1;
        ck_assert_int_eq(sscanf(part->text[i].text, "t%d", &number), 1);
        ck_assert_int_eq(sscanf(part->text_pair[i].text, "p%d", &pair), 1);
        ck_assert_int_eq(number, pair);
        ck_assert_str_eq(part->label_names[(int)part->labels[i]], number % 3 ? "x" : "y");
        ck_assert_uint_eq(part->lines[i], (size_t)number + 2);
        ck_assert_uint_gt(part->lines[i], line);
        line = part->lines[i];
        seen[number]++;
    }
}

START_TEST(held_out_and_rest_are_the_whole)
{
    peft_dataset *whole = numbered_rows(), *held, *rest;
    ck_assert_int_eq(peft_dataset_hold_out(whole, HELD, 7, &held, &rest, &error), PEFT_OK);
    peft_dataset_free(whole);
    ck_assert_uint_eq(held->count, HELD);
    ck_assert_uint_eq(rest->count, ROWS - HELD);
    int seen[ROWS] = {0};
    mark(held, seen);
    mark(rest, seen);
    for (size_t i = 0; i < ROWS; i++) ck_assert_int_eq(seen[i], 1);
    peft_dataset_free(held);
    peft_dataset_free(rest);
}
END_TEST

static bool same_rows(const peft_dataset *a, const peft_dataset *b)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->lines[i] != b->lines[i]) return false;
    return a->count == b->count;
}

START_TEST(held_out_examples_depend_on_the_seed_alone)
{
    peft_dataset *whole = numbered_rows(), *held[3], *rest[3];
    static const uint64_t seeds[] = {7, 7, 8};
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(peft_dataset_hold_out(whole, HELD, seeds[i], &held[i], &rest[i], &error), PEFT_OK);
    ck_assert(same_rows(held[0], held[1]));
    ck_assert(!same_rows(held[0], held[2]));
    for (size_t i = 0; i < 3; i++) {
        peft_dataset_free(held[i]);
        peft_dataset_free(rest[i]);
    }
    static const size_t wrong[] = {0, ROWS, ROWS + 1};
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(peft_dataset_hold_out(whole, wrong[i], 7, held, rest, &error), PEFT_ERR_ARGUMENT);
        ck_assert_ptr_null(held[0]);
        ck_assert_ptr_null(rest[0]);
    }
    peft_dataset_free(whole);
}
END_TEST

START_TEST(drawn_examples_keep_the_order_of_the_file)
{
    peft_dataset *whole = numbered_rows(), *drawn[3];
    static const uint64_t seeds[] = {7, 7, 8};
    for (size_t i = 0; i < 3; i++) {
        int seen[ROWS] = {0};
        ck_assert_int_eq(peft_dataset_draw(whole, HELD, seeds[i], &drawn[i], &error), PEFT_OK);
        ck_assert_uint_eq(drawn[i]->count, HELD);
        mark(drawn[i], seen);
        for (size_t k = 0; k < ROWS; k++) ck_assert_int_le(seen[k], 1);
    }
    ck_assert(same_rows(drawn[0], drawn[1]));
    ck_assert(!same_rows(drawn[0], drawn[2]));
    for (size_t i = 0; i < 3; i++) peft_dataset_free(drawn[i]);
    ck_assert_int_eq(peft_dataset_draw(whole, ROWS, 7, drawn, &error), PEFT_ERR_ARGUMENT);
    ck_assert_ptr_null(drawn[0]);
    peft_dataset_free(whole);
}
END_TEST

enum { FAMILY = 4 };

/* Of each family's rows 0 and 1 share the first text, 1 and 2 the second, and the second of 2 is the first of 3. */
static peft_dataset *families(void)
{
    static const char *const texts[FAMILY][2] = {{"a", "b"}, {"a", "c"}, {"d", "c"}, {"e", "d"}};
    char content[ROWS * 32];
    size_t bytes = (size_t)sprintf(content, "text\tpair\tlabel\n");
    for (int i = 0; i < ROWS; i++) {
        const char *const *pair = texts[i % FAMILY];
        bytes += (size_t)sprintf(content + bytes, "%s%d\t%s%d\t%s\n", pair[0], i / FAMILY, pair[1], i / FAMILY,
                                 i % 2 ? "x" : "y");
    }
    peft_dataset_columns as = {.text = "text", .text_pair = "pair", .label = "label"};
    return load("a.tsv", content, &as);
}

static int divided_families(const peft_dataset *held)
{
    int count[ROWS / FAMILY] = {0}, divided = 0;
    for (size_t i = 0; i < held->count; i++) count[(held->lines[i] - 2) / FAMILY]++;
    for (int k = 0; k < ROWS / FAMILY; k++) divided += count[k] % FAMILY != 0;
    return divided;
}

START_TEST(examples_that_share_a_text_stay_together)
{
    peft_dataset *whole = families(), *held, *rest;
    for (size_t wanted = 1; wanted < ROWS; wanted++) {
        ck_assert_int_eq(peft_dataset_hold_out(whole, wanted, wanted, &held, &rest, &error), PEFT_OK);
        ck_assert_uint_eq(held->count, wanted);
        ck_assert_int_eq(divided_families(held), wanted % FAMILY != 0);
        peft_dataset_free(held);
        peft_dataset_free(rest);
    }
    peft_dataset_free(whole);
}
END_TEST

/* Then the same rows are drawn as where there is no second text. */
START_TEST(an_empty_text_makes_no_family)
{
    char content[ROWS * 32];
    size_t bytes = (size_t)sprintf(content, "text\tpair\tlabel\n");
    for (int i = 0; i < ROWS; i++) bytes += (size_t)sprintf(content + bytes, "t%d\t\t%s\n", i, i % 2 ? "x" : "y");
    peft_dataset_columns with = {.text = "text", .text_pair = "pair", .label = "label"}, without = with;
    without.text_pair = NULL;
    peft_dataset *held[2], *rest[2];
    for (int k = 0; k < 2; k++) {
        peft_dataset *whole = load("a.tsv", content, k ? &with : &without);
        ck_assert_int_eq(peft_dataset_hold_out(whole, HELD, 7, &held[k], &rest[k], &error), PEFT_OK);
        peft_dataset_free(whole);
    }
    ck_assert(same_rows(held[0], held[1]));
    for (int k = 0; k < 2; k++) {
        peft_dataset_free(held[k]);
        peft_dataset_free(rest[k]);
    }
}
END_TEST

START_TEST(running_out_of_memory_is_reported)
{
    const char content[] = "text\tlabel\na\tx\nb\ty\n";
    const char *path = scratch_write("a.tsv", content, sizeof content - 1);
    bool failed = true;
    int64_t call = 0;
    for (; failed; call++) {
        peft_dataset *dataset, *held = NULL, *rest = NULL;
        fail_allocation(call);
        peft_status status = peft_dataset_load_file(path, &columns, &dataset, &error);
        if (status == PEFT_OK) status = peft_dataset_hold_out(dataset, 1, 0, &held, &rest, &error);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        ck_assert_int_eq(held != NULL, !failed);
        ck_assert_int_eq(rest != NULL, !failed);
        peft_dataset_free(dataset);
        peft_dataset_free(held);
        peft_dataset_free(rest);
    }
    ck_assert_int_gt(call, 10);
}
END_TEST

TEST_MAIN("dataset", tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
          tcase_add_test(tc, classes_are_the_sorted_distinct_labels);
          tcase_add_test(tc, a_dev_file_takes_the_classes_of_the_training_file);
          tcase_add_test(tc, regression_takes_numbers);
          tcase_add_test(tc, files_without_labels_are_read_for_prediction);
          tcase_add_test(tc, useless_labels_are_refused);
          tcase_add_test(tc, a_label_that_the_task_does_not_have_is_named);
          tcase_add_test(tc, held_out_and_rest_are_the_whole);
          tcase_add_test(tc, held_out_examples_depend_on_the_seed_alone);
          tcase_add_test(tc, drawn_examples_keep_the_order_of_the_file);
          tcase_add_test(tc, examples_that_share_a_text_stay_together);
          tcase_add_test(tc, an_empty_text_makes_no_family); tcase_add_test(tc, running_out_of_memory_is_reported))
