#include "peft/run_folder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "peft/output_folder.h"
#include "peft/predictions.h"

static peft_status remove_file(const char *path, peft_error *error)
{
    if (unlink(path) == 0 || errno == ENOENT) return PEFT_OK;
    return peft_fail_write(error, errno, path, "remove this file");
}

static peft_status join_all(peft_run_folder *f, const char *path, peft_error *error)
{
    peft_status status = peft_path_join(path, "run.json", &f->run_json, error);
    if (status == PEFT_OK) status = peft_path_join(path, "log.jsonl", &f->log, error);
    if (status == PEFT_OK) status = peft_path_join(path, PEFT_PREDICTIONS_NAME, &f->predictions, error);
    if (status == PEFT_OK) status = peft_path_join(path, "observations.jsonl", &f->observations, error);
    if (status == PEFT_OK) status = peft_path_join(path, "checkpoint", &f->checkpoints, error);
    if (status == PEFT_OK) status = peft_path_join(f->checkpoints, "checkpoint.safetensors", &f->checkpoint, error);
    return status;
}

/* ---- what is there ---- */

/* What may lie there before a run has left anything of its own: `peft compare` writes two files first, and a run may
 * have been killed as it began. */
static bool is_of_a_beginning(const char *name)
{
    static const char *const names[] = {"settings.json", "messages.txt", "checkpoint", PEFT_LOCK_NAME};
    bool found = peft_is_temporary(name);
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) found = found || strcmp(name, names[k]) == 0;
    return found;
}

static bool holds_other_things(const peft_run_folder *f)
{
    return peft_folder_holds(f->place->path, is_of_a_beginning) || peft_folder_holds(f->checkpoints, peft_is_temporary);
}

static peft_status check_new(const peft_run_folder *f, bool is_run, peft_error *error)
{
    if (is_run)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "%s: holds a run already; give --resume to go on with it or --force to start anew",
                         f->place->path);
    if (!holds_other_things(f)) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_ARGUMENT,
                     "%s: exists and holds what is no run of this program; give another --output, or --force to write "
                     "over its files",
                     f->place->path);
}

static peft_status check_resumed(const peft_run_folder *f, bool is_run, peft_error *error)
{
    const char *path = f->place->path;
    if (f->is_finished && !f->has_checkpoint)
        return peft_fail(error, PEFT_ERR_ARGUMENT,
                         "%s: this run has ended, and its checkpoint is gone; --force starts anew", path);
    if (is_run || !holds_other_things(f)) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: --resume: expected a run of this program, found other files", path);
}

static peft_status look(peft_run_folder *f, peft_error *error)
{
    f->has_checkpoint = peft_file_exists(f->checkpoint);
    f->is_finished = peft_file_exists(f->run_json);
    bool is_run = f->has_checkpoint || f->is_finished || peft_file_exists(f->log);
    if (f->place->force) return PEFT_OK;
    return (f->place->resume ? check_resumed : check_new)(f, is_run, error);
}

/* A file to train on that lies in the folder under the name of one that a run replaces. */
static peft_status check_files(const peft_run_folder *f, peft_error *error)
{
    const char *const written[] = {f->run_json, f->log, f->predictions, f->observations, f->checkpoint};
    for (const char *const *source = f->place->sources; *source; source++)
        for (size_t k = 0; k < sizeof written / sizeof *written; k++)
            if (peft_same_file(*source, written[k]))
                return peft_fail(error, PEFT_ERR_ARGUMENT,
                                 "%s: is read from, and would be written over; give another "
                                 "--output",
                                 *source);
    return PEFT_OK;
}

static peft_status check_place(const peft_run_place *place, peft_error *error)
{
    if (place->force && place->resume)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--force and --resume exclude each other");
    return peft_output_folder_check_sources(place->path, place->sources, error);
}

/* Looked at before the lock, so that nothing is touched that is refused, and again under it. */
static peft_status look_and_lock(peft_run_folder *f, peft_error *error)
{
    peft_status status = look(f, error);
    if (status != PEFT_OK || access(f->place->path, F_OK) != 0) return status;
    status = peft_folder_lock(f->place->path, &f->lock, error);
    return status == PEFT_OK ? look(f, error) : status;
}

peft_status peft_run_folder_open(peft_run_folder *f, const peft_run_place *place, peft_error *error)
{
    *f = (peft_run_folder){.place = place};
    peft_status status = check_place(place, error);
    if (status == PEFT_OK) status = join_all(f, place->path, error);
    if (status == PEFT_OK) status = check_files(f, error);
    if (status == PEFT_OK) status = look_and_lock(f, error);
    if (status != PEFT_OK) peft_run_folder_close(f);
    return status;
}

/* ---- the start ---- */

/* run.json goes first: without it the folder holds no finished run, whatever else a kill leaves. */
static peft_status start_anew(peft_run_folder *f, peft_error *error)
{
    peft_status status = remove_file(f->run_json, error);
    if (status == PEFT_OK) status = remove_file(f->checkpoint, error);
    if (status == PEFT_OK) status = remove_file(f->predictions, error);
    if (status == PEFT_OK) status = remove_file(f->observations, error);
    if (status == PEFT_OK) status = remove_file(f->log, error);
    f->has_checkpoint = f->is_finished = false;
    return status;
}

peft_status peft_run_folder_prepare(peft_run_folder *f, peft_error *error)
{
    peft_status status = peft_output_folder_prepare(f->place->path, error);
    if (status == PEFT_OK && !f->lock) status = look_and_lock(f, error);
    if (status == PEFT_OK) status = peft_output_folder_prepare(f->checkpoints, error);
    return status == PEFT_OK && !f->place->resume ? start_anew(f, error) : status;
}

void peft_run_folder_close(peft_run_folder *f)
{
    peft_lock_release(f->lock);
    free(f->run_json);
    free(f->log);
    free(f->predictions);
    free(f->observations);
    free(f->checkpoints);
    free(f->checkpoint);
    *f = (peft_run_folder){0};
}
