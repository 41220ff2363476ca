#include "peft/run_folder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"

static peft_status remove_file(const char *path, peft_error *error)
{
    if (unlink(path) == 0 || errno == ENOENT) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_FILE, "%s: cannot be removed: %s", path, strerror(errno));
}

static peft_status join_all(peft_run_folder *f, const char *path, peft_error *error)
{
    peft_status status = peft_path_join(path, "run.json", &f->run_json, error);
    if (status == PEFT_OK) status = peft_path_join(path, "log.jsonl", &f->log, error);
    if (status == PEFT_OK) status = peft_path_join(path, "observations.jsonl", &f->observations, error);
    if (status == PEFT_OK) status = peft_path_join(path, "checkpoint", &f->checkpoints, error);
    if (status == PEFT_OK) status = peft_path_join(f->checkpoints, "checkpoint.safetensors", &f->checkpoint, error);
    return status;
}

/* run.json goes first: without it the folder holds no finished run, whatever else a kill leaves. */
static peft_status start_anew(const peft_run_folder *f, peft_error *error)
{
    peft_status status = remove_file(f->run_json, error);
    if (status == PEFT_OK) status = remove_file(f->checkpoint, error);
    if (status == PEFT_OK) status = remove_file(f->observations, error);
    return status == PEFT_OK ? remove_file(f->log, error) : status;
}

peft_status peft_run_folder_open(peft_run_folder *f, const char *path, bool force, bool resume, peft_error *error)
{
    *f = (peft_run_folder){0};
    peft_status status = join_all(f, path, error);
    if (status == PEFT_OK) {
        f->has_checkpoint = peft_file_exists(f->checkpoint);
        f->is_finished = peft_file_exists(f->run_json);
        if ((f->has_checkpoint || f->is_finished || peft_file_exists(f->log)) && !force && !resume)
            status =
                peft_fail(error, PEFT_ERR_ARGUMENT,
                          "%s: holds a run already; give --resume to go on with it or --force to start anew", path);
    }
    if (status != PEFT_OK) peft_run_folder_close(f);
    return status;
}

peft_status peft_run_folder_prepare(peft_run_folder *f, bool resume, peft_error *error)
{
    peft_status status = peft_make_directories(f->checkpoints, error);
    if (status != PEFT_OK || resume) return status;
    f->has_checkpoint = f->is_finished = false;
    return start_anew(f, error);
}

void peft_run_folder_close(peft_run_folder *f)
{
    free(f->run_json);
    free(f->log);
    free(f->observations);
    free(f->checkpoints);
    free(f->checkpoint);
    *f = (peft_run_folder){0};
}
