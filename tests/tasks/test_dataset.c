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
    static const int32_t expected[] = {2, 0, 2, 1};
    for (size_t i = 0; i < 4; i++) ck_assert_int_eq(dataset->classes[i], expected[i]);
    ck_assert_int_eq(dataset->order, PEFT_CLASSES_SORTED);
    size_t counts[3];
    peft_dataset_count_classes(dataset, counts);
    ck_assert(counts[0] == 1 && counts[1] == 1 && counts[2] == 2);
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
    ck_assert_int_eq(dev->classes[0], 2);
    ck_assert_int_eq(dev->order, PEFT_CLASSES_GIVEN);
    expect_failure("dev.tsv", "text\tlabel\nd\tred\ne\tgren\n", &as,
                   "dev.tsv:3: label \"gren\": unknown; did you mean \"green\"? Known: blue, green, red");
    peft_dataset_free(dev);
    peft_dataset_free(train);
}
END_TEST

static const peft_dataset_columns with_vectors = {.text = "text", .label = "label", .vector = "v"};

static void check_vectors(const char *name, const char *content)
{
    peft_dataset *whole = load(name, content, &with_vectors), *part;
    static const uint32_t rows[] = {1};
    static const float expected[] = {0.5F, -1, 3e-2F, 2, 0, 7};
    ck_assert_int_eq(whole->vector_size, 3);
    ck_assert_mem_eq(whole->vectors, expected, sizeof expected);
    ck_assert(!peft_dataset_select(whole, rows, 1, &part, &error));
    ck_assert_mem_eq(part->vectors, expected + 3, 3 * sizeof *expected);
    peft_dataset_free(part);
    peft_dataset_free(whole);
}

START_TEST(vectors_are_numbers_of_a_cell)
{
    check_vectors("a.csv", "text,label,v\na,red,0.5 -1 3e-2\nb,blue,\"[2, 0,7]\"\n");
    check_vectors("a.jsonl", "{\"text\": \"a\", \"label\": \"red\", \"v\": [0.5, -1, 3e-2]}\n"
                             "{\"text\": \"b\", \"label\": \"blue\", \"v\": \"2 0 7\"}\n");
    peft_dataset *without = load("a.csv", "text,label,v\na,red,1\nb,blue,2\n", &columns);
    ck_assert_ptr_null(without->vectors);
    peft_dataset_free(without);
}
END_TEST

START_TEST(vectors_that_are_none_are_refused)
{
    expect_failure("a.jsonl",
                   "{\"text\": \"a\", \"label\": \"red\", \"v\": \"1 2\\u0000 3\"}\n"
                   "{\"text\": \"b\", \"label\": \"blue\", \"v\": [1, 2]}\n",
                   &with_vectors, "a.jsonl:1: vector: expected numbers, found \"1 2\\u0000...\"");
    expect_failure("a.csv", "text,label,v\na,red,1 2\nb,blue,1\n", &with_vectors,
                   "a.csv:3: vector: expected 2 numbers, as in the first, found 1");
    expect_failure("a.csv", "text,label,v\na,red,1 x\nb,blue,1 2\n", &with_vectors,
                   "a.csv:2: vector: expected a number, found \"x\"");
    expect_failure("a.csv", "text,label,v\na,red,1 1e39\nb,blue,1 2\n", &with_vectors, "found \"1e39\"");
    expect_failure("a.csv", "text,label,v\na,red,nan\nb,blue,1\n", &with_vectors, "found \"nan\"");
    expect_failure("a.csv", "text,label,v\na,red,\nb,blue,\n", &with_vectors, "found 0");
    expect_failure("a.csv", "text,label\na,red\nb,blue\n", &with_vectors, "\"v\"");
    expect_failure("a.jsonl", "{\"text\": [1], \"label\": \"red\", \"v\": [1]}\n", &with_vectors, "expected a string");
    expect_failure("a.jsonl",
                   "{\"text\": \"a\", \"label\": \"red\", \"v\": [[1], \"2\"]}\n"
                   "{\"text\": \"b\", \"label\": \"blue\", \"v\": [1, 2]}\n",
                   &with_vectors, "vector: expected a number");
}
END_TEST

START_TEST(regression_takes_numbers)
{
    peft_dataset_columns as = {.text = "text", .label = "label", .regression = true};
    peft_dataset *dataset =
        load("a.jsonl", "{\"text\": \"a\", \"label\": 4.8}\n{\"text\": \"b\", \"label\": -1e1}\n", &as);
    ck_assert_uint_eq(dataset->num_labels, 1);
    ck_assert_ptr_null(dataset->label_names);
    ck_assert(dataset->scores[0] == 4.8f);
    ck_assert(dataset->scores[1] == -10.0f);
    ck_assert_ptr_null(dataset->classes);
    peft_dataset_free(dataset);

    static const char *const wrong[] = {"high", "1,5", "1.5x", "inf", "0x10", " 1", "1e", "-"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char content[64], message[64];
        snprintf(content, sizeof content, "text\tlabel\na\t1\nb\t%s\n", wrong[i]);
        snprintf(message, sizeof message, "a.tsv:3: score: expected a number, found \"%s\"", wrong[i]);
        expect_failure("a.tsv", content, &as, message);
    }
    expect_failure("a.tsv", "text\tlabel\na\t1\nb\t\n", &as, "a.tsv:3: score: it is missing (\"\"");
    expect_failure("a.tsv", "text\tlabel\na\t1\nb\tNaN\n", &as, "a.tsv:3: score: it is missing (\"NaN\"");
    expect_failure("a.tsv", "text\tlabel\na\t1\nb\t3e38\n", &as,
                   "a.tsv:3: score: expected a number from -1e+16 to 1e+16, found 3e38");
    expect_failure("a.tsv", "text\tlabel\na\t1\nb\t-1e400\n", &as, "found -1e400; scale the scores");
}
END_TEST

static const char *const missing[] = {"",    " ",    "\t",   "nan",  "NaN",  "-nan", "NA",      "N/A",
                                      "n/a", "#N/A", "null", "NULL", "None", "<NA>", "-1.#IND", "1.#QNAN"};

START_TEST(a_missing_label_is_an_error_with_its_line)
{
    char content[96], message[64];
    snprintf(content, sizeof content, "{\"text\": \"a\", \"label\": \"x\"}\n\n{\"text\": \"b\", \"label\": \"%s\"}\n",
             strcmp(missing[_i], "\t") == 0 ? "\\t" : missing[_i]);
    expect_failure("a.jsonl", content, &columns, "a.jsonl:3: label: it is missing (\"");
    if (strcmp(missing[_i], "\t") == 0) return;
    snprintf(content, sizeof content, "text,label\na,x\nb,%s\nc,y\n", missing[_i]);
    snprintf(message, sizeof message, "a.csv:3: label: it is missing (\"%s\"", missing[_i]);
    expect_failure("a.csv", content, &columns, message);
}
END_TEST

START_TEST(a_missing_label_is_a_class_where_a_run_calls_one_so)
{
    static const char *const names[] = {"None", "some"};
    peft_dataset_columns as = columns;
    as.label_names = names;
    as.num_labels = 2;
    peft_dataset *dataset = load("a.csv", "text,label\na,None\n", &as);
    ck_assert_int_eq(dataset->classes[0], 0);
    peft_dataset_free(dataset);
    expect_failure("a.csv", "text,label\na,None\nb,nan\n", &as, "a.csv:3: label: it is missing (\"nan\"");
}
END_TEST

/* Files, what a model calls its classes, and what comes out. */
static const struct {
    const char *labels; /* separated by blanks */
    const char *of_model[4];
    size_t head; /* classes */
    peft_class_order order;
    size_t count;
    int32_t classes[5];
    const char *names[4];
} orders[] = {
    {"neutral positive negative",
     {"positive", "negative", "neutral"},
     3,
     PEFT_CLASSES_OF_MODEL,
     3,
     {2, 0, 1},
     {"positive", "negative", "neutral"}},
    {"neutral positive",
     {"positive", "negative", "neutral"},
     3,
     PEFT_CLASSES_OF_MODEL,
     3,
     {2, 0},
     {"positive", "negative", "neutral"}},
    {"negative negative", {"positive", "negative"}, 2, PEFT_CLASSES_OF_MODEL, 2, {1, 1}, {"positive", "negative"}},
    {"NEUTRAL Positive",
     {"positive", "negative", "neutral"},
     3,
     PEFT_CLASSES_OF_MODEL,
     3,
     {2, 0},
     {"positive", "negative", "neutral"}},
    {"pos neg", {"positive", "negative"}, 2, PEFT_CLASSES_SORTED, 2, {1, 0}, {"neg", "pos"}},
    {"pos POS neg", {"pos", "neg", "x"}, 3, PEFT_CLASSES_SORTED, 3, {2, 0, 1}, {"POS", "neg", "pos"}},
    {"2 0 2", {NULL}, 3, PEFT_CLASSES_NUMBERS, 3, {2, 0, 2}, {"0", "1", "2"}},
    {"2 2", {NULL}, 3, PEFT_CLASSES_NUMBERS, 3, {2, 2}, {"0", "1", "2"}},
    {"2 0 1", {"red", "green", "blue"}, 3, PEFT_CLASSES_NUMBERS, 3, {2, 0, 1}, {"red", "green", "blue"}},
    {"2.0 0.0", {NULL}, 3, PEFT_CLASSES_NUMBERS, 3, {2, 0}, {"0", "1", "2"}},
    {"1 3 2", {NULL}, 3, PEFT_CLASSES_SORTED, 3, {0, 2, 1}, {"1", "2", "3"}},
    {"10 2 1 0", {NULL}, 0, PEFT_CLASSES_SORTED, 4, {3, 2, 1, 0}, {"0", "1", "2", "10"}},
    {"1 0", {NULL}, 0, PEFT_CLASSES_NUMBERS, 2, {1, 0}, {"0", "1"}},
    {"1 1.0 0", {NULL}, 3, PEFT_CLASSES_SORTED, 3, {1, 2, 0}, {"0", "1", "1.0"}},
    {"b 10 a -1.5", {NULL}, 0, PEFT_CLASSES_SORTED, 4, {3, 1, 2, 0}, {"-1.5", "10", "a", "b"}},
};

START_TEST(classes_come_in_the_order_of_the_first_that_knows)
{
    char content[256] = "text\tlabel\n", labels[64];
    snprintf(labels, sizeof labels, "%s", orders[_i].labels);
    size_t rows = 0;
    for (char *rest = NULL, *label = strtok_r(labels, " ", &rest); label; label = strtok_r(NULL, " ", &rest), rows++)
        sprintf(content + strlen(content), "t%zu\t%s\n", rows, label);
    peft_dataset_columns as = columns;
    as.of_model = (peft_class_names){orders[_i].of_model[0] ? orders[_i].of_model : NULL, orders[_i].head};
    peft_dataset *dataset = load("a.tsv", content, &as);
    ck_assert_int_eq(dataset->order, orders[_i].order);
    ck_assert_uint_eq(dataset->num_labels, orders[_i].count);
    for (size_t i = 0; i < rows; i++) ck_assert_int_eq(dataset->classes[i], orders[_i].classes[i]);
    for (size_t k = 0; k < dataset->num_labels; k++) ck_assert_str_eq(dataset->label_names[k], orders[_i].names[k]);
    peft_dataset_free(dataset);
}
END_TEST

START_TEST(a_known_task_takes_the_order_of_a_model_that_knows_its_classes)
{
    static const char *const swapped[] = {"not_entailment", "Entailment"}, *const other[] = {"yes", "no"};
    const peft_class_names model = {swapped, 2}, stranger = {other, 2}, nameless = {NULL, 2};
    ck_assert_int_eq(mkdir(scratch("RTE"), 0700), 0);
    const char content[] = "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n1\ta\tb\tnot_entailment\n";
    scratch_write("RTE/dev.tsv", content, sizeof content - 1);
    peft_dataset *dataset;
    ck_assert(!peft_dataset_load(peft_task_find("rte", NULL), scratch(""), "dev", &dataset, &error));
    ck_assert(!peft_dataset_adopt_names(dataset, &stranger, &error));
    ck_assert(!peft_dataset_adopt_names(dataset, &nameless, &error));
    ck_assert(dataset->classes[0] == 0 && dataset->classes[1] == 1 && dataset->order == PEFT_CLASSES_GIVEN);
    ck_assert(!peft_dataset_adopt_names(dataset, &model, &error));
    ck_assert(dataset->classes[0] == 1 && dataset->classes[1] == 0 && dataset->order == PEFT_CLASSES_OF_MODEL);
    ck_assert_str_eq(dataset->label_names[1], "Entailment");
    peft_dataset_free(dataset);
}
END_TEST

START_TEST(quotes_are_read_as_the_caller_says)
{
    static const char rows[] = "text\tlabel\n\"a \"\"b\"\"\tc\"\tx\nd\ty\n", raw[] = "text\tlabel\n\"a\" b\tx\nd\ty\n";
    peft_dataset_columns as = columns;
    peft_dataset *dataset = load("a.tsv", rows, &as);
    ck_assert_str_eq(dataset->text[0].text, "a \"b\"\tc");
    peft_dataset_free(dataset);
    expect_failure("a.tsv", raw, &as, "a.tsv:2: a '\"' out of place");
    expect_failure("a.tsv", raw, &as, "give --no-quoting");
    expect_failure("a.tsv", "text\tlabel\nd\ty\n\"a\tx\n", &as, "a.tsv:3: a quoted field");
    expect_failure("a.tsv", "text\tlabel\nd\ty\n\"a\tx\n", &as, "give --no-quoting");
    static const peft_quoting unquoted[] = {PEFT_UNQUOTED, PEFT_QUOTED_CSV};
    for (size_t k = 0; k < 2; k++) {
        as.quoting = unquoted[k];
        dataset = load("a.tsv", raw, &as);
        ck_assert_str_eq(dataset->text[0].text, "\"a\" b");
        peft_dataset_free(dataset);
        dataset = load("a.csv", "text,label\n\"a\",x\nd,y\n", &as);
        ck_assert_str_eq(dataset->text[0].text, k ? "a" : "\"a\"");
        peft_dataset_free(dataset);
    }
}
END_TEST

static const struct {
    const char *labels[5];
    bool scores;
} numbers[] = {
    {{"0", "1"}, false},       {{"0", "1", "2"}, false},      {{"1", "2"}, false},
    {{"a", "1", "2"}, false},  {{"0.5", "1.5", "2.5"}, true}, {{"1", "2", "3"}, true},
    {{"0", "1", "1.5"}, true}, {{"-1", "0", "1"}, true},      {{"0", "1", "10"}, true},
};

START_TEST(numbers_that_number_no_classes_look_like_scores)
{
    size_t count = 0;
    while (count < 5 && numbers[_i].labels[count]) count++;
    ck_assert_int_eq(peft_labels_look_like_scores(numbers[_i].labels, count), numbers[_i].scores);
}
END_TEST

static const char *const alike[][2] = {{"neg ", "neg"},
                                       {"Neg", "neg"},
                                       {"1", "1.0"},
                                       {"a  b", "a b"},
                                       {"1e0", " 1"},
                                       {"not it", "Notit"},
                                       {"\xC3\x89", "e\xCC\x81"},
                                       {"a\xC2\xA0"
                                        "b",
                                        "a b"}};
static const char *const different[][2] = {{"neg", "pos"}, {"1", "10"}, {"1", "one"}, {"e", "\xC3\x89"}, {"", "a"}};

START_TEST(labels_that_people_take_for_one_have_one_key)
{
    for (size_t i = 0; i < sizeof alike / sizeof alike[0]; i++) {
        char *a = peft_label_key(alike[i][0]), *b = peft_label_key(alike[i][1]);
        ck_assert_str_eq(a, b);
        free(a);
        free(b);
    }
    for (size_t i = 0; i < sizeof different / sizeof different[0]; i++) {
        char *a = peft_label_key(different[i][0]), *b = peft_label_key(different[i][1]);
        ck_assert_str_ne(a, b);
        free(a);
        free(b);
    }
}
END_TEST

START_TEST(files_without_labels_are_read_for_prediction)
{
    peft_dataset_columns as = {.text = "text"};
    peft_dataset *dataset = load("a.tsv", "text\tlabel\na\tx\n", &as);
    ck_assert(!dataset->classes && !dataset->scores);
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
        ck_assert_str_eq(part->label_names[part->classes[i]], number % 3 ? "x" : "y");
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
    static const char *const names[] = {"Y", "X"};
    peft_dataset_columns as = columns;
    as.of_model = (peft_class_names){names, 2};
    const char content[] = "text\tlabel\na\tx\nb\ty\n";
    const char *path = scratch_write("a.tsv", content, sizeof content - 1);
    bool failed = true;
    int64_t call = 0;
    for (; failed; call++) {
        peft_dataset *dataset, *held = NULL, *rest = NULL;
        fail_allocation(call);
        peft_status status = peft_dataset_load_file(path, &as, &dataset, &error);
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

TEST_MAIN(
    "dataset", tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
    tcase_add_test(tc, classes_are_the_sorted_distinct_labels);
    tcase_add_test(tc, a_dev_file_takes_the_classes_of_the_training_file); tcase_add_test(tc, regression_takes_numbers);
    tcase_add_loop_test(tc, a_missing_label_is_an_error_with_its_line, 0, sizeof missing / sizeof missing[0]);
    tcase_add_test(tc, a_missing_label_is_a_class_where_a_run_calls_one_so);
    tcase_add_loop_test(tc, classes_come_in_the_order_of_the_first_that_knows, 0, sizeof orders / sizeof orders[0]);
    tcase_add_test(tc, a_known_task_takes_the_order_of_a_model_that_knows_its_classes);
    tcase_add_test(tc, quotes_are_read_as_the_caller_says);
    tcase_add_loop_test(tc, numbers_that_number_no_classes_look_like_scores, 0, sizeof numbers / sizeof numbers[0]);
    tcase_add_test(tc, labels_that_people_take_for_one_have_one_key);
    tcase_add_test(tc, files_without_labels_are_read_for_prediction); tcase_add_test(tc, useless_labels_are_refused);
    tcase_add_test(tc, a_label_that_the_task_does_not_have_is_named);
    tcase_add_test(tc, held_out_and_rest_are_the_whole); tcase_add_test(tc, held_out_examples_depend_on_the_seed_alone);
    tcase_add_test(tc, drawn_examples_keep_the_order_of_the_file);
    tcase_add_test(tc, examples_that_share_a_text_stay_together); tcase_add_test(tc, an_empty_text_makes_no_family);
    tcase_add_test(tc, vectors_are_numbers_of_a_cell); tcase_add_test(tc, vectors_that_are_none_are_refused);
    tcase_add_test(tc, running_out_of_memory_is_reported))
