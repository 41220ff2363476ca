#include "io/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"

bool peft_same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

bool peft_folder_holds(const char *path, bool (*passed_over)(const char *name))
{
    DIR *folder = opendir(path);
    if (!folder) return false;
    bool found = false;
    for (const struct dirent *entry = readdir(folder); entry && !found; entry = readdir(folder))
        found = !is_dots(entry->d_name) && !(passed_over && passed_over(entry->d_name));
    closedir(folder);
    return found;
}

bool peft_is_temporary(const char *name)
{
    size_t length = strlen(name), begin = strlen(PEFT_TEMPORARY_BEGIN), end = strlen(PEFT_TEMPORARY_END);
    return length > begin + end && strncmp(name, PEFT_TEMPORARY_BEGIN, begin) == 0 &&
           strcmp(name + length - end, PEFT_TEMPORARY_END) == 0;
}

peft_status peft_folder_remove_temporaries(const char *path, peft_error *error)
{
    DIR *folder = opendir(path);
    peft_status status = PEFT_OK;
    if (!folder) return PEFT_OK;
    for (const struct dirent *entry = readdir(folder); entry && status == PEFT_OK; entry = readdir(folder))
        if (peft_is_temporary(entry->d_name) && unlinkat(dirfd(folder), entry->d_name, 0) != 0 && errno != ENOENT)
            status = peft_fail_write(error, errno, path, "remove a temporary file");
    closedir(folder);
    return status;
}

/* ---- may it be written? ---- */

/* Cuts the last component off; "." and "/" are the ends. */
static void go_up(char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    while (length > 0 && path[length - 1] != '/') length--;
    while (length > 1 && path[length - 1] == '/') length--;
    if (length == 0) path[length++] = '.';
    path[length] = '\0';
}

static bool leads_back(const char *missing)
{
    for (const char *at = missing; (at = strstr(at, "..")); at += 2)
        if ((at == missing || at[-1] == '/') && (at[2] == '/' || at[2] == '\0')) return true;
    return false;
}

static peft_status check_existing(const char *path, const char *existing, peft_error *error)
{
    struct stat info;
    int reason = 0;
    if (stat(existing, &info) != 0)
        reason = errno;
    else if (!S_ISDIR(info.st_mode))
        reason = ENOTDIR;
    else if (access(existing, W_OK | X_OK) != 0)
        reason = errno;
    if (!reason) return PEFT_OK;
    return peft_fail_write(error, reason, path, "write into this folder");
}

peft_status peft_folder_check_writable(const char *path, peft_error *error)
{
    struct stat info;
    char *existing = strdup(*path ? path : ".");
    if (!existing) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    size_t known = strlen(existing);
    /* lstat: a link that leads nowhere is there, and no folder can be made in its place. */
    while (lstat(existing, &info) != 0 && errno == ENOENT && strcmp(existing, ".") != 0) {
        go_up(existing);
        known = strlen(existing);
    }
    peft_status status;
    if (known < strlen(path) && leads_back(path + (strcmp(existing, ".") == 0 ? 0 : known)))
        status = peft_fail(error, PEFT_ERR_ARGUMENT, "%s: leads back (..) through a folder that is not there", path);
    else
        status = check_existing(path, existing, error);
    free(existing);
    return status;
}

/* ---- locks ---- */

struct peft_lock {
    int descriptor;
    char *path;
};

static bool has_no_locks(int reason)
{
    return reason == EOPNOTSUPP || reason == ENOLCK || reason == ENOSYS;
}

/* Is the locked file still the one of this name? Its last holder may have removed it between our opening and locking.
 */
static bool still_there(const peft_lock *lock)
{
    struct stat held, named;
    return fstat(lock->descriptor, &held) == 0 && stat(lock->path, &named) == 0 && held.st_dev == named.st_dev &&
           held.st_ino == named.st_ino;
}

/* 0, or an errno. */
static int take(peft_lock *lock)
{
    for (;;) {
        lock->descriptor = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (lock->descriptor < 0) return errno;
        int reason = flock(lock->descriptor, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
        if (!reason && still_there(lock)) return 0;
        close(lock->descriptor);
        lock->descriptor = -1;
        if (reason) return reason;
    }
}

static void free_lock(peft_lock *lock)
{
    free(lock->path);
    free(lock);
}

peft_status peft_folder_lock(const char *path, peft_lock **lock, peft_error *error)
{
    *lock = NULL;
    peft_lock *made = calloc(1, sizeof *made);
    if (!made) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    peft_status status = peft_path_join(path, PEFT_LOCK_NAME, &made->path, error);
    int reason = status == PEFT_OK ? take(made) : 0;
    if (status == PEFT_OK && !reason) {
        *lock = made;
        return PEFT_OK;
    }
    if (reason == EWOULDBLOCK)
        status = peft_fail(error, PEFT_ERR_WRITE, "%s: another process is at work in this folder", path);
    else if (reason && !has_no_locks(reason))
        status = peft_fail_write(error, reason, made->path, "create this file");
    free_lock(made);
    return status;
}

void peft_lock_release(peft_lock *lock)
{
    if (!lock) return;
    unlink(lock->path);
    close(lock->descriptor);
    free_lock(lock);
}
