/* Every piece of a loop is run once, and the loop is over when peft_team_run returns. */
#include "ops/cpu/team.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/failing_alloc.h"
#include "tests/support/main.h"

enum { MOST_PIECES = 64, MOST_THREADS = 8 };

typedef struct loop {
    atomic_int runs[MOST_PIECES];
    atomic_bool busy[MOST_THREADS];
    bool slow;
} loop;

static void count(void *argument, int64_t piece, int thread)
{
    loop *l = argument;
    ck_assert_int_lt(thread, MOST_THREADS);
    ck_assert(!atomic_exchange(&l->busy[thread], true)); /* a thread's scratch memory is its own */
    if (l->slow && piece % 3 == 0) usleep(200);
    atomic_fetch_add(&l->runs[piece], 1);
    atomic_store(&l->busy[thread], false);
}

static void check_loop(peft_team *team, int64_t pieces, bool slow)
{
    loop l = {.slow = slow};
    peft_team_run(team, pieces, count, &l);
    for (int64_t p = 0; p < MOST_PIECES; p++) ck_assert_int_eq(atomic_load(&l.runs[p]), p < pieces);
    for (int t = 0; t < MOST_THREADS; t++) ck_assert(!atomic_load(&l.busy[t]));
}

START_TEST(every_piece_runs_once)
{
    enum { ROUNDS = 3000 };
    peft_team *team;
    peft_error error = {0};
    ck_assert_msg(!peft_team_open(&team, _i, &error), "%s", error.message);
    for (int round = 0; round < ROUNDS; round++) check_loop(team, round % (MOST_PIECES + 1), false);
    peft_team_close(team);
}
END_TEST

/* Threads sleep between the loops, and come late to some. */
START_TEST(slow_loops_and_pauses_are_no_different)
{
    enum { ROUNDS = 40 };
    peft_team *team;
    peft_error error = {0};
    ck_assert_msg(!peft_team_open(&team, _i, &error), "%s", error.message);
    for (int round = 0; round < ROUNDS; round++) {
        if (round % 2) usleep(1000);
        check_loop(team, round % 7, true);
    }
    peft_team_close(team);
}
END_TEST

START_TEST(a_team_may_end_at_once)
{
    peft_error error = {0};
    for (int round = 0; round < 50; round++) {
        peft_team *team;
        ck_assert(!peft_team_open(&team, MOST_THREADS, &error));
        peft_team_close(team);
    }
    peft_team_close(NULL);
}
END_TEST

START_TEST(without_memory_there_is_no_team)
{
    for (int64_t call = 0; call < 2; call++) {
        peft_team *team;
        peft_error error = {0};
        fail_allocation(call);
        peft_status status = peft_team_open(&team, 2, &error);
        ck_assert(allocation_failed());
        ck_assert_int_eq(status, PEFT_ERR_MEMORY);
        ck_assert_ptr_null(team);
        ck_assert_str_eq(error.message, "threads: out of memory for 2");
    }
}
END_TEST

TEST_MAIN("team", tcase_add_loop_test(tc, every_piece_runs_once, 1, MOST_THREADS + 1);
          tcase_add_loop_test(tc, slow_loops_and_pauses_are_no_different, 1, 4);
          tcase_add_test(tc, a_team_may_end_at_once); tcase_add_test(tc, without_memory_there_is_no_team))
