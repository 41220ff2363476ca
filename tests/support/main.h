/* tests/support/main.h - the main function of a Check program: one suite, its cases in one list. */
#ifndef PEFT_TESTS_SUPPORT_MAIN_H
#define PEFT_TESTS_SUPPORT_MAIN_H

#include <check.h>
#include <stdlib.h>

enum { TEST_TIMEOUT_SECONDS = 120 };

/* TEST_MAIN("linear", add(tc, test_a); add(tc, test_b)) */
#define TEST_MAIN(name, ...)                                                                                           \
    int main(void)                                                                                                     \
    {                                                                                                                  \
        Suite *suite = suite_create(name);                                                                             \
        TCase *tc = tcase_create(name);                                                                                \
        tcase_set_timeout(tc, TEST_TIMEOUT_SECONDS);                                                                   \
        __VA_ARGS__;                                                                                                   \
        suite_add_tcase(suite, tc);                                                                                    \
        SRunner *runner = srunner_create(suite);                                                                       \
        srunner_run_all(runner, CK_ENV);                                                                               \
        int failed = srunner_ntests_failed(runner);                                                                    \
        srunner_free(runner);                                                                                          \
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;                                                                   \
    }

#endif
