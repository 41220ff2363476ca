/* io/folder.h - folders as places to write into: what is there already, and who else is at work in them. */
#ifndef PEFT_IO_FOLDER_H
#define PEFT_IO_FOLDER_H

#include <stdbool.h>

#include "ops/status.h"

/* Do two paths lead to the same file or folder, by whatever links, mounts and dots? False where one is missing. */
bool peft_same_file(const char *a, const char *b);

/* Does the folder hold an entry other than those for which `passed_over` is true (NULL: none)? False where there is no
 * such folder. */
bool peft_folder_holds(const char *path, bool (*passed_over)(const char *name));

/* A temporary file of peft_writer (io/file.h), left by a process that was killed. */
bool peft_is_temporary(const char *name);

/* Removes those. A missing folder has none. */
peft_status peft_folder_remove_temporaries(const char *path, peft_error *error);

/* Could the folder be made, and files in it? Nothing is made. PEFT_ERR_WRITE where a part of the path is a file, may
 * not be written to, or leads back (..) through a folder that is not there. */
peft_status peft_folder_check_writable(const char *path, peft_error *error);

/* A lock on a folder, held by one process at a time. It ends with its process, however that ends; its file is called
 * PEFT_LOCK_NAME and removed on release, so that one which stands there was left by a kill, or is held.
 *
 * PEFT_ERR_WRITE: another process holds it, or the file cannot be made. Where the file system has no locks, *lock is
 * NULL and the call succeeds. */
#define PEFT_LOCK_NAME ".peft-lock"
typedef struct peft_lock peft_lock;
peft_status peft_folder_lock(const char *path, peft_lock **lock, peft_error *error);
void peft_lock_release(peft_lock *lock); /* NULL is allowed */

#endif
