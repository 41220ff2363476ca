/* Tests of peft/cli/signals.c: a child process presses Ctrl-C on itself. */
#include "peft/cli/signals.h"
#include "tests/support/main.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ENDED_IN_ORDER = 7 };

/* Presses Ctrl-C `presses` times and ends in order; the child's status as waitpid gives it. */
static int press(int presses, bool watching)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGINT, SIG_DFL); /* Check has set its own */
        if (watching) peft_signals_watch();
        for (int i = 0; i < presses; i++) raise(SIGINT);
        _exit(peft_interrupted() == (presses > 0) ? ENDED_IN_ORDER : 0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

START_TEST(the_first_press_asks_and_the_second_ends)
{
    int none = press(0, true), once = press(1, true), twice = press(2, true);
    ck_assert(WIFEXITED(none) && WEXITSTATUS(none) == ENDED_IN_ORDER);
    ck_assert(WIFEXITED(once) && WEXITSTATUS(once) == ENDED_IN_ORDER);
    ck_assert(WIFEXITED(twice) && WEXITSTATUS(twice) == 130);
}
END_TEST

START_TEST(who_does_not_watch_ends_at_the_first_press)
{
    int once = press(1, false);
    ck_assert(WIFSIGNALED(once) && WTERMSIG(once) == SIGINT);
}
END_TEST

TEST_MAIN("signals", tcase_add_test(tc, the_first_press_asks_and_the_second_ends);
          tcase_add_test(tc, who_does_not_watch_ends_at_the_first_press))
