/* The ops of a build without oneDNN (-Donednn=disabled): they link, and say so where they are asked for it. */
#include <string.h>

#include "ops/context.h"
#include "tests/support/main.h"

START_TEST(another_backend_serves)
{
    peft_error error = {0};
    peft_context *ctx;
    const peft_context_options wanted = {.threads = 1, .backend = "onednn"};
    ck_assert(!peft_backend_available("onednn"));
    ck_assert_int_eq(peft_context_open(&ctx, &wanted, &error), PEFT_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "onednn"));
    ck_assert_msg(!peft_context_open(&ctx, NULL, &error), "%s", error.message);
    ck_assert_str_ne(peft_context_backend(ctx), "onednn");
    peft_context_expect(ctx, 100);
    peft_context_close(ctx);
}
END_TEST

TEST_MAIN("without_onednn", tcase_add_test(tc, another_backend_serves))
