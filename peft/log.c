#include "peft/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct peft_log {
    FILE *file;
    char *path;
};

static peft_status failed(const peft_log *log, peft_error *error)
{
    return peft_fail(error, PEFT_ERR_FILE, "%s: cannot be written: %s", log->path, strerror(errno));
}

/* Bytes of the whole lines about steps up to `step`. A line that a kill cut short is no line. */
static long useful_bytes(FILE *file, int64_t step)
{
    char *line = NULL;
    size_t capacity = 0;
    long useful = 0;
    ssize_t length;
    while ((length = getline(&line, &capacity, file)) > 0) {
        json_t *object = line[length - 1] == '\n' ? json_loads(line, 0, NULL) : NULL;
        const json_t *number = json_object_get(object, "step");
        bool keep = json_is_integer(number) && json_integer_value(number) <= step;
        json_decref(object);
        if (!keep) break;
        useful = ftell(file);
    }
    free(line);
    return useful;
}

peft_status peft_log_open(peft_log **log, const char *path, int64_t step, peft_error *error)
{
    *log = NULL;
    peft_log *made = calloc(1, sizeof *made);
    if (!made || !(made->path = strdup(path))) {
        free(made);
        return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    }
    made->file = fopen(path, "a+e");
    bool ready = made->file && fseek(made->file, 0, SEEK_SET) == 0 &&
                 ftruncate(fileno(made->file), useful_bytes(made->file, step)) == 0 &&
                 fseek(made->file, 0, SEEK_END) == 0;
    if (!ready) {
        peft_status status = failed(made, error);
        peft_log_close(made);
        return status;
    }
    *log = made;
    return PEFT_OK;
}

peft_status peft_log_write(peft_log *log, json_t *line, peft_error *error)
{
    if (!line) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", log->path);
    bool written = json_dumpf(line, log->file, JSON_COMPACT | JSON_REAL_PRECISION(9)) == 0 &&
                   fputc('\n', log->file) != EOF && fflush(log->file) == 0;
    json_decref(line);
    return written ? PEFT_OK : failed(log, error);
}

void peft_log_close(peft_log *log)
{
    if (!log) return;
    if (log->file) fclose(log->file);
    free(log->path);
    free(log);
}
