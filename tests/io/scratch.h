/* tests/io/scratch.h - a folder of its own for each test that writes files. */
#ifndef PEFT_TESTS_IO_SCRATCH_H
#define PEFT_TESTS_IO_SCRATCH_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fixture of a Check test case: makes the folder, removes it with all that is in it. */
void scratch_setup(void);
void scratch_teardown(void);

/* The path of `name` in the folder ("" for the folder itself); the memory lasts until teardown. */
const char *scratch(const char *name);

/* Writes a file there and returns its path. */
const char *scratch_write(const char *name, const void *data, size_t bytes);

/* Is the content of `path` these bytes? */
bool holds(const char *path, const void *data, size_t bytes);

/* Entries in the folder. */
size_t scratch_count(void);

/* As fail_allocation (tests/support/failing_alloc.h), but jansson's allocations succeed. Where one of those fails,
 * jansson 2.14 may call the text malformed, or overlook it (its lexer then loses a character), so that a reader of JSON
 * can be held to PEFT_ERR_MEMORY only for its own. */
void fail_own_allocation(int64_t call);

/* Runs the test case; the exit status of the test program. */
int run_tests(TCase *tests);

#endif
