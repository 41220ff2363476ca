/* Tests of tasks/wordnet.c: on a small made-up WordNet, and on the real one where it is installed. */
#include "tasks/wordnet.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/file.h"
#include "tasks/dataset.h"
#include "tasks/wordnet_read.h"
#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

static const char real_wordnet[] = "/usr/share/wordnet";

static peft_error error;

/* ---- a made-up WordNet ----
 *
 * Nouns: a root; 4 families below it; 4 kinds in each; 6 members of each kind, dealt out to the eight lexicographer
 * files. Verbs: 12 words with two senses of two sentences each. */

enum { FAMILIES = 4, KINDS = 4, MEMBERS = 6, VERBS = 12 };

static char text[1 << 17];
static size_t text_bytes;

static void add(const char *format, ...) PEFT_PRINTF(1, 2);

static void add(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_bytes += (size_t)vsnprintf(text + text_bytes, sizeof text - text_bytes, format, arguments);
    va_end(arguments);
    ck_assert_uint_lt(text_bytes, sizeof text);
}

static void write_part(const char *name)
{
    scratch_write(name, text, text_bytes);
    text_bytes = 0;
}

static const char *small_wordnet(void)
{
    static const int files[] = {4, 5, 6, 10, 13, 18, 20, 27};
    add("  1 A licence of two lines,  \n  2 which goes with every copy.  \n");
    add("%08d 03 n 01 root 0 000 | what everything in this small world is  \n", 1);
    for (int f = 1; f <= FAMILIES; f++) {
        add("%08d 03 n 01 family_%c 0 001 @ 00000001 n 0000 | one of the great families, number %d  \n", f * 1000,
            'a' + f, f);
        for (int k = 1; k <= KINDS; k++) {
            int kind = f * 1000 + k * 100;
            add("%08d 03 n 02 kind_%d 0 sort_%d 1 002 @ %08d n 0000 + 00000100 v 0101 | a branch of a family, number %d"
                "  \n",
                kind, kind, kind, f * 1000, kind);
            for (int m = 1; m <= MEMBERS; m++)
                add("%08d %02d n 01 member_%d 0 001 @ %08d n 0000 | a small thing with the number %d; \"look at it\"  "
                    "\n",
                    kind + m, files[(kind / 100 + m) % 8], kind + m, kind, kind + m);
        }
    }
    write_part("data.noun");
    for (int v = 0; v < VERBS; v++)
        for (int s = 0; s < 2; s++)
            add("%08d 30 v 01 plim%c 0 000 01 + 08 00 | to do thing %d in way %d; \"they plim%c it %d times a day\"; "
                "\"she was plim%cing number %d all along\"  \n",
                100 + 2 * v + s, 'a' + v, v, s, 'a' + v, 10 + 2 * v + s, 'a' + v, 10 + 2 * v + s);
    write_part("data.verb");
    add("00000001 00 a 01 galore(ip) 0 000 | in great numbers\n");
    write_part("data.adj");
    write_part("data.adv");
    return scratch("");
}

START_TEST(synsets_are_read_as_documented)
{
    peft_wordnet wordnet;
    ck_assert_msg(peft_wordnet_read(small_wordnet(), &wordnet, &error) == PEFT_OK, "%s", error.message);
    ck_assert_uint_eq(wordnet.num_nouns, 1 + FAMILIES * (1 + KINDS * (1 + MEMBERS)));
    ck_assert_uint_eq(wordnet.count, wordnet.num_nouns + 2 * VERBS + 1);
    ck_assert_str_eq(wordnet.licence, "  1 A licence of two lines,  \n  2 which goes with every copy.  \n");

    const peft_synset *kind = &wordnet.synsets[2], *member = &wordnet.synsets[3];
    ck_assert_uint_eq(kind->num_words, 2);
    ck_assert_str_eq(kind->words[1], "sort 1100");
    ck_assert_uint_eq(kind->num_hypernyms, 1);
    ck_assert_uint_eq(kind->hypernyms[0], 1);
    ck_assert_str_eq(kind->definition, "a branch of a family, number 1100");
    ck_assert_uint_eq(kind->num_examples, 0);
    ck_assert_uint_eq(member->hypernyms[0], 2);
    ck_assert_str_eq(member->definition, "a small thing with the number 1101");
    ck_assert_str_eq(member->examples[0], "look at it");
    ck_assert(!member->is_instance);
    const peft_synset *verb = &wordnet.synsets[wordnet.num_nouns], *adjective = &wordnet.synsets[wordnet.count - 1];
    ck_assert_int_eq(verb->part_of_speech, 'v');
    ck_assert_uint_eq(verb->num_examples, 2);
    ck_assert_str_eq(verb->examples[1], "she was plimaing number 10 all along");
    ck_assert_str_eq(adjective->words[0], "galore");
    peft_wordnet_free(&wordnet);
}
END_TEST

static const struct {
    const char *content, *message;
} bad[] = {
    {"00000001 03 n 01 root 0 000\n", "data.noun:1: expected a gloss after \" | \""},
    {"  1 x\nroot 03 n 01 root 0 000 | a\n", "data.noun:2: expected an offset, found \"root\""},
    {"-0000001 03 n 01 root 0 000 | a\n", "data.noun:1: expected an offset, found \"-0000001\""},
    {"99999999999 03 n 01 root 0 000 | a\n", "data.noun:1: expected an offset"},
    {"00000001 03 n 00 000 | a\n", "data.noun:1: expected 1 to 255 words"},
    {"00000001 03 n fff root 0 000 | a\n", "data.noun:1: expected 1 to 255 words"},
    {"00000001 03 n 03 root 0 000 | a\n", "data.noun:1: expected the id of a word, found \"the end of the line\""},
    {"00000001 03 n 01 root 0 002 @ 00000001 n 0000 | a\n", "data.noun:1: expected the symbol of a pointer"},
    {"00000001 03 n 01 root 0 99999 | a\n", "data.noun:1: expected at most 999 pointers"},
    {"00000001 03 n 01 root 0 001 @ 00000007 n 0000 | a\n", "synset 00000001: no synset 00000007"},
    {"00000002 03 n 01 root 0 000 | a\n00000002 03 n 01 root 0 000 | a\n", "data.noun:2: expected offsets that rise"},
};

START_TEST(files_that_are_not_wordnets_are_refused)
{
    peft_wordnet wordnet;
    small_wordnet();
    scratch_write("data.noun", bad[_i].content, strlen(bad[_i].content));
    ck_assert_int_eq(peft_wordnet_read(scratch(""), &wordnet, &error), PEFT_ERR_FORMAT);
    ck_assert_msg(strstr(error.message, bad[_i].message) != NULL, "found: %s", error.message);
    ck_assert_ptr_null(wordnet.synsets);
}
END_TEST

START_TEST(a_missing_or_too_small_wordnet_is_refused)
{
    ck_assert_int_eq(peft_wordnet_build(scratch("none"), scratch("out"), 0, &error), PEFT_ERR_FILE);
    ck_assert_ptr_nonnull(strstr(error.message, "none/data.noun"));
    small_wordnet();
    const char root[] = "00000001 03 n 01 root 0 000 | what everything in this small world is\n";
    scratch_write("data.noun", root, sizeof root - 1);
    ck_assert_int_eq(peft_wordnet_build(scratch(""), scratch("out"), 0, &error), PEFT_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.message, "wn-class: expected at least 5 groups"));
}
END_TEST

/* ---- the tasks ---- */

static const char *const tasks[] = {"wn-class", "wn-entail", "wn-sense"};
static const char *const splits[] = {"train", "dev"};
enum { NUM_TASKS = 3, NUM_SPLITS = 2 };

static peft_dataset *load(const char *folder, const char *task, const char *split)
{
    peft_dataset *dataset;
    peft_status status = peft_dataset_load(peft_task_find(task, NULL), folder, split, &dataset, &error);
    ck_assert_msg(status == PEFT_OK, "%s", error.message);
    return dataset;
}

static void build(const char *wordnet, const char *output, uint64_t seed)
{
    ck_assert_msg(peft_wordnet_build(wordnet, output, seed, &error) == PEFT_OK, "%s", error.message);
}

typedef struct use {
    const char *text;
    float label;
} use;

static int by_text(const void *a, const void *b)
{
    return strcmp(((const use *)a)->text, ((const use *)b)->text);
}

static use *sorted_uses(const peft_cell *cells, const int32_t *labels, size_t count)
{
    use *uses = calloc(count, sizeof *uses);
    ck_assert_ptr_nonnull(uses);
    for (size_t i = 0; i < count; i++) uses[i] = (use){cells[i].text, (float)labels[i]};
    qsort(uses, count, sizeof *uses, by_text);
    return uses;
}

/* Each sentence has either label as often: alone it says nothing. */
static void check_that_sentences_alone_say_nothing(const peft_cell *cells, const peft_dataset *dataset)
{
    use *uses = sorted_uses(cells, dataset->classes, dataset->count);
    for (size_t first = 0, end; first < dataset->count; first = end) {
        double sum = 0;
        for (end = first; end < dataset->count && by_text(&uses[first], &uses[end]) == 0; end++)
            sum += (double)uses[end].label;
        ck_assert_msg(2 * sum == (double)(end - first), "\"%s\": %g of %zu", uses[first].text, sum, end - first);
    }
    free(uses);
}

static void check_balance(const peft_dataset *dataset)
{
    size_t counts[8] = {0};
    for (size_t i = 0; i < dataset->count; i++) counts[(size_t)dataset->classes[i]]++;
    for (size_t i = 0; i < dataset->num_labels; i++) ck_assert_uint_eq(counts[i], dataset->count / dataset->num_labels);
    if (!dataset->text_pair) return;
    check_that_sentences_alone_say_nothing(dataset->text, dataset);
    check_that_sentences_alone_say_nothing(dataset->text_pair, dataset);
}

/* Definitions and examples belong to one synset each, so sentences in common would be synsets in common. */
static void check_that_nothing_is_shared(const peft_cell *of_train, const peft_cell *of_dev, const peft_dataset *train,
                                         const peft_dataset *dev)
{
    use *uses = sorted_uses(of_train, train->classes, train->count);
    for (size_t i = 0; i < dev->count; i++) {
        const use wanted = {of_dev[i].text, 0};
        ck_assert_msg(!bsearch(&wanted, uses, train->count, sizeof *uses, by_text), "both have \"%s\"", wanted.text);
    }
    free(uses);
}

static void check_tasks(const char *folder)
{
    for (size_t t = 0; t < NUM_TASKS; t++) {
        peft_dataset *train = load(folder, tasks[t], "train"), *dev = load(folder, tasks[t], "dev");
        check_balance(train);
        check_balance(dev);
        check_that_nothing_is_shared(train->text, dev->text, train, dev);
        if (strcmp(tasks[t], "wn-sense") == 0) {
            check_that_nothing_is_shared(train->text_pair, dev->text_pair, train, dev);
            check_that_nothing_is_shared(train->text, dev->text_pair, train, dev);
        }
        peft_dataset_free(train);
        peft_dataset_free(dev);
    }
}

static bool same_files(const char *a, const char *b)
{
    bool same = true;
    for (size_t i = 0; i < NUM_TASKS * NUM_SPLITS; i++) {
        char of_a[PEFT_FINGERPRINT_TEXT], of_b[PEFT_FINGERPRINT_TEXT], path[512];
        snprintf(path, sizeof path, "%s/%s/%s.tsv", a, tasks[i / NUM_SPLITS], splits[i % NUM_SPLITS]);
        ck_assert_int_eq(peft_file_fingerprint(path, of_a, &error), PEFT_OK);
        snprintf(path, sizeof path, "%s/%s/%s.tsv", b, tasks[i / NUM_SPLITS], splits[i % NUM_SPLITS]);
        ck_assert_int_eq(peft_file_fingerprint(path, of_b, &error), PEFT_OK);
        same = same && strcmp(of_a, of_b) == 0;
    }
    return same;
}

START_TEST(a_small_wordnet_gives_balanced_tasks)
{
    const char *wordnet = small_wordnet();
    build(wordnet, scratch("out"), 0);
    check_tasks(scratch("out"));
    ck_assert(peft_file_exists(scratch("out/WORDNET-LICENSE")));
}
END_TEST

/* In the made-up WordNet the number in a definition says whose child the noun is: member 1203 is a kind of "kind 1200".
 */
START_TEST(hypernyms_are_told_from_their_siblings)
{
    build(small_wordnet(), scratch("out"), 3);
    peft_dataset *train = load(scratch("out"), "wn-entail", "train");
    for (size_t i = 0; i < train->count; i++) {
        int member = 0, kind = 0;
        ck_assert_int_eq(sscanf(train->text[i].text, "a small thing with the number %d", &member), 1);
        ck_assert_int_eq(sscanf(train->text_pair[i].text, "It is a kind of kind %d.", &kind), 1);
        ck_assert_int_eq(member / 1000, kind / 1000);
        ck_assert_str_eq(train->label_names[train->classes[i]],
                         member / 100 == kind / 100 ? "entailment" : "not_entailment");
    }
    peft_dataset_free(train);
}
END_TEST

/* Sentences of one sense end in the same number. */
START_TEST(senses_are_told_apart)
{
    build(small_wordnet(), scratch("out"), 3);
    peft_dataset *train = load(scratch("out"), "wn-sense", "train");
    for (size_t i = 0; i < train->count; i++) {
        char word1, word2;
        int sense1 = 0, sense2 = 0;
        ck_assert_int_eq(sscanf(train->text[i].text, "they plim%c it %d", &word1, &sense1), 2);
        ck_assert_int_eq(sscanf(train->text_pair[i].text, "she was plim%cing number %d", &word2, &sense2), 2);
        ck_assert_int_eq(word1, word2);
        ck_assert_str_eq(train->label_names[train->classes[i]], sense1 == sense2 ? "same" : "different");
    }
    peft_dataset_free(train);
}
END_TEST

START_TEST(the_seed_decides_every_byte)
{
    const char *wordnet = small_wordnet();
    build(wordnet, scratch("a"), 5);
    build(wordnet, scratch("b"), 5);
    build(wordnet, scratch("c"), 6);
    ck_assert(same_files(scratch("a"), scratch("b")));
    ck_assert(!same_files(scratch("a"), scratch("c")));
}
END_TEST

START_TEST(running_out_of_memory_is_reported)
{
    const char *wordnet = small_wordnet(), *output = scratch("out");
    bool failed = true;
    int64_t call = 0;
    for (; failed; call++) {
        fail_allocation(call);
        peft_status status = peft_wordnet_build(wordnet, output, 0, &error);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
    }
    ck_assert_int_gt(call, 40);
}
END_TEST

START_TEST(the_real_wordnet_fills_the_tasks)
{
    struct stat info;
    if (stat(real_wordnet, &info) != 0) return;
    static const size_t counts[NUM_TASKS][NUM_SPLITS] = {{4000, 1000}, {4000, 1000}, {3000, 750}};
    build(real_wordnet, scratch("a"), 0);
    build(real_wordnet, scratch("b"), 0);
    ck_assert(same_files(scratch("a"), scratch("b")));
    check_tasks(scratch("a"));
    for (size_t i = 0; i < NUM_TASKS * NUM_SPLITS; i++) {
        peft_dataset *dataset = load(scratch("a"), tasks[i / NUM_SPLITS], splits[i % NUM_SPLITS]);
        ck_assert_uint_ge(dataset->count, counts[i / NUM_SPLITS][i % NUM_SPLITS]);
        peft_dataset_free(dataset);
    }
}
END_TEST

TEST_MAIN("wordnet", tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
          tcase_add_test(tc, synsets_are_read_as_documented);
          tcase_add_loop_test(tc, files_that_are_not_wordnets_are_refused, 0, sizeof bad / sizeof bad[0]);
          tcase_add_test(tc, a_missing_or_too_small_wordnet_is_refused);
          tcase_add_test(tc, a_small_wordnet_gives_balanced_tasks);
          tcase_add_test(tc, hypernyms_are_told_from_their_siblings); tcase_add_test(tc, senses_are_told_apart);
          tcase_add_test(tc, the_seed_decides_every_byte); tcase_add_test(tc, running_out_of_memory_is_reported);
          tcase_add_test(tc, the_real_wordnet_fills_the_tasks))
