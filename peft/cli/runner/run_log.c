#include "peft/cli/runner/run_log.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"

static FILE *open_log(const char *folder)
{
    char *path = NULL;
    if (peft_path_join(folder, "log.jsonl", &path, NULL) != PEFT_OK) return NULL;
    FILE *file = fopen(path, "re");
    free(path);
    return file;
}

static bool read_step(const char *line, peft_log_step *step)
{
    const json_int_t most_steps = 1000000000000; /* as --steps allows */
    json_t *object = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
    const json_t *number = json_object_get(object, "step"), *loss = json_object_get(object, "loss");
    bool is_step = json_is_integer(number) && json_integer_value(number) > 0 &&
                   json_integer_value(number) <= most_steps && json_is_number(loss);
    if (is_step)
        *step = (peft_log_step){json_integer_value(number), json_number_value(json_object_get(object, "epoch")),
                                json_number_value(loss)};
    json_decref(object);
    return is_step;
}

/* The lines at the end of the log, the last whole one first. */
bool peft_log_last_step(const char *folder, peft_log_step *step)
{
    enum { TAIL_BYTES = 4096 };
    char tail[TAIL_BYTES + 1];
    FILE *file = open_log(folder);
    if (!file) return false;
    if (fseek(file, -TAIL_BYTES, SEEK_END) != 0) rewind(file);
    size_t bytes = fread(tail, 1, TAIL_BYTES, file);
    fclose(file);
    tail[bytes] = '\0';
    for (char *end = strrchr(tail, '\n'); end; end = strrchr(tail, '\n')) {
        *end = '\0';
        const char *before = strrchr(tail, '\n');
        if (read_step(before ? before + 1 : tail, step)) return true;
    }
    return false;
}

static bool read_score(const char *line, const char *split, double *score)
{
    json_t *object = json_loads(line, 0, NULL), *metrics = json_object_get(object, "metrics");
    const char *name = json_string_value(json_object_get(object, "split"));
    const json_t *first = json_object_iter_value(json_object_iter(metrics));
    bool found = name && strcmp(name, split) == 0 && json_is_number(first);
    if (found) *score = json_number_value(first);
    json_decref(object);
    return found;
}

bool peft_log_scores(const char *folder, const char *split, double *last, double *largest)
{
    FILE *file = open_log(folder);
    if (!file) return false;
    char *line = NULL;
    size_t capacity = 0;
    bool found = false;
    while (getline(&line, &capacity, file) > 0) {
        if (!read_score(line, split, last)) continue;
        if (!found || *last > *largest) *largest = *last;
        found = true;
    }
    free(line);
    fclose(file);
    return found;
}
