/* Tests of tasks/task_file.c and task_file_fields.c: what a file of tasks becomes, and what is refused, with its line.
 */
#include "tasks/task_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"

static peft_error error;
static peft_task_list list;

static const char *write(const char *name, const char *text)
{
    return scratch_write(name, text, strlen(text));
}

static void load(const char *name, const char *text)
{
    ck_assert_msg(peft_task_file_load(write(name, text), &list, &error) == PEFT_OK, "%s", error.message);
}

static const char full[] = "name: reviews\n"
                           "descriptions:\n"
                           "  - Say whether it is favourable.\n"
                           "  - Good or bad?\n"
                           "source: a shop\n"
                           "files: {train: a.csv, dev: /data/b.jsonl, test: c.tsv}\n"
                           "header: [id, body, title, stars]\n"
                           "columns: {text: body, text_pair: title, label: stars}\n"
                           "no_quoting: true\n"
                           "labels: {1: bad, 5: good}\n"
                           "metrics: [f1, accuracy]\n"
                           "positive_class: bad\n"
                           "answer_words: {good: 'yes', bad: 'no'}\n"
                           "prompt: '{text}: {text_pair}. {answer}'\n";

START_TEST(every_key_is_read)
{
    load("t.yaml", full);
    ck_assert_uint_eq(list.count, 1);
    const peft_task *t = list.tasks[0];
    ck_assert_str_eq(t->name, "reviews");
    ck_assert_str_eq(t->descriptions[0], "Say whether it is favourable.");
    ck_assert_str_eq(t->descriptions[1], "Good or bad?");
    ck_assert_ptr_null(t->descriptions[2]);
    ck_assert_str_eq(t->help, t->descriptions[0]);
    ck_assert_str_eq(t->source, "a shop");
    ck_assert(t->from_file && t->quoting == PEFT_UNQUOTED);
    ck_assert_str_eq(t->text, "body");
    ck_assert_str_eq(t->text_pair, "title");
    ck_assert_str_eq(t->label, "stars");
    ck_assert_uint_eq(t->num_labels, 2);
    ck_assert_str_eq(t->labels[0].text, "1");
    ck_assert_str_eq(t->labels[0].name, "bad");
    ck_assert_str_eq(t->labels[1].text, "5");
    ck_assert_str_eq(t->metrics[0], "f1");
    ck_assert_str_eq(t->metrics[1], "accuracy");
    ck_assert_str_eq(t->positive, "bad");
    ck_assert_str_eq(t->answers[0], "no");
    ck_assert_str_eq(t->answers[1], "yes");
    ck_assert_str_eq(t->prompt, "{text}: {text_pair}. {answer}");
    const peft_split *test = peft_task_split(t, "test", &error);
    ck_assert(test && !test->labelled && peft_task_split(t, "dev", &error)->labelled);
    ck_assert_str_eq(test->columns[3], "stars");
    ck_assert_ptr_null(peft_task_split(t, "dev2", &error));
    peft_task_list_free(&list);
}
END_TEST

static void check_path(const peft_task *task, const char *data, const char *split, const char *expected)
{
    char *path;
    const peft_split *found = peft_task_split(task, split, &error);
    ck_assert_int_eq(peft_task_path(task, data, found, &path, &error), PEFT_OK);
    ck_assert_str_eq(path, expected);
    free(path);
}

START_TEST(files_lie_beside_the_task_or_in_the_data_folder)
{
    load("t.yaml", full);
    char beside[1024];
    snprintf(beside, sizeof beside, "%sa.csv", scratch("")); /* which ends in '/' */
    if (beside[strlen(scratch("")) - 1] != '/') snprintf(beside, sizeof beside, "%s/a.csv", scratch(""));
    check_path(list.tasks[0], NULL, "train", beside);
    check_path(list.tasks[0], "elsewhere", "train", "elsewhere/a.csv");
    check_path(list.tasks[0], NULL, "dev", "/data/b.jsonl");
    check_path(list.tasks[0], "elsewhere", "dev", "/data/b.jsonl");
    peft_task_list_free(&list);
    const peft_task *known = peft_task_find("rte", &error);
    check_path(known, "glue", "dev", "glue/RTE/dev.tsv");
    char *path;
    ck_assert_int_eq(peft_task_path(known, NULL, &known->splits[0], &path, &error), PEFT_ERR_ARGUMENT);
}
END_TEST

START_TEST(what_is_left_out_has_its_default)
{
    load("t.yaml", "name: a\nfiles: {train: a.csv}\n");
    const peft_task *t = list.tasks[0];
    ck_assert_str_eq(t->text, "text");
    ck_assert_str_eq(t->label, "label");
    ck_assert(!t->text_pair && !t->labels && !t->answers && !t->prompt && !t->descriptions && !t->metrics[0]);
    ck_assert(t->num_labels == 0 && t->quoting == PEFT_QUOTED && !peft_task_is_regression(t));
    peft_task_list_free(&list);
    load("t.yaml", "name: a\nfiles: {train: a.csv}\nregression: true\nmetric: spearman\n");
    ck_assert(peft_task_is_regression(list.tasks[0]));
    peft_task_list_free(&list);
    load("t.yaml", "{name: a, description: Say it.}"); /* for generators alone */
    ck_assert_ptr_null(peft_task_split(list.tasks[0], "train", &error));
    peft_task_list_free(&list);
}
END_TEST

START_TEST(several_tasks_in_yaml_json_and_lines)
{
    static const struct {
        const char *name, *text;
    } files[] = {{"t.yaml", "- name: a\n  files: {train: a.csv}\n- rte\n- {name: b, description: x}\n"},
                 {"t.json", "[{\"name\": \"a\", \"files\": {\"train\": \"a.csv\"}}, \"rte\",\n {\"name\": \"b\", "
                            "\"description\": \"x\"}]\n"},
                 {"t.jsonl", "{\"name\": \"a\", \"files\": {\"train\": \"a.csv\"}}\n\n{\"name\": \"rte\", "
                             "\"description\": \"y\"}\r\n{\"name\": \"b\", \"description\": \"x\"}"}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        load(files[i].name, files[i].text);
        ck_assert_uint_eq(list.count, 3);
        ck_assert_str_eq(list.tasks[0]->name, "a");
        ck_assert_str_eq(list.tasks[1]->name, "rte");
        ck_assert_str_eq(list.tasks[2]->name, "b");
        ck_assert_int_eq(list.tasks[1] == peft_task_find("rte", NULL), i < 2);
        peft_task_list_free(&list);
    }
}
END_TEST

static const struct {
    const char *text, *message;
} refused[] = {
    {"", "t.yaml:1: expected a task as \"key: value\", or the name of one, found null"},
    {"[]", "t.yaml: expected a task at least, found none"},
    {"- name: a\n  files: {train: a.csv}\n- 3\n", "t.yaml:3: expected a task"},
    {"- rtee\n", "t.yaml:1: task \"rtee\": unknown; did you mean \"rte\"?"},
    {"files: {train: a.csv}\n", "t.yaml:1: expected a name for the task"},
    {"name: a\n", "t.yaml:1: task a: expected files to train on, or descriptions, found neither"},
    {"name: a\n\nfile: {train: a.csv}\n", "t.yaml:3: key \"file\": unknown; did you mean \"files\"?"},
    {"- rte\n- name: b\n  files: {train: a.csv}\n- files: {train: a.csv}\n  name: b\n",
     "t.yaml:4: name: a task called \"b\" stands there already"},
    {"name: a/b\nfiles: {train: a.csv}\n", "t.yaml:1: name: expected letters"},
    {"name: .a\nfiles: {train: a.csv}\n", "t.yaml:1: name: expected letters"},
    {"name: [a]\nfiles: {train: a.csv}\n", "t.yaml:1: name: expected a text, found a list of 1"},
    {"name: a\nfiles: a.csv\n", "t.yaml:2: files: expected a file for each split"},
    {"name: a\nfiles:\n  train: a.csv\n  dev: b.txt\n",
     "t.yaml:4: files: dev: expected a .csv, .tsv or .jsonl file, found \"b.txt\""},
    {"name: a\nfiles: {train: a.csv}\ncolumns:\n  text: b\n  textpair: c\n",
     "t.yaml:5: columns: column \"textpair\": unknown; did you mean \"text_pair\"?"},
    {"name: a\nfiles: {train: a.csv}\ncolumns: b\n", "t.yaml:3: columns: expected names of columns"},
    {"name: a\nfiles: {train: a.csv}\nlabels: [x]\n", "t.yaml:3: labels: expected 2 to 1000 labels"},
    {"name: a\nfiles: {train: a.csv}\nlabels: [x, y, x]\n", "t.yaml:3: labels: \"x\" stands there twice"},
    {"name: a\nfiles: {train: a.csv}\nlabels: [true, false]\n", "t.yaml:3: labels: expected a text, in quotes"},
    {"name: a\nfiles: {train: a.csv}\nlabels: {0: x, 1: 2.5}\n", "t.yaml:3: labels: expected a text, found 2.5"},
    {"name: a\nfiles: {train: a.csv}\nlabels: [x, y]\nregression: true\n", "t.yaml:4: regression: the labels of a"},
    {"name: a\nfiles: {train: a.csv}\nregression: 1\n", "t.yaml:3: regression: expected true or false, found 1"},
    {"name: a\nfiles: {train: a.csv}\nmetric: acuracy\n",
     "t.yaml:3: metric: metric \"acuracy\": unknown; did you mean \"accuracy\"?"},
    {"name: a\nfiles: {train: a.csv}\nmetric: pearson\n", "t.yaml:3: metric: pearson is for scores"},
    {"name: a\nmetric: f1\nfiles: {train: a.csv}\nregression: true\n", "t.yaml:2: metric: f1 is for classes"},
    {"name: a\nfiles: {train: a.csv}\nmetric: f1\nlabels: [x, y, z]\n", "t.yaml:3: metric: f1 is for 2 classes"},
    {"name: a\nfiles: {train: a.csv}\nmetrics: [f1, matthews, accuracy]\n", "t.yaml:3: metrics: expected at most 2"},
    {"name: a\nfiles: {train: a.csv}\nmetric: f1\nmetrics: f1\n", "t.yaml:4: metrics: stands there beside metric"},
    {"name: a\nfiles: {train: a.csv}\nlabels: [x, y]\npositive_class: z\n", "t.yaml:4: positive_class: class \"z\""},
    {"name: a\nfiles: {train: a.csv}\nlabels: [x, y, z]\npositive_class: z\n", "positive_class: goes with two classes"},
    {"name: a\nfiles: {train: a.csv}\nanswer_words: [x, y]\n", "t.yaml:3: answer_words: answers stand for classes"},
    {"name: a\nfiles: {train: a.csv}\nlabels: [x, y]\nanswer_words: [p]\n",
     "answer_words: expected a word for each of"},
    {"name: a\nfiles: {train: a.csv}\nlabels: [x, y]\nanswer_words: {x: p, z: q}\n", "answer_words: class \"z\""},
    {"name: a\nfiles: {train: a.csv}\nlabels: [x, y]\nanswer_words: [p, p]\n", "\"p\" stands for two classes"},
    {"name: a\nfiles: {train: a.csv}\nprompt: '{txt}'\n",
     "t.yaml:3: prompt: expected {text}, {text_pair} and {answer}"},
    {"name: a\nfiles: {train: a.csv}\nprompt: what\n", "t.yaml:3: prompt: expected {text} in it, found \"what\""},
    {"name: a\ndescription: []\n", "t.yaml:2: description: expected a text or a list of texts, found an empty list"},
    {"name: a\ndescription: x\ndescriptions: [y]\n", "t.yaml:3: descriptions: stands there beside the other"},
    {"name: a\ndescription: ''\n", "t.yaml:2: description: expected a text, found \"\""},
    {"name: a\ndescription: x\nheader: [a, b]\n", "t.yaml:3: header: says what the columns of files are called"},
    {"name: a\n\tfiles: {train: a.csv}\n", "t.yaml:2: indented with a tab"},
};

START_TEST(the_rest_is_refused_with_its_line)
{
    ck_assert_int_eq(peft_task_file_load(write("t.yaml", refused[_i].text), &list, &error), PEFT_ERR_FORMAT);
    ck_assert_ptr_null(list.tasks);
    ck_assert_msg(strstr(error.message, refused[_i].message) != NULL, "found: %s", error.message);
}
END_TEST

START_TEST(lines_of_json_lines_are_named_too)
{
    static const char text[] = "{\"name\": \"a\", \"description\": \"x\"}\n\n{\"name\": \"b\", \"labels\": 3}\n";
    ck_assert_int_eq(peft_task_file_load(write("t.jsonl", text), &list, &error), PEFT_ERR_FORMAT);
    ck_assert_msg(strstr(error.message, "t.jsonl:3: labels: expected 2 to") != NULL, "%s", error.message);
    ck_assert_int_eq(peft_task_file_load(write("t.jsonl", "\n{\"name\": \"a\"\n"), &list, &error), PEFT_ERR_FORMAT);
    ck_assert_msg(strstr(error.message, "t.jsonl:2:") != NULL, "%s", error.message);
}
END_TEST

static void check_open(const char *word, peft_status expected, const char *result)
{
    const peft_task *task;
    peft_status status = peft_task_open(word, &list, &task, &error);
    ck_assert_msg(status == expected, "%s: %s", word, error.message);
    if (status == PEFT_OK)
        ck_assert_str_eq(task->name, result);
    else
        ck_assert_msg(strstr(error.message, result) != NULL, "%s", error.message);
    peft_task_list_free(&list);
}

START_TEST(a_word_stands_for_one_task)
{
    char word[1024];
    const char *path = write("t.yaml", "- {name: a, description: x}\n- {name: b, description: y}\n");
    check_open("rte", PEFT_OK, "rte");
    check_open("rtw", PEFT_ERR_ARGUMENT, "did you mean \"rte\"?");
    check_open(path, PEFT_ERR_ARGUMENT, "holds 2 tasks; name one of them: ");
    snprintf(word, sizeof word, "%s:b", path);
    check_open(word, PEFT_OK, "b");
    snprintf(word, sizeof word, "%s:c", path);
    check_open(word, PEFT_ERR_ARGUMENT, "task \"c\": unknown");
    check_open(write("one.yml", "{name: a, description: x}"), PEFT_OK, "a");
    check_open(scratch("none.json"), PEFT_ERR_FILE, "none.json");
    ck_assert(peft_task_is_file("a.jsonl") && peft_task_is_file("x/a.yaml:b") && !peft_task_is_file("rte"));
    ck_assert(!peft_task_is_file(".yaml") && !peft_task_is_file("yaml"));
}
END_TEST

START_TEST(known_tasks_have_descriptions_and_distinct_answers)
{
    for (size_t i = 0; i < peft_num_tasks(); i++) {
        const peft_task *task = peft_task_at(i);
        size_t count = 0;
        while (task->descriptions && task->descriptions[count]) count++;
        ck_assert_uint_ge(count, 3);
        if (!task->answers) continue;
        for (size_t k = 0; k < task->num_labels; k++) {
            ck_assert_ptr_nonnull(task->answers[k]);
            for (size_t j = 0; j < k; j++) ck_assert_str_ne(task->answers[j], task->answers[k]);
        }
    }
}
END_TEST

START_TEST(running_out_of_memory_leaves_nothing)
{
    static const char *const names[] = {"t.yaml", "t.jsonl"};
    static const char *const texts[] = {full, "{\"name\": \"a\", \"description\": \"x\"}\n"};
    for (size_t k = 0; k < 2; k++) {
        const char *path = write(names[k], texts[k]);
        bool failed = true;
        for (int64_t call = 0; failed; call++) {
            fail_own_allocation(call);
            peft_status status = peft_task_file_load(path, &list, NULL);
            failed = allocation_failed();
            ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
            ck_assert_int_eq(list.tasks == NULL, failed);
            peft_task_list_free(&list);
        }
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("task_file");
    tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
    tcase_add_test(tc, every_key_is_read);
    tcase_add_test(tc, files_lie_beside_the_task_or_in_the_data_folder);
    tcase_add_test(tc, what_is_left_out_has_its_default);
    tcase_add_test(tc, several_tasks_in_yaml_json_and_lines);
    tcase_add_loop_test(tc, the_rest_is_refused_with_its_line, 0, sizeof refused / sizeof *refused);
    tcase_add_test(tc, lines_of_json_lines_are_named_too);
    tcase_add_test(tc, a_word_stands_for_one_task);
    tcase_add_test(tc, known_tasks_have_descriptions_and_distinct_answers);
    tcase_add_test(tc, running_out_of_memory_leaves_nothing);
    return run_tests(tc);
}
