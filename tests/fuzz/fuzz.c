#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"

size_t fuzz_accepted;

/* ---- parts ---- */

void fuzz_split(const uint8_t *data, size_t size, fuzz_bytes *parts, size_t count)
{
    static const char between[] = "\n%%\n";
    const size_t length = sizeof between - 1;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *end = data && i + 1 < count ? memmem(data, size, between, length) : NULL;
        parts[i] = (fuzz_bytes){data, end ? (size_t)(end - data) : size};
        size = end ? size - parts[i].size - length : 0;
        data = end ? end + length : NULL;
    }
}

/* ---- files ---- */

static char folder[64];

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

static void remove_folder(void)
{
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* In memory, where the system has such a place. */
static void make_folder(void)
{
    const char *parent = getenv("TMPDIR");
    if (!parent) parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    FUZZ_CHECK(snprintf(folder, sizeof folder, "%s/peft-fuzz-XXXXXX", parent) < (int)sizeof folder);
    FUZZ_CHECK(mkdtemp(folder) != NULL);
    atexit(remove_folder);
}

static char *next_path(void)
{
    static char paths[8][512];
    static size_t next;
    return paths[next++ % (sizeof paths / sizeof paths[0])];
}

const char *fuzz_path(const char *name)
{
    if (!*folder) make_folder();
    char *path = next_path();
    FUZZ_CHECK(snprintf(path, sizeof(char[512]), "%s/%s", folder, name) < 512);
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        FUZZ_CHECK(mkdir(path, 0700) == 0 || errno == EEXIST);
    }
    return path;
}

const char *fuzz_fixture(const char *name)
{
    const char *fixtures = getenv("PEFT_FIXTURES");
    char *path = next_path();
    FUZZ_CHECK(snprintf(path, sizeof(char[512]), "%s/%s", fixtures ? fixtures : "tests/fixtures", name) < 512);
    return path;
}

static void write_all(int file, const void *data, size_t size)
{
    FUZZ_CHECK(write(file, data, size) == (ssize_t)size);
}

static int create(const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FUZZ_CHECK(file >= 0);
    return file;
}

const char *fuzz_write(const char *name, fuzz_bytes bytes)
{
    const char *path = fuzz_path(name);
    if (!bytes.data) {
        FUZZ_CHECK(unlink(path) == 0 || errno == ENOENT);
        return path;
    }
    int file = create(path);
    write_all(file, bytes.data, bytes.size);
    close(file);
    return path;
}

const char *fuzz_write_safetensors(const char *name, fuzz_bytes header, fuzz_bytes data)
{
    if (!header.data) return fuzz_write(name, header);
    const char *path = fuzz_path(name);
    int file = create(path);
    uint8_t length[8];
    for (size_t i = 0; i < sizeof length; i++) length[i] = (uint8_t)((uint64_t)header.size >> 8 * i);
    write_all(file, length, sizeof length);
    write_all(file, header.data, header.size);
    if (data.data) write_all(file, data.data, data.size);
    close(file);
    return path;
}

/* ---- mapped files ---- */

/* A file that is mapped ends at the end of a page, so that no sanitizer sees a read behind it. Harnesses are linked
 * with these (--wrap): the file lies in memory of exactly its size. */
peft_status __real_peft_file_map(const char *path, peft_mapped_file *file, peft_error *error);
void __real_peft_file_unmap(peft_mapped_file *file);
peft_status __wrap_peft_file_map(const char *path, peft_mapped_file *file, peft_error *error);
void __wrap_peft_file_unmap(peft_mapped_file *file);
void __wrap_peft_file_release(const peft_mapped_file *file);

peft_status __wrap_peft_file_map(const char *path, peft_mapped_file *file, peft_error *error)
{
    peft_mapped_file mapped;
    *file = (peft_mapped_file){0};
    peft_status status = __real_peft_file_map(path, &mapped, error);
    if (status) return status;
    void *copy = malloc(mapped.bytes + !mapped.bytes);
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, mapped.data, mapped.bytes);
    *file = (peft_mapped_file){copy, mapped.bytes};
    __real_peft_file_unmap(&mapped);
    return PEFT_OK;
}

void __wrap_peft_file_unmap(peft_mapped_file *file)
{
    free((void *)(uintptr_t)file->data);
    *file = (peft_mapped_file){0};
}

void __wrap_peft_file_release(const peft_mapped_file *file)
{
    (void)file;
}
