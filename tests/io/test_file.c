/* Tests of io/file.c: reading maps exactly what is there, and a write happens as a whole or not at all. */
#include "io/file.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/io/scratch.h"
#include "tests/support/failing_alloc.h"

static const char old[] = "the old content", new[] = "new";
static peft_error error;

static const char *old_file(void)
{
    return scratch_write("file", old, sizeof old);
}

/* The call failed with this status, and its message names the path and these words. */
static void expect_failure(peft_status found, peft_status status, const char *path, const char *words)
{
    ck_assert_int_eq(found, status);
    ck_assert_int_eq(error.status, status);
    ck_assert_msg(strstr(error.message, path) && strstr(error.message, words), "'%s' lacks '%s' or '%s'", error.message,
                  path, words);
}

START_TEST(mapping_shows_the_bytes_of_the_file)
{
    peft_mapped_file file;
    ck_assert_int_eq(peft_file_map(old_file(), &file, &error), PEFT_OK);
    ck_assert_uint_eq(file.bytes, sizeof old);
    ck_assert_mem_eq(file.data, old, sizeof old);
    peft_file_unmap(&file);
    ck_assert_ptr_null(file.data);
    peft_file_unmap(&file);
}
END_TEST

START_TEST(an_empty_file_maps_to_no_bytes)
{
    peft_mapped_file file;
    ck_assert_int_eq(peft_file_map(scratch_write("empty", "", 0), &file, &error), PEFT_OK);
    ck_assert_uint_eq(file.bytes, 0);
    ck_assert_ptr_nonnull(file.data);
    peft_file_unmap(&file);
}
END_TEST

START_TEST(only_readable_files_are_mapped)
{
    peft_mapped_file file;
    const char *missing = scratch("missing"), *pipe = scratch("pipe"), *secret = scratch_write("secret", old, 3);
    ck_assert_int_eq(mkfifo(pipe, 0600), 0);
    ck_assert_int_eq(chmod(secret, 0), 0);
    expect_failure(peft_file_map(missing, &file, &error), PEFT_ERR_FILE, missing, "No such file");
    expect_failure(peft_file_map(scratch(""), &file, &error), PEFT_ERR_FILE, scratch(""), "found a folder");
    expect_failure(peft_file_map(pipe, &file, &error), PEFT_ERR_FILE, pipe, "found a device, pipe");
    if (geteuid() != 0)
        expect_failure(peft_file_map(secret, &file, &error), PEFT_ERR_FILE, secret, "Permission denied");
    ck_assert_ptr_null(file.data);
    ck_assert_int_eq(peft_file_map(missing, &file, NULL), PEFT_ERR_FILE);
}
END_TEST

START_TEST(exists_means_an_ordinary_file)
{
    ck_assert(peft_file_exists(old_file()));
    ck_assert(!peft_file_exists(scratch("missing")));
    ck_assert(!peft_file_exists(scratch("")));
}
END_TEST

/* The first value is the one that the authors of xxHash publish for no input. */
START_TEST(fingerprint_is_xxh3_of_128_bits)
{
    char empty[PEFT_FINGERPRINT_TEXT], text[PEFT_FINGERPRINT_TEXT], again[PEFT_FINGERPRINT_TEXT];
    ck_assert_int_eq(peft_file_fingerprint(scratch_write("empty", "", 0), empty, &error), PEFT_OK);
    ck_assert_str_eq(empty, "99aa06d3014798d86001c324468d497f");
    ck_assert_int_eq(peft_file_fingerprint(old_file(), text, &error), PEFT_OK);
    ck_assert_int_eq(peft_file_fingerprint(scratch_write("copy", old, sizeof old), again, &error), PEFT_OK);
    ck_assert_str_eq(text, again);
    ck_assert_int_eq(peft_file_fingerprint(scratch_write("copy", old, sizeof old - 1), again, &error), PEFT_OK);
    ck_assert_str_ne(text, again);
    ck_assert_int_eq(peft_file_fingerprint(scratch("missing"), text, &error), PEFT_ERR_FILE);
    ck_assert_str_eq(text, "");
}
END_TEST

/* Larger than the pieces it is read in; the value is that of xxh128sum. */
START_TEST(fingerprint_of_a_large_file)
{
    enum { SIZE = (9 << 20) + 3 };
    char *bytes = malloc(SIZE), text[PEFT_FINGERPRINT_TEXT];
    ck_assert_ptr_nonnull(bytes);
    for (int k = 0; k < SIZE; k++) bytes[k] = (char)(k % 251);
    ck_assert_int_eq(peft_file_fingerprint(scratch_write("large", bytes, SIZE), text, &error), PEFT_OK);
    ck_assert_str_eq(text, "06887483ed505b99733a7a958627263e");
    free(bytes);
}
END_TEST

static const struct {
    const char *folder, *name, *path;
} joins[] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}, {"", "b", "b"}, {".", "b", "./b"}};

START_TEST(join_puts_one_slash_between)
{
    char *path;
    ck_assert_int_eq(peft_path_join(joins[_i].folder, joins[_i].name, &path, &error), PEFT_OK);
    ck_assert_str_eq(path, joins[_i].path);
    free(path);
}
END_TEST

START_TEST(directories_are_made_with_their_parents)
{
    struct stat info;
    ck_assert_int_eq(peft_make_directories(scratch("a//b/c/"), &error), PEFT_OK);
    ck_assert_int_eq(peft_make_directories(scratch("a/b/c"), &error), PEFT_OK);
    ck_assert(stat(scratch("a/b/c"), &info) == 0 && S_ISDIR(info.st_mode));
    const char *file = old_file(), *below = scratch("file/below");
    expect_failure(peft_make_directories(file, &error), PEFT_ERR_WRITE, file, "cannot create this folder: File exists");
    expect_failure(peft_make_directories(below, &error), PEFT_ERR_WRITE, file,
                   "cannot create this folder: File exists");
    ck_assert_int_eq(peft_make_directories("", &error), PEFT_ERR_WRITE);
}
END_TEST

START_TEST(a_write_replaces_the_file_and_leaves_nothing_else)
{
    const char *path = old_file();
    ck_assert_int_eq(peft_file_write(path, new, sizeof new, &error), PEFT_OK);
    ck_assert(holds(path, new, sizeof new));
    ck_assert_int_eq(peft_file_write(path, NULL, 0, &error), PEFT_OK);
    ck_assert(holds(path, "", 0));
    ck_assert_uint_eq(scratch_count(), 1);
}
END_TEST

START_TEST(a_written_file_has_the_usual_permissions)
{
    struct stat info;
    mode_t mask = umask(027);
    ck_assert_int_eq(peft_file_write(scratch("file"), new, sizeof new, &error), PEFT_OK);
    umask(mask);
    ck_assert_int_eq(stat(scratch("file"), &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0640);
}
END_TEST

START_TEST(a_name_of_the_longest_length_can_be_written)
{
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    ck_assert_int_eq(peft_file_write(scratch(name), new, sizeof new, &error), PEFT_OK);
    ck_assert(holds(scratch(name), new, sizeof new));
}
END_TEST

START_TEST(before_commit_the_old_file_is_there)
{
    peft_writer *writer;
    const char *path = old_file();
    ck_assert_int_eq(peft_writer_open(path, &writer, &error), PEFT_OK);
    ck_assert_int_eq(peft_writer_write(writer, new, sizeof new, &error), PEFT_OK);
    ck_assert(holds(path, old, sizeof old));
    peft_writer_discard(writer);
    peft_writer_discard(NULL);
    ck_assert(holds(path, old, sizeof old));
    ck_assert_uint_eq(scratch_count(), 1);
}
END_TEST

START_TEST(of_two_writers_the_last_commit_wins)
{
    peft_writer *first, *second;
    const char *path = scratch("file");
    ck_assert_int_eq(peft_writer_open(path, &first, &error), PEFT_OK);
    ck_assert_int_eq(peft_writer_open(path, &second, &error), PEFT_OK);
    ck_assert_int_eq(peft_writer_write(first, old, sizeof old, &error), PEFT_OK);
    ck_assert_int_eq(peft_writer_write(second, new, sizeof new, &error), PEFT_OK);
    ck_assert_int_eq(peft_writer_commit(second, &error), PEFT_OK);
    ck_assert(holds(path, new, sizeof new));
    ck_assert_int_eq(peft_writer_commit(first, &error), PEFT_OK);
    ck_assert(holds(path, old, sizeof old));
    ck_assert_uint_eq(scratch_count(), 1);
}
END_TEST

/* Stands for a full disk: files of this process may not grow beyond `bytes`. */
static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    signal(SIGXFSZ, SIG_IGN);
}

/* A size below that of the stream's buffer fails at commit, one above it at a write. */
START_TEST(when_the_disk_is_full_the_old_file_stays)
{
    const char *path = old_file();
    size_t bytes = _i ? 1 << 20 : 2000;
    char *data = calloc(bytes, 1);
    limit_file_size(1000);
    peft_status status = peft_file_write(path, data, bytes, &error);
    limit_file_size(RLIM_INFINITY);
    free(data);
    expect_failure(status, PEFT_ERR_WRITE, path, "cannot write, there is no space for it: File too large");
    ck_assert(holds(path, old, sizeof old));
    ck_assert_uint_eq(scratch_count(), 1);
}
END_TEST

START_TEST(commit_fails_after_a_failed_write)
{
    static const char zeros[1 << 16];
    peft_writer *writer;
    const char *path = old_file();
    ck_assert_int_eq(peft_writer_open(path, &writer, &error), PEFT_OK);
    limit_file_size(1000);
    ck_assert_int_eq(peft_writer_write(writer, zeros, sizeof zeros, &error), PEFT_ERR_WRITE);
    limit_file_size(RLIM_INFINITY);
    ck_assert_int_eq(peft_writer_write(writer, new, sizeof new, &error), PEFT_ERR_WRITE);
    expect_failure(peft_writer_commit(writer, &error), PEFT_ERR_WRITE, path, "File too large");
    ck_assert(holds(path, old, sizeof old));
    ck_assert_uint_eq(scratch_count(), 1);
}
END_TEST

START_TEST(folders_and_devices_are_not_replaced)
{
    peft_writer *writer;
    const char *missing = scratch("missing/file");
    expect_failure(peft_writer_open(scratch(""), &writer, &error), PEFT_ERR_WRITE, scratch(""), "it is a folder");
    expect_failure(peft_writer_open("/dev/null", &writer, &error), PEFT_ERR_WRITE, "/dev/null", "it is a device");
    expect_failure(peft_writer_open(missing, &writer, &error), PEFT_ERR_WRITE, missing, "No such file or directory");
    ck_assert_ptr_null(writer);
}
END_TEST

START_TEST(a_link_is_replaced_and_its_target_stays)
{
    const char *target = old_file(), *link = scratch("link");
    ck_assert_int_eq(symlink(target, link), 0);
    ck_assert_int_eq(peft_file_write(link, new, sizeof new, &error), PEFT_OK);
    ck_assert(holds(link, new, sizeof new));
    ck_assert(holds(target, old, sizeof old));
}
END_TEST

START_TEST(running_out_of_memory_leaves_the_old_file)
{
    const char *path = old_file();
    bool failed = true;
    for (int64_t call = 0; failed; call++) {
        ck_assert(holds(path, old, sizeof old));
        fail_allocation(call);
        peft_status status = peft_file_write(path, new, sizeof new, &error);
        failed = allocation_failed();
        ck_assert_int_eq(status, failed ? PEFT_ERR_MEMORY : PEFT_OK);
        ck_assert_uint_eq(scratch_count(), 1);
    }
    ck_assert(holds(path, new, sizeof new));
}
END_TEST

START_TEST(a_copy_of_what_is_not_there_is_nothing)
{
    ck_assert_int_eq(peft_make_directories(scratch("from"), &error), PEFT_OK);
    ck_assert_int_eq(peft_make_directories(scratch("to"), &error), PEFT_OK);
    scratch_write("from/a", "bytes", 5);
    ck_assert_int_eq(peft_file_copy_in(scratch("from"), scratch("to"), "a", &error), PEFT_OK);
    ck_assert_int_eq(peft_file_copy_in(scratch("from"), scratch("to"), "b", &error), PEFT_OK);
    ck_assert(holds(scratch("to/a"), "bytes", 5));
    ck_assert(!peft_file_exists(scratch("to/b")));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("file");
    tcase_add_checked_fixture(tests, scratch_setup, scratch_teardown);
    tcase_add_test(tests, mapping_shows_the_bytes_of_the_file);
    tcase_add_test(tests, an_empty_file_maps_to_no_bytes);
    tcase_add_test(tests, only_readable_files_are_mapped);
    tcase_add_test(tests, exists_means_an_ordinary_file);
    tcase_add_test(tests, fingerprint_is_xxh3_of_128_bits);
    tcase_add_test(tests, fingerprint_of_a_large_file);
    tcase_add_loop_test(tests, join_puts_one_slash_between, 0, sizeof joins / sizeof joins[0]);
    tcase_add_test(tests, directories_are_made_with_their_parents);
    tcase_add_test(tests, a_write_replaces_the_file_and_leaves_nothing_else);
    tcase_add_test(tests, a_written_file_has_the_usual_permissions);
    tcase_add_test(tests, a_name_of_the_longest_length_can_be_written);
    tcase_add_test(tests, before_commit_the_old_file_is_there);
    tcase_add_test(tests, of_two_writers_the_last_commit_wins);
    tcase_add_loop_test(tests, when_the_disk_is_full_the_old_file_stays, 0, 2);
    tcase_add_test(tests, commit_fails_after_a_failed_write);
    tcase_add_test(tests, folders_and_devices_are_not_replaced);
    tcase_add_test(tests, a_link_is_replaced_and_its_target_stays);
    tcase_add_test(tests, running_out_of_memory_leaves_the_old_file);
    tcase_add_test(tests, a_copy_of_what_is_not_there_is_nothing);
    return run_tests(tests);
}
