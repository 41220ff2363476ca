/* Tests of peft/sentence.c and sentence_vector.c: what modules.json says, and the vectors that follow from it. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "io/safetensors.h"
#include "peft/sentence.h"
#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

static peft_error error;

static void setup(void)
{
    scratch_setup();
    static const char *const folders[] = {"0_BERT", "1_Pooling", "2_Dense", "3_Normalize"};
    for (size_t k = 0; k < sizeof folders / sizeof folders[0]; k++)
        ck_assert_int_eq(mkdir(scratch(folders[k]), 0700), 0);
}

static void write_text(const char *name, const char *text)
{
    scratch_write(name, text, strlen(text));
}

#define MODULE(path, type) "{\"path\": \"" path "\", \"type\": \"sentence_transformers.models." type "\"}"
#define POOLED             "[" MODULE("", "Transformer") ", " MODULE("1_Pooling", "Pooling")

static const char pooled_only[] = POOLED "]";
static const char dense_after[] =
    POOLED ", " MODULE("2_Dense", "Dense") ", " MODULE("", "Dropout") ", " MODULE("3_Normalize", "Normalize") "]";

static void write_dense(int64_t in, const char *config)
{
    static const float weight[] = {1, 0, -1, 2, 0.5f, 0.25f}, bias[] = {0.5f, -0.5f};
    const peft_file_tensor tensors[] = {
        {.name = "linear.bias", .dtype = PEFT_F32, .shape = peft_shape_1(2), .data = bias, .bytes = sizeof bias},
        {.name = "linear.weight",
         .dtype = PEFT_F32,
         .shape = peft_shape_2(2, in),
         .data = weight,
         .bytes = (size_t)in * 2 * sizeof *weight}};
    ck_assert_int_eq(peft_safetensors_write(scratch("2_Dense/model.safetensors"), tensors, 2, NULL, 0, &error),
                     PEFT_OK);
    write_text("2_Dense/config.json", config);
}

static peft_sentence *open_fitting(int64_t hidden_size)
{
    peft_sentence *opened;
    ck_assert_msg(peft_sentence_open(&opened, scratch(""), &error) == PEFT_OK, "%s", error.message);
    ck_assert_msg(peft_sentence_fit(opened, hidden_size, &error) == PEFT_OK, "%s", error.message);
    return opened;
}

/* The vector of three tokens with two numbers each. */
static void expect_vector(peft_sentence *sentence, const float *expected, int64_t size)
{
    static const float tokens[] = {1, -2, 3, -4, -1, 12}, mean[] = {1, 2};
    float vector[16];
    ck_assert_int_eq(peft_sentence_size(sentence), size);
    peft_sentence_vector(sentence, tokens, 3, mean, vector);
    for (int64_t k = 0; k < size; k++)
        ck_assert_msg(fabsf(vector[k] - expected[k]) < 1e-6f, "%d: expected %g, found %g", (int)k, (double)expected[k],
                      (double)vector[k]);
    peft_sentence_close(sentence);
}

#define EXPECT(sentence, ...)                                                                                          \
    expect_vector(sentence, (const float[]){__VA_ARGS__}, sizeof(float[]){__VA_ARGS__} / sizeof(float))

START_TEST(without_modules_it_is_the_mean_of_length_1)
{
    peft_sentence *s = open_fitting(2);
    ck_assert(peft_sentence_reads_mean(s) && !peft_sentence_reads_tokens(s));
    ck_assert_str_eq(peft_sentence_encoder(s), scratch(""));
    ck_assert_int_eq(peft_sentence_max_length(s), 0);
    EXPECT(s, 0.4472136f, 0.8944272f);
}
END_TEST

START_TEST(all_ways_of_pooling_stand_side_by_side)
{
    write_text("modules.json", pooled_only);
    write_text("1_Pooling/config.json",
               "{\"word_embedding_dimension\": 2, \"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": true,"
               " \"pooling_mode_max_tokens\": true, \"pooling_mode_mean_sqrt_len_tokens\": true,"
               " \"pooling_mode_weightedmean_tokens\": true, \"pooling_mode_lasttoken\": true}");
    peft_sentence *s = open_fitting(2);
    ck_assert(peft_sentence_reads_mean(s) && peft_sentence_reads_tokens(s));
    EXPECT(s, 1, -2, 3, 12, 1, 2, 1.7320508f, 3.4641016f, 2.0f / 3, 13.0f / 3, -1, 12);

    write_text("1_Pooling/config.json", "{\"embedding_dimension\": 2, \"pooling_mode\": [\"lasttoken\", \"cls\"]}");
    s = open_fitting(2);
    ck_assert(!peft_sentence_reads_mean(s));
    EXPECT(s, -1, 12, 1, -2);

    write_text("1_Pooling/config.json", "{\"pooling_mode_mean_tokens\": false}");
    EXPECT(open_fitting(2), 1, 2);
}
END_TEST

START_TEST(dense_and_normalize_follow)
{
    write_text("modules.json", dense_after);
    write_text("1_Pooling/config.json", "{\"pooling_mode\": \"mean\"}");
    write_dense(2, "{\"in_features\": 2, \"out_features\": 2, \"activation_function\": \"torch.nn.Identity\"}");
    EXPECT(open_fitting(2), 0.5144958f, 0.8574929f); /* W [1, 2] + b = [1.5, 2.5], of length 1 */
}
END_TEST

START_TEST(the_encoder_may_have_a_folder_and_a_length)
{
    write_text("modules.json", "[" MODULE("0_BERT", "BERT") ", " MODULE("1_Pooling", "Pooling") "]");
    write_text("1_Pooling/config.json", "{}");
    write_text("0_BERT/sentence_distilbert_config.json", "{\"max_seq_length\": 75}");
    peft_sentence *s = open_fitting(2);
    ck_assert_str_eq(peft_sentence_encoder(s), scratch("0_BERT"));
    ck_assert_int_eq(peft_sentence_max_length(s), 75);
    peft_sentence_close(s);
}
END_TEST

START_TEST(what_is_not_offered_is_refused_by_name)
{
    static const struct {
        const char *file, *text;
        peft_status status;
        const char *words;
    } cases[] = {
        {"modules.json", "{}", PEFT_ERR_FORMAT, "expected a list of modules"},
        {"modules.json", "[]", PEFT_ERR_FORMAT, "expected a list of modules"},
        {"modules.json", "[3]", PEFT_ERR_FORMAT, "expected a list of objects, found 3"},
        {"modules.json", "[{\"path\": \"\"}]", PEFT_ERR_FORMAT, "expected a type"},
        {"modules.json", "[" MODULE("", "WordEmbeddings") "]", PEFT_ERR_UNSUPPORTED, "type WordEmbeddings"},
        {"modules.json", "[" MODULE("1_Pooling", "Pooling") "]", PEFT_ERR_UNSUPPORTED, "encoder first"},
        {"modules.json", "[" MODULE("", "Transformer") "]", PEFT_ERR_UNSUPPORTED, "expected a module Pooling"},
        {"modules.json", POOLED ", " MODULE("1_Pooling", "Pooling") "]", PEFT_ERR_UNSUPPORTED, "once"},
        {"modules.json", POOLED ", " MODULE("4_CNN", "CNN") "]", PEFT_ERR_UNSUPPORTED, "type CNN"},
        {"1_Pooling/config.json", "{\"pooling_mode\": \"median\"}", PEFT_ERR_UNSUPPORTED, "pooling_mode median"},
        {"1_Pooling/config.json", "{\"pooling_mode\": 3}", PEFT_ERR_FORMAT, "pooling_mode: expected a name, found 3"},
        {"1_Pooling/config.json", "{\"pooling_mode_new\": true}", PEFT_ERR_UNSUPPORTED, "pooling_mode_new"},
        {"1_Pooling/config.json", "{\"include_prompt\": false}", PEFT_ERR_UNSUPPORTED, "include_prompt"},
        {"sentence_bert_config.json", "{\"do_lower_case\": true}", PEFT_ERR_UNSUPPORTED, "do_lower_case"},
        {"sentence_bert_config.json", "{\"max_seq_length\": 0}", PEFT_ERR_FORMAT, "max_seq_length"},
        {"2_Dense/config.json", "{}", PEFT_ERR_FORMAT, "expected in_features"},
        {"2_Dense/config.json", "{\"in_features\": 3, \"out_features\": 2}", PEFT_ERR_FORMAT,
         "linear.weight: expected [2, 3], found [2, 2]"},
        {"2_Dense/config.json", "{\"activation_function\": \"torch.nn.Mish\"}", PEFT_ERR_UNSUPPORTED, "torch.nn.Mish"},
        {"2_Dense/config.json", "{\"use_residual\": true}", PEFT_ERR_UNSUPPORTED, "use_residual"},
        {"3_Normalize/config.json", "{\"module_input_name\": \"token_embeddings\"}", PEFT_ERR_UNSUPPORTED,
         "token_embeddings"},
        {"config_sentence_transformers.json",
         "{\"prompts\": {\"query\": \"query: \"}, \"default_prompt_name\": \"query\"}", PEFT_ERR_UNSUPPORTED,
         "default_prompt_name query"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        peft_sentence *opened;
        write_text("modules.json", dense_after);
        write_text("1_Pooling/config.json", "{}");
        write_dense(2, "{\"in_features\": 2, \"out_features\": 2}");
        write_text(cases[i].file, cases[i].text);
        peft_status status = peft_sentence_open(&opened, scratch(""), &error);
        ck_assert_ptr_null(opened);
        ck_assert_msg(status == cases[i].status && strstr(error.message, cases[i].words) != NULL,
                      "case %zu: expected status %d, \"%s\", found %d, \"%s\"", i, (int)cases[i].status, cases[i].words,
                      (int)status, error.message);
        remove(scratch(cases[i].file));
    }
}
END_TEST

START_TEST(modules_of_another_size_do_not_fit)
{
    peft_sentence *s;
    write_text("modules.json", dense_after);
    write_text("1_Pooling/config.json", "{\"word_embedding_dimension\": 3}");
    write_dense(2, "{\"in_features\": 2, \"out_features\": 2}");
    ck_assert_int_eq(peft_sentence_open(&s, scratch(""), &error), PEFT_OK);
    ck_assert_int_eq(peft_sentence_fit(s, 2, &error), PEFT_ERR_FORMAT);
    ck_assert_msg(strstr(error.message, "pooling is for 3") != NULL, "%s", error.message);
    ck_assert_int_eq(peft_sentence_fit(s, 3, &error), PEFT_ERR_FORMAT);
    ck_assert_msg(strstr(error.message, "in_features: expected 3, found 2") != NULL, "%s", error.message);
    peft_sentence_close(s);
}
END_TEST

START_TEST(every_failed_allocation_is_survived)
{
    write_text("modules.json", dense_after);
    write_text("1_Pooling/config.json", "{}");
    write_dense(2, "{\"in_features\": 2, \"out_features\": 2}");
    const char *folder = scratch("");
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_sentence *opened;
        fail_own_allocation(call);
        peft_status status = peft_sentence_open(&opened, folder, &error);
        if (status == PEFT_OK) status = peft_sentence_fit(opened, 2, &error);
        failed = allocation_failed();
        ck_assert_msg(status == (failed ? PEFT_ERR_MEMORY : PEFT_OK), "allocation %d: status %d, \"%s\"", (int)call,
                      (int)status, error.message);
        peft_sentence_close(opened);
    }
}
END_TEST

TEST_MAIN("sentence", tcase_add_checked_fixture(tc, setup, scratch_teardown);
          tcase_add_test(tc, without_modules_it_is_the_mean_of_length_1);
          tcase_add_test(tc, all_ways_of_pooling_stand_side_by_side); tcase_add_test(tc, dense_and_normalize_follow);
          tcase_add_test(tc, the_encoder_may_have_a_folder_and_a_length);
          tcase_add_test(tc, what_is_not_offered_is_refused_by_name);
          tcase_add_test(tc, modules_of_another_size_do_not_fit);
          tcase_add_test(tc, every_failed_allocation_is_survived))
