/* Tests of io/folder.c. */
#include "io/folder.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"

START_TEST(a_place_is_the_same_by_any_path)
{
    char relative[4096];
    ck_assert_int_eq(mkdir(scratch("a"), 0777), 0);
    ck_assert_int_eq(mkdir(scratch("b"), 0777), 0);
    ck_assert_int_eq(symlink(scratch("a"), scratch("link")), 0);
    snprintf(relative, sizeof relative, "%s/../link/.", scratch("b"));
    ck_assert(peft_same_file(scratch("a"), scratch("link")));
    ck_assert(peft_same_file(scratch("a"), relative));
    ck_assert(!peft_same_file(scratch("a"), scratch("b")));
    ck_assert(!peft_same_file(scratch("none"), scratch("none")));
}
END_TEST

START_TEST(temporary_files_are_found_and_removed)
{
    scratch_write(".peft-12-0.tmp", "x", 1);
    ck_assert(!peft_folder_holds(scratch(""), peft_is_temporary));
    ck_assert(peft_folder_holds(scratch(""), NULL));
    scratch_write("kept.tmp", "x", 1);
    scratch_write(".peft-lock", "x", 1);
    ck_assert(peft_folder_holds(scratch(""), peft_is_temporary));
    ck_assert_int_eq(peft_folder_remove_temporaries(scratch(""), NULL), PEFT_OK);
    ck_assert_uint_eq(scratch_count(), 2);
    ck_assert_int_eq(peft_folder_remove_temporaries(scratch("none"), NULL), PEFT_OK);
    ck_assert(!peft_folder_holds(scratch("none"), NULL));
}
END_TEST

static peft_status check(const char *name)
{
    return peft_folder_check_writable(scratch(name), NULL);
}

START_TEST(a_path_that_can_be_made_is_told_from_one_that_cannot)
{
    scratch_write("file", "x", 1);
    ck_assert_int_eq(symlink("nowhere", scratch("dangling")), 0);
    ck_assert_int_eq(check(""), PEFT_OK);
    ck_assert_int_eq(check("new"), PEFT_OK);
    ck_assert_int_eq(check("new/deep//er/"), PEFT_OK);
    ck_assert_int_eq(check("new/..a/b.."), PEFT_OK);
    ck_assert_int_eq(check("file"), PEFT_ERR_WRITE);
    ck_assert_int_eq(check("file/new"), PEFT_ERR_WRITE);
    ck_assert_int_eq(check("dangling"), PEFT_ERR_WRITE);
    ck_assert_int_eq(check("new/../file"), PEFT_ERR_ARGUMENT);
    ck_assert_int_eq(check("new/.."), PEFT_ERR_ARGUMENT);
    ck_assert_int_eq(chdir(scratch("")), 0);
    ck_assert_int_eq(peft_folder_check_writable("here", NULL), PEFT_OK);
    ck_assert_int_eq(peft_folder_check_writable("here/..", NULL), PEFT_ERR_ARGUMENT);
    ck_assert_int_eq(peft_folder_check_writable("..", NULL), PEFT_OK);
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

/* Another process tries to take the lock, and tells what came of it. */
static int in_another_process(bool keep)
{
    int state = 0;
    pid_t child = fork();
    if (child == 0) {
        peft_lock *lock;
        peft_status status = peft_folder_lock(scratch(""), &lock, NULL);
        if (!keep) peft_lock_release(lock);
        _exit((int)status);
    }
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert(WIFEXITED(state));
    return WEXITSTATUS(state);
}

START_TEST(a_lock_has_one_holder_and_ends_with_it)
{
    peft_lock *lock;
    peft_error error;
    ck_assert_int_eq(peft_folder_lock(scratch(""), &lock, &error), PEFT_OK);
    ck_assert_int_eq(in_another_process(false), PEFT_ERR_WRITE);
    ck_assert_int_eq(in_another_process(false), PEFT_ERR_WRITE);
    peft_lock_release(lock);
    ck_assert_uint_eq(scratch_count(), 0);
    ck_assert_int_eq(in_another_process(true), PEFT_OK); /* its file stays, the lock does not */
    ck_assert_uint_eq(scratch_count(), 1);
    ck_assert_int_eq(in_another_process(false), PEFT_OK);
    ck_assert_uint_eq(scratch_count(), 0);
    ck_assert_int_eq(peft_folder_lock(scratch("none"), &lock, &error), PEFT_ERR_WRITE);
    ck_assert_ptr_null(lock);
    peft_lock_release(NULL);
}
END_TEST

START_TEST(running_out_of_memory_is_an_error)
{
    bool failed = true;
    const char *old = scratch(""), *new = scratch("new");
    for (int64_t call = 0; failed; call++) {
        peft_lock *lock = NULL;
        fail_allocation(call);
        peft_status status = peft_folder_check_writable(new, NULL);
        if (status == PEFT_OK) status = peft_folder_lock(old, &lock, NULL);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        peft_lock_release(lock);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("folder");
    tcase_add_checked_fixture(tests, scratch_setup, scratch_teardown);
    tcase_add_test(tests, a_place_is_the_same_by_any_path);
    tcase_add_test(tests, temporary_files_are_found_and_removed);
    tcase_add_test(tests, a_path_that_can_be_made_is_told_from_one_that_cannot);
    tcase_add_test(tests, a_lock_has_one_holder_and_ends_with_it);
    tcase_add_test(tests, running_out_of_memory_is_an_error);
    return run_tests(tests);
}
