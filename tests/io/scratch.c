#include "tests/io/scratch.h"

#include <dirent.h>
#include <ftw.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/failing_alloc.h"

void *__real_malloc(size_t bytes); /* the linker's name for malloc itself */

enum { MAX_PATHS = 4096, PATH_BYTES = 512 };

static char folder[64];
static char (*paths)[PATH_BYTES];
static size_t num_paths;

void scratch_setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/peft-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    paths = calloc(MAX_PATHS, sizeof *paths);
    ck_assert_ptr_nonnull(paths);
    num_paths = 0;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

void scratch_teardown(void)
{
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(paths);
}

const char *scratch(const char *name)
{
    ck_assert_uint_lt(num_paths, MAX_PATHS);
    char *path = paths[num_paths++];
    snprintf(path, PATH_BYTES, "%s/%s", folder, name);
    return path;
}

const char *scratch_write(const char *name, const void *data, size_t bytes)
{
    const char *path = scratch(name);
    FILE *stream = fopen(path, "wb");
    ck_assert_ptr_nonnull(stream);
    ck_assert_uint_eq(fwrite(data, 1, bytes, stream), bytes);
    ck_assert_int_eq(fclose(stream), 0);
    return path;
}

bool holds(const char *path, const void *data, size_t bytes)
{
    FILE *stream = fopen(path, "rb");
    if (!stream) return false;
    char *found = malloc(bytes + 1);
    size_t count = found ? fread(found, 1, bytes + 1, stream) : 0;
    bool same = found && count == bytes && memcmp(found, data, bytes) == 0;
    free(found);
    fclose(stream);
    return same;
}

size_t scratch_count(void)
{
    size_t count = 0;
    DIR *listing = opendir(folder);
    ck_assert_ptr_nonnull(listing);
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(listing);
    return count;
}

void fail_own_allocation(int64_t call)
{
    fail_allocation(call);
    json_set_alloc_funcs(__real_malloc, free);
}

int run_tests(TCase *tests)
{
    Suite *suite = suite_create("io");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failures = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failures != 0;
}
