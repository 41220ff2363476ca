/* io/file.h - whole files: mapped for reading, replaced at once when written.
 *
 * Every error names the path and the reason ("model.safetensors: cannot open: Permission denied"). */
#ifndef PEFT_IO_FILE_H
#define PEFT_IO_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "ops/status.h"

/* The bytes of a file, read-only. Never NULL while mapped, also where the file is empty. Another program that cuts the
 * file short while it is mapped ends this one with SIGBUS; replacing it by rename, as peft_writer does, is harmless. */
typedef struct peft_mapped_file {
    const void *data;
    size_t bytes;
} peft_mapped_file;

/* Maps an ordinary file. PEFT_ERR_FILE where it is missing, unreadable, a folder or a device. Release with
 * peft_file_unmap, which takes a zeroed struct too. */
peft_status peft_file_map(const char *path, peft_mapped_file *file, peft_error *error);
void peft_file_unmap(peft_mapped_file *file);

/* Gives the memory of the file's pages back to the system; they are read again where somebody looks. */
void peft_file_release(const peft_mapped_file *file);

/* Is there an ordinary file of this name (links are followed)? */
bool peft_file_exists(const char *path);
/* The same for a name in a folder. */
peft_status peft_file_exists_in(const char *folder, const char *name, bool *exists, peft_error *error);

/* XXH3 (128 bits) of the content as lower-case hexadecimal text, the same as `xxhsum -H2` prints. */
enum { PEFT_FINGERPRINT_TEXT = 33 };
peft_status peft_file_fingerprint(const char *path, char text[PEFT_FINGERPRINT_TEXT], peft_error *error);

/* "folder/name" in memory of its own (free); an empty folder gives the name alone. */
peft_status peft_path_join(const char *folder, const char *name, char **path, peft_error *error);

/* Creates a folder and those above it, as `mkdir -p`; existing ones are left as they are. */
peft_status peft_make_directories(const char *path, peft_error *error);

/* PEFT_ERR_WRITE with the system's reason (an errno): "run/log.jsonl: cannot write, there is no space for it: No space
 * left on device"; PEFT_ERR_MEMORY for ENOMEM. All writing fails like this. */
peft_status peft_fail_write(peft_error *error, int reason, const char *path, const char *action);

/* An atomic write. Bytes go to a temporary file ".peft-*.tmp" beside `path`; commit brings them to the disk and then
 * renames, so that after a full disk, a crash or a kill `path` holds either what it held before or all of the new
 * content. A symbolic link at `path` is replaced, not followed. Devices and folders are refused. */
typedef struct peft_writer peft_writer;

#define PEFT_TEMPORARY_BEGIN ".peft-"
#define PEFT_TEMPORARY_END   ".tmp"

peft_status peft_writer_open(const char *path, peft_writer **writer, peft_error *error);
peft_status peft_writer_write(peft_writer *writer, const void *data, size_t bytes, peft_error *error);

/* Ends the writer, whatever it returns. A write that failed before makes it fail. */
peft_status peft_writer_commit(peft_writer *writer, peft_error *error);

/* Ends the writer and removes the temporary file; `path` stays as it was. NULL is allowed. */
void peft_writer_discard(peft_writer *writer);

/* The whole buffer at once, atomically; and a copy of another file, likewise. */
peft_status peft_file_write(const char *path, const void *data, size_t bytes, peft_error *error);
peft_status peft_file_copy(const char *from, const char *to, peft_error *error);

/* Copies a file of this name from one folder to another; where it is not there, nothing is done. */
peft_status peft_file_copy_in(const char *from, const char *to, const char *name, peft_error *error);

#endif
