#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

_Static_assert(sizeof(size_t) >= sizeof(off_t), "a file may be larger than what can be mapped");

static peft_status fail_system(peft_error *error, int reason, const char *path, const char *action)
{
    char buffer[128];
    return peft_fail(error, reason == ENOMEM ? PEFT_ERR_MEMORY : PEFT_ERR_FILE, "%s: cannot %s: %s", path, action,
                     strerror_r(reason, buffer, sizeof buffer));
}

peft_status peft_fail_write(peft_error *error, int reason, const char *path, const char *action)
{
    char buffer[128];
    bool no_space = reason == ENOSPC || reason == EDQUOT || reason == EFBIG;
    return peft_fail(error, reason == ENOMEM ? PEFT_ERR_MEMORY : PEFT_ERR_WRITE, "%s: cannot %s%s: %s", path, action,
                     no_space ? ", there is no space for it" : "", strerror_r(reason, buffer, sizeof buffer));
}

/* ---- reading ---- */

static const char *file_kind(mode_t mode)
{
    return S_ISDIR(mode) ? "a folder" : "a device, pipe or socket";
}

static peft_status map_descriptor(int descriptor, const char *path, peft_mapped_file *file, peft_error *error)
{
    struct stat info;
    if (fstat(descriptor, &info)) return fail_system(error, errno, path, "read its size");
    if (!S_ISREG(info.st_mode))
        return peft_fail(error, PEFT_ERR_FILE, "%s: expected a file, found %s", path, file_kind(info.st_mode));
    if (info.st_size == 0) {
        file->data = "";
        return PEFT_OK;
    }
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (data == MAP_FAILED) return fail_system(error, errno, path, "map it into memory");
    *file = (peft_mapped_file){data, (size_t)info.st_size};
    return PEFT_OK;
}

peft_status peft_file_map(const char *path, peft_mapped_file *file, peft_error *error)
{
    *file = (peft_mapped_file){0};
    /* Without O_NONBLOCK, opening a pipe would wait for its other end. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return fail_system(error, errno, path, "open");
    peft_status status = map_descriptor(descriptor, path, file, error);
    close(descriptor);
    return status;
}

void peft_file_unmap(peft_mapped_file *file)
{
    if (file->bytes) munmap((void *)(uintptr_t)file->data, file->bytes);
    *file = (peft_mapped_file){0};
}

void peft_file_release(const peft_mapped_file *file)
{
    if (file->bytes) madvise((void *)(uintptr_t)file->data, file->bytes, MADV_DONTNEED);
}

bool peft_file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* Piece by piece, whose pages are given back: a model's file is as large as what a run may need. */
static void hash_file(const peft_mapped_file *file, XXH3_state_t *state)
{
    const size_t most = (size_t)1 << 22;
    for (size_t at = 0; at < file->bytes; at += most) {
        peft_mapped_file piece = {(const char *)file->data + at, file->bytes - at < most ? file->bytes - at : most};
        XXH3_128bits_update(state, piece.data, piece.bytes);
        peft_file_release(&piece);
    }
}

peft_status peft_file_fingerprint(const char *path, char text[PEFT_FINGERPRINT_TEXT], peft_error *error)
{
    text[0] = '\0';
    peft_mapped_file file;
    peft_status status = peft_file_map(path, &file, error);
    if (status) return status;
    XXH3_state_t *state = XXH3_createState();
    if (state) {
        XXH3_128bits_reset(state);
        hash_file(&file, state);
        XXH128_canonical_t hash;
        XXH128_canonicalFromHash(&hash, XXH3_128bits_digest(state));
        for (size_t i = 0; i < sizeof hash.digest; i++) snprintf(text + 2 * i, 3, "%02x", hash.digest[i]);
    } else {
        status = peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory for its fingerprint", path);
    }
    XXH3_freeState(state);
    peft_file_unmap(&file);
    return status;
}

/* ---- paths ---- */

peft_status peft_path_join(const char *folder, const char *name, char **path, peft_error *error)
{
    size_t length = strlen(folder);
    const char *separator = length == 0 || folder[length - 1] == '/' ? "" : "/";
    size_t size = length + 1 + strlen(name) + 1;
    *path = malloc(size);
    if (!*path) return peft_fail(error, PEFT_ERR_MEMORY, "%s/%s: out of memory", folder, name);
    snprintf(*path, size, "%s%s%s", folder, separator, name);
    return PEFT_OK;
}

static peft_status make_directory(const char *path, peft_error *error)
{
    if (mkdir(path, 0777) == 0) return PEFT_OK;
    int reason = errno;
    struct stat info;
    if (reason == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return PEFT_OK;
    return peft_fail_write(error, reason, path, "create this folder");
}

peft_status peft_make_directories(const char *path, peft_error *error)
{
    char *prefix;
    peft_status status = peft_path_join("", path, &prefix, error);
    if (status) return status;
    for (size_t end = 1, length = strlen(path); status == PEFT_OK && end < length; end++) {
        if (path[end] != '/') continue;
        prefix[end] = '\0';
        status = make_directory(prefix, error);
        prefix[end] = '/';
    }
    if (status == PEFT_OK) status = make_directory(prefix, error);
    free(prefix);
    return status;
}

/* The part of a path up to its last slash, that included. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* ---- writing ---- */

struct peft_writer {
    FILE *stream;
    int failure; /* errno of the first write that failed, or 0 */
    char *path;
    char *temporary;
};

static const char temporary_name[] = PEFT_TEMPORARY_BEGIN "%ld-%u" PEFT_TEMPORARY_END;
enum { TEMPORARY_NAME_BYTES = 64, TEMPORARY_ATTEMPTS = 1000 };

static void free_writer(peft_writer *writer)
{
    free(writer->path);
    free(writer->temporary);
    free(writer);
}

static peft_writer *new_writer(const char *path)
{
    peft_writer *writer = calloc(1, sizeof *writer);
    if (!writer) return NULL;
    size_t folder = folder_length(path), length = strlen(path);
    writer->path = malloc(length + 1);
    writer->temporary = malloc(folder + TEMPORARY_NAME_BYTES);
    if (!writer->path || !writer->temporary) {
        free_writer(writer);
        return NULL;
    }
    memcpy(writer->path, path, length + 1);
    memcpy(writer->temporary, path, folder);
    return writer;
}

/* O_EXCL makes the name ours even if other threads, or processes of other machines, write into the same folder. mkstemp
 * would make files that only their owner can read. */
static int open_temporary(peft_writer *writer)
{
    char *name = writer->temporary + folder_length(writer->path);
    for (unsigned attempt = 0; attempt < TEMPORARY_ATTEMPTS; attempt++) {
        snprintf(name, TEMPORARY_NAME_BYTES, temporary_name, (long)getpid(), attempt);
        int descriptor = open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor >= 0 || errno != EEXIST) return descriptor;
    }
    return -1;
}

static bool open_stream(peft_writer *writer)
{
    int descriptor = open_temporary(writer);
    if (descriptor < 0) return false;
    writer->stream = fdopen(descriptor, "wb");
    if (writer->stream) return true;
    int reason = errno;
    close(descriptor);
    unlink(writer->temporary);
    errno = reason;
    return false;
}

peft_status peft_writer_open(const char *path, peft_writer **writer, peft_error *error)
{
    *writer = NULL;
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return peft_fail(error, PEFT_ERR_WRITE, "%s: cannot write: it is %s", path, file_kind(info.st_mode));
    peft_writer *opened = new_writer(path);
    if (!opened) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    if (!open_stream(opened)) {
        int reason = errno;
        free_writer(opened);
        return peft_fail_write(error, reason, path, "create a file in this folder");
    }
    *writer = opened;
    return PEFT_OK;
}

peft_status peft_writer_write(peft_writer *writer, const void *data, size_t bytes, peft_error *error)
{
    if (!writer->failure && bytes && fwrite(data, 1, bytes, writer->stream) != bytes) writer->failure = errno;
    return writer->failure ? peft_fail_write(error, writer->failure, writer->path, "write") : PEFT_OK;
}

/* Makes the rename itself durable. A folder that may not be read, or a file system without this call, gives no way to
 * ask for it. */
static bool sync_folder(peft_writer *writer)
{
    writer->temporary[folder_length(writer->path)] = '\0';
    int descriptor = open(*writer->temporary ? writer->temporary : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return errno == EACCES;
    bool synced = fsync(descriptor) == 0 || errno == EINVAL;
    int reason = errno;
    close(descriptor);
    errno = reason;
    return synced;
}

static void close_stream(peft_writer *writer)
{
    if (!writer->failure && (fflush(writer->stream) || fsync(fileno(writer->stream)))) writer->failure = errno;
    if (fclose(writer->stream) && !writer->failure) writer->failure = errno;
    writer->stream = NULL;
}

peft_status peft_writer_commit(peft_writer *writer, peft_error *error)
{
    peft_status status = PEFT_OK;
    close_stream(writer);
    if (!writer->failure && rename(writer->temporary, writer->path)) writer->failure = errno;
    if (writer->failure) {
        status = peft_fail_write(error, writer->failure, writer->path, "write");
        unlink(writer->temporary);
    } else if (!sync_folder(writer)) {
        status = peft_fail_write(error, errno, writer->path, "bring the folder's entry to the disk");
    }
    free_writer(writer);
    return status;
}

void peft_writer_discard(peft_writer *writer)
{
    if (!writer) return;
    fclose(writer->stream);
    unlink(writer->temporary);
    free_writer(writer);
}

peft_status peft_file_write(const char *path, const void *data, size_t bytes, peft_error *error)
{
    peft_writer *writer;
    peft_status status = peft_writer_open(path, &writer, error);
    if (status) return status;
    status = peft_writer_write(writer, data, bytes, error);
    if (status) {
        peft_writer_discard(writer);
        return status;
    }
    return peft_writer_commit(writer, error);
}

peft_status peft_file_copy(const char *from, const char *to, peft_error *error)
{
    peft_mapped_file file;
    peft_status status = peft_file_map(from, &file, error);
    if (status) return status;
    status = peft_file_write(to, file.data, file.bytes, error);
    peft_file_unmap(&file);
    return status;
}

peft_status peft_file_copy_in(const char *from, const char *to, const char *name, peft_error *error)
{
    char *source = NULL, *copy = NULL;
    peft_status status = peft_path_join(from, name, &source, error);
    if (status == PEFT_OK) status = peft_path_join(to, name, &copy, error);
    if (status == PEFT_OK && peft_file_exists(source)) status = peft_file_copy(source, copy, error);
    free(source);
    free(copy);
    return status;
}

peft_status peft_file_exists_in(const char *folder, const char *name, bool *exists, peft_error *error)
{
    char *path;
    *exists = false;
    peft_status status = peft_path_join(folder, name, &path, error);
    if (status) return status;
    *exists = peft_file_exists(path);
    free(path);
    return PEFT_OK;
}
