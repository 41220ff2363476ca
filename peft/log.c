#include "peft/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"

struct peft_log {
    FILE *file;
    char *path;
};

static peft_status failed(const peft_log *log, peft_error *error)
{
    return peft_fail_write(error, errno, log->path, "write");
}

/* Is it a line about a step up to `step`, without the evaluation of that one where it is done again? */
static bool is_useful(const json_t *line, int64_t step, bool evaluates)
{
    const json_t *number = json_object_get(line, "step");
    if (!json_is_integer(number) || json_integer_value(number) < 1 || json_integer_value(number) > step) return false;
    return !(evaluates && json_integer_value(number) == step && json_object_get(line, "split"));
}

/* Bytes of the lines to keep, from the first on. A line that a kill cut short is no line, nor is one with the zeros
 * that a machine without power leaves in a file. */
static long useful_bytes(FILE *file, int64_t step, bool evaluates)
{
    char *line = NULL;
    size_t capacity = 0;
    long useful = 0;
    ssize_t length;
    while ((length = getline(&line, &capacity, file)) > 0) {
        bool whole = line[length - 1] == '\n' && !memchr(line, '\0', (size_t)length);
        json_t *object = whole ? json_loads(line, 0, NULL) : NULL;
        bool keep = is_useful(object, step, evaluates);
        json_decref(object);
        if (!keep) break;
        useful = ftell(file);
    }
    free(line);
    return useful;
}

peft_status peft_log_open(peft_log **log, const char *path, int64_t step, bool evaluates, peft_error *error)
{
    *log = NULL;
    peft_log *made = calloc(1, sizeof *made);
    if (!made || !(made->path = strdup(path))) {
        free(made);
        return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    }
    made->file = fopen(path, "a+e");
    bool ready = made->file && fseek(made->file, 0, SEEK_SET) == 0 &&
                 ftruncate(fileno(made->file), useful_bytes(made->file, step, evaluates)) == 0 &&
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
