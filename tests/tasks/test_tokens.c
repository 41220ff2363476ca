/* Batches of tokens that are made up, to measure with. */
#include "tasks/tokens.h"
#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

enum { COUNT = 5, LENGTH = 7, VOCAB = 11 };

START_TEST(all_are_full_and_known)
{
    static const uint32_t rows[] = {4, 1};
    peft_tokens *tokens;
    peft_batch_memory memory = {0};
    ck_assert(!peft_tokens_make_up(&tokens, COUNT, LENGTH, VOCAB, NULL));
    ck_assert_int_eq(tokens->count, COUNT);
    ck_assert_int_eq(tokens->longest, LENGTH);
    ck_assert_int_eq(tokens->num_truncated, 0);
    bool seen[VOCAB] = {false};
    for (int64_t k = 0; k < COUNT; k++) ck_assert_int_eq(peft_tokens_length(tokens, k), LENGTH);
    for (int64_t t = 0; t < tokens->offsets[COUNT]; t++) {
        ck_assert(tokens->input_ids[t] >= 0 && tokens->input_ids[t] < VOCAB);
        seen[tokens->input_ids[t]] = true;
    }
    for (int id = 0; id < VOCAB; id++) ck_assert(seen[id]);
    ck_assert(!peft_tokens_gather(tokens, rows, 2, &memory, NULL));
    ck_assert_int_eq(memory.batch.num_tokens, 2 * LENGTH);
    ck_assert(memory.classes && memory.classes[0] == 0 && memory.classes[1] == 0);
    peft_batch_memory_free(&memory);
    peft_tokens_free(tokens);
}
END_TEST

START_TEST(short_examples_come_first_and_equal_ones_in_their_order)
{
    int64_t offsets[] = {0, 3, 3, 9, 12, 13, 19};
    static const uint32_t expected[] = {1, 4, 0, 3, 2, 5};
    const peft_tokens tokens = {.count = 6, .offsets = offsets, .longest = 6};
    uint32_t rows[6];
    ck_assert(!peft_tokens_order_by_length(&tokens, rows, NULL));
    for (int k = 0; k < 6; k++) ck_assert_uint_eq(rows[k], expected[k]);
}
END_TEST

/* Whole numbers that no float holds, and scores beyond the range of int32. */
START_TEST(labels_reach_the_batch_as_they_are)
{
    int64_t offsets[] = {0, 1, 2};
    int32_t ids[] = {1, 2}, types[] = {0, 0};
    static const int32_t classes[] = {16777217, 3};
    static const float scores[] = {3e9f, -1e12f};
    static const uint32_t rows[] = {1, 0};
    peft_tokens tokens = {
        .count = 2, .offsets = offsets, .input_ids = ids, .token_type_ids = types, .classes = classes, .longest = 1};
    peft_batch_memory memory = {0};
    ck_assert(!peft_tokens_gather(&tokens, rows, 2, &memory, NULL));
    ck_assert(memory.classes[0] == 3 && memory.classes[1] == 16777217);
    tokens.classes = NULL;
    tokens.scores = scores;
    ck_assert(!peft_tokens_gather(&tokens, rows, 2, &memory, NULL));
    ck_assert_ptr_null(memory.classes);
    ck_assert(memory.scores[0] == -1e12f && memory.scores[1] == 3e9f);
    peft_batch_memory_free(&memory);
}
END_TEST

START_TEST(what_is_known_of_sequences_reaches_the_batch)
{
    int64_t offsets[] = {0, 1, 3};
    int32_t ids[] = {1, 2, 3}, types[] = {0, 0, 0};
    static const float vectors[] = {1, 2, 3, 4, 5, 6};
    static const int32_t prompts[] = {1, 2};
    static const uint32_t rows[] = {1, 0};
    peft_tokens tokens = {.count = 2, .offsets = offsets, .input_ids = ids, .token_type_ids = types, .longest = 2};
    peft_batch_memory memory = {0};
    ck_assert(!peft_tokens_gather(&tokens, rows, 2, &memory, NULL));
    ck_assert(!memory.batch.vectors && !memory.batch.prompt_lengths);
    tokens.vectors = vectors;
    tokens.vector_size = 3;
    tokens.prompt_lengths = prompts;
    ck_assert(!peft_tokens_gather(&tokens, rows, 2, &memory, NULL));
    ck_assert_int_eq(memory.batch.vector_size, 3);
    ck_assert_mem_eq(memory.batch.vectors, vectors + 3, 3 * sizeof *vectors);
    ck_assert_mem_eq(memory.batch.vectors + 3, vectors, 3 * sizeof *vectors);
    ck_assert(memory.batch.prompt_lengths[0] == 2 && memory.batch.prompt_lengths[1] == 1);
    peft_batch_memory_free(&memory);
}
END_TEST

START_TEST(failing_allocations_are_reported)
{
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        peft_tokens *tokens;
        fail_allocation(call);
        peft_status status = peft_tokens_make_up(&tokens, COUNT, LENGTH, VOCAB, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        ck_assert((tokens == NULL) == failed);
        peft_tokens_free(tokens);
    }
}
END_TEST

TEST_MAIN("tokens", tcase_add_test(tc, all_are_full_and_known);
          tcase_add_test(tc, short_examples_come_first_and_equal_ones_in_their_order);
          tcase_add_test(tc, labels_reach_the_batch_as_they_are);
          tcase_add_test(tc, what_is_known_of_sequences_reaches_the_batch);
          tcase_add_test(tc, failing_allocations_are_reported))
