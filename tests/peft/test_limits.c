/* What is measured is a speed; how large it is, is the machine's matter. */
#include "peft/limits.h"

#include <math.h>

#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

static const peft_product small = {48, 32, 16};

static peft_context *open_context(const char *backend)
{
    peft_context *ctx;
    const peft_context_options options = {.threads = 2, .backend = backend};
    ck_assert(!peft_context_open(&ctx, &options, NULL));
    return ctx;
}

static bool is_speed(double value)
{
    return isfinite(value) && value > 0;
}

START_TEST(products_and_memory_have_a_speed)
{
    peft_error error = {0};
    for (int k = 0; peft_backend_name(k); k++) {
        if (!peft_backend_available(peft_backend_name(k))) continue;
        peft_context *ctx = open_context(peft_backend_name(k));
        peft_product_speed speed;
        ck_assert_msg(!peft_product_measure(ctx, &small, &speed, &error), "%s", error.message);
        ck_assert(is_speed(speed.forward) && is_speed(speed.backward));
        peft_context_close(ctx);
    }
    double bandwidth;
    peft_context *ctx = open_context(NULL);
    ck_assert_msg(!peft_bandwidth_measure(ctx, &bandwidth, &error), "%s", error.message);
    ck_assert(is_speed(bandwidth));
    peft_context_close(ctx);
}
END_TEST

/* The first, which succeeds, is for BLIS: it keeps its memory, and ends the program where it gets none. */
START_TEST(failing_allocations_are_reported)
{
    peft_context *ctx = open_context(NULL);
    peft_product_speed speed;
    ck_assert(!peft_product_measure(ctx, &small, &speed, NULL));
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        fail_allocation(call);
        peft_status status = peft_product_measure(ctx, &small, &speed, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        ck_assert(failed ? speed.forward == 0 : is_speed(speed.forward));
    }
    peft_context_close(ctx);
}
END_TEST

TEST_MAIN("limits", tcase_add_test(tc, products_and_memory_have_a_speed);
          tcase_add_test(tc, failing_allocations_are_reported))
