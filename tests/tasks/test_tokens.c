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

TEST_MAIN("tokens", tcase_add_test(tc, all_are_full_and_known); tcase_add_test(tc, failing_allocations_are_reported))
