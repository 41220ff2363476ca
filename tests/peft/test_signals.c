/* Tests of peft/cli/signals.c: a child process sends signals to itself. */
#include "peft/cli/signals.h"
#include "tests/support/main.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ENDED_IN_ORDER = 7 };

static const int all[] = {SIGINT, SIGTERM, SIGHUP};
enum { NUM_SIGNALS = sizeof all / sizeof *all };

/* Raises a signal `times` times and ends in order; the child's status as waitpid gives it. */
static int send(int signal_number, int times, bool deferred, void (*before)(int))
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        for (int k = 0; k < NUM_SIGNALS; k++) signal(all[k], before); /* Check has set its own */
        peft_signals_watch();
        if (deferred) peft_signals_defer();
        for (int i = 0; i < times; i++) raise(signal_number);
        bool is_right = peft_interrupted() == (times > 0 && before == SIG_DFL ? signal_number : 0);
        _exit(is_right ? ENDED_IN_ORDER : 0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

static void exits(int status, int code)
{
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), code);
}

START_TEST(a_signal_ends_what_has_nothing_to_save)
{
    exits(send(all[_i], 1, false, SIG_DFL), 128 + all[_i]);
}
END_TEST

START_TEST(the_first_asks_for_an_orderly_stop)
{
    exits(send(all[_i], 0, true, SIG_DFL), ENDED_IN_ORDER);
    exits(send(all[_i], 1, true, SIG_DFL), ENDED_IN_ORDER);
}
END_TEST

START_TEST(a_second_ctrl_c_ends_at_once_and_what_job_systems_send_twice_does_not)
{
    exits(send(SIGINT, 2, true, SIG_DFL), 128 + SIGINT);
    exits(send(SIGTERM, 2, true, SIG_DFL), ENDED_IN_ORDER);
    exits(send(SIGHUP, 2, true, SIG_DFL), ENDED_IN_ORDER);
}
END_TEST

START_TEST(what_was_ignored_at_the_start_stays_ignored)
{
    exits(send(all[_i], 3, false, SIG_IGN), ENDED_IN_ORDER);
    exits(send(all[_i], 3, true, SIG_IGN), ENDED_IN_ORDER);
}
END_TEST

TEST_MAIN("signals", tcase_add_loop_test(tc, a_signal_ends_what_has_nothing_to_save, 0, NUM_SIGNALS);
          tcase_add_loop_test(tc, the_first_asks_for_an_orderly_stop, 0, NUM_SIGNALS);
          tcase_add_test(tc, a_second_ctrl_c_ends_at_once_and_what_job_systems_send_twice_does_not);
          tcase_add_loop_test(tc, what_was_ignored_at_the_start_stays_ignored, 0, NUM_SIGNALS))
