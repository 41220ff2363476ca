#include "tasks/task_file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/foreign.h"
#include "io/json.h"
#include "io/yaml.h"
#include "ops/nearest.h"
#include "tasks/task_file_entry.h"

static peft_status fail_memory(const char *path, peft_error *error)
{
    return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
}

/* ---- words ---- */

static bool ends_with(const char *text, size_t length, const char *end)
{
    size_t tail = strlen(end);
    return length > tail && strncmp(text + length - tail, end, tail) == 0;
}

/* Bytes of the file's name in "FILE" or "FILE:NAME"; 0: the word names no file. */
static size_t file_bytes(const char *word)
{
    static const char *const ends[] = {".yaml", ".yml", ".json", ".jsonl"};
    const char *colon = strrchr(word, ':');
    const size_t lengths[] = {strlen(word), colon ? (size_t)(colon - word) : 0};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
        for (size_t e = 0; e < sizeof ends / sizeof *ends; e++)
            if (ends_with(word, lengths[k], ends[e])) return lengths[k];
    return 0;
}

bool peft_task_is_file(const char *word)
{
    return file_bytes(word) > 0;
}

/* ---- reading ---- */

typedef struct reader {
    const char *path, *folder;
    peft_task_list *list;
    peft_error *error;
} reader;

/* The part of the path before the last '/', in the list's memory. */
static const char *folder_of(const char *path, peft_arena *arena)
{
    const char *slash = strrchr(path, '/');
    size_t bytes = !slash ? 0 : slash == path ? 1 : (size_t)(slash - path);
    char *folder = peft_arena_take(arena, bytes + 1);
    if (folder) memcpy(folder, path, bytes);
    return folder;
}

static peft_status check_name(const reader *r, const peft_task *task, size_t line)
{
    for (size_t i = 0; i < r->list->count; i++)
        if (strcmp(r->list->tasks[i]->name, task->name) == 0)
            return peft_fail(r->error, PEFT_ERR_FORMAT, "%s:%zu: name: a task called \"%s\" stands there already",
                             r->path, line, task->name);
    return PEFT_OK;
}

static peft_status read_object(const reader *r, json_t *object, const peft_yaml_lines *lines, size_t line,
                               const peft_task **found)
{
    peft_task *task = peft_arena_take(&r->list->arena, sizeof *task);
    if (!task) return fail_memory(r->path, r->error);
    *found = task;
    const peft_task_entry entry = {.path = r->path,
                                   .folder = r->folder,
                                   .object = object,
                                   .lines = lines,
                                   .line = line,
                                   .arena = &r->list->arena,
                                   .error = r->error};
    return peft_task_entry_read(&entry, task);
}

/* A task, or the name of a known one. */
static peft_status add_entry(const reader *r, json_t *value, const peft_yaml_lines *lines, size_t line)
{
    const peft_task *task = NULL;
    peft_status status = PEFT_OK;
    peft_error inner = {0};
    if (json_is_object(value)) {
        status = read_object(r, value, lines, line, &task);
    } else if (json_is_string(value)) {
        task = peft_task_find(json_string_value(value), &inner);
        if (!task) status = peft_fail(r->error, PEFT_ERR_FORMAT, "%s:%zu: %s", r->path, line, inner.message);
    } else {
        char text[PEFT_JSON_TEXT];
        return peft_fail(r->error, PEFT_ERR_FORMAT,
                         "%s:%zu: expected a task as \"key: value\", or the name of one, found %s", r->path, line,
                         peft_json_text(value, text));
    }
    if (status == PEFT_OK) status = check_name(r, task, line);
    if (status == PEFT_OK) r->list->tasks[r->list->count++] = task;
    return status;
}

static peft_status take_room(const reader *r, size_t count)
{
    r->list->tasks = peft_arena_take(&r->list->arena, (count + 1) * sizeof *r->list->tasks);
    return r->list->tasks ? PEFT_OK : fail_memory(r->path, r->error);
}

static peft_status read_document(const reader *r, json_t *root, const peft_yaml_lines *lines)
{
    if (!json_is_array(root)) {
        peft_status status = take_room(r, 1);
        return status == PEFT_OK ? add_entry(r, root, lines, 1) : status;
    }
    peft_status status = take_room(r, json_array_size(root));
    for (size_t i = 0; i < json_array_size(root) && status == PEFT_OK; i++)
        status = add_entry(r, json_array_get(root, i), lines, peft_yaml_line_of_item(lines, root, i));
    return status;
}

/* JSON is YAML, too. */
static peft_status read_yaml(const reader *r)
{
    json_t *root;
    peft_yaml_lines lines;
    peft_status status = peft_yaml_load_lines(r->path, &root, &lines, r->error);
    if (status != PEFT_OK) return status;
    status = read_document(r, root, &lines);
    json_decref(root);
    peft_yaml_lines_free(&lines);
    return status;
}

static peft_status read_line(const reader *r, const char *text, size_t bytes, size_t number)
{
    char where[PEFT_MESSAGE_BYTES / 2];
    json_t *object;
    if (strspn(text, " \t\r\n") >= bytes) return PEFT_OK;
    snprintf(where, sizeof where, "%s:%zu", r->path, number);
    peft_status status = peft_json_parse(text, bytes, where, &object, r->error);
    if (status == PEFT_OK) status = add_entry(r, object, NULL, number);
    json_decref(object);
    return status;
}

/* `text` ends with a NUL. */
static peft_status read_lines(const reader *r, const char *text)
{
    size_t count = 1, number = 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++) count++;
    peft_status status = take_room(r, count);
    for (const char *next; status == PEFT_OK && *text; text = next) {
        size_t bytes = strcspn(text, "\n");
        next = text + bytes + (text[bytes] == '\n');
        status = read_line(r, text, bytes, ++number);
    }
    return status;
}

static peft_status read_json_lines(const reader *r)
{
    peft_mapped_file file;
    peft_status status = peft_file_map(r->path, &file, r->error);
    if (status != PEFT_OK) return status;
    char *text = malloc(file.bytes + 1);
    if (text) {
        memcpy(text, file.data, file.bytes);
        text[file.bytes] = '\0';
        status = read_lines(r, text);
        if (status != PEFT_OK) status = peft_fail_foreign_text(r->error, status, r->path, file.data, file.bytes);
    } else {
        status = fail_memory(r->path, r->error);
    }
    free(text);
    peft_file_unmap(&file);
    return status;
}

peft_status peft_task_file_load(const char *path, peft_task_list *list, peft_error *error)
{
    *list = (peft_task_list){0};
    const reader r = {path, folder_of(path, &list->arena), list, error};
    peft_status status = r.folder ? PEFT_OK : fail_memory(path, error);
    if (status == PEFT_OK) status = (ends_with(path, strlen(path), ".jsonl") ? read_json_lines : read_yaml)(&r);
    if (status == PEFT_OK && list->count == 0)
        status = peft_fail(error, PEFT_ERR_FORMAT, "%s: expected a task at least, found none", path);
    if (status != PEFT_OK) peft_task_list_free(list);
    return status;
}

void peft_task_list_free(peft_task_list *list)
{
    peft_arena_free(&list->arena);
    *list = (peft_task_list){0};
}

/* ---- opening ---- */

static peft_status open_known(const char *name, peft_task_list *list, peft_error *error)
{
    const peft_task *task = peft_task_find(name, error);
    if (!task) return PEFT_ERR_ARGUMENT;
    list->tasks = peft_arena_take(&list->arena, sizeof *list->tasks);
    if (!list->tasks) return fail_memory(name, error);
    list->tasks[list->count++] = task;
    return PEFT_OK;
}

/* The names of a list, as peft_names wants them: tasks are pointers. */
static const char **names_of(const peft_task_list *list)
{
    const char **names = calloc(list->count + 1, sizeof *names);
    for (size_t i = 0; names && i < list->count; i++) names[i] = list->tasks[i]->name;
    return names;
}

/* Leaves the task of that name alone in the list. */
static peft_status keep_one(const char *path, const char *name, peft_task_list *list, peft_error *error)
{
    const char **names = names_of(list);
    if (!names) return fail_memory(path, error);
    const peft_names known = {names, list->count, sizeof *names};
    size_t index = peft_names_find(&known, name);
    peft_status status = PEFT_OK;
    if (index < list->count) {
        list->tasks[0] = list->tasks[index];
        list->count = 1;
    } else {
        peft_fail_unknown(error, PEFT_ERR_ARGUMENT, "task", name, &known);
        status = peft_fail_in(error, PEFT_ERR_ARGUMENT, path);
    }
    free(names);
    return status;
}

peft_status peft_task_list_open(const char *word, peft_task_list *list, peft_error *error)
{
    *list = (peft_task_list){0};
    size_t bytes = file_bytes(word);
    if (!bytes) return open_known(word, list, error);
    char *path = strndup(word, bytes);
    if (!path) return fail_memory(word, error);
    peft_status status = peft_task_file_load(path, list, error);
    if (status == PEFT_OK && word[bytes]) status = keep_one(path, word + bytes + 1, list, error);
    if (status != PEFT_OK) peft_task_list_free(list);
    free(path);
    return status;
}

peft_status peft_task_open(const char *word, peft_task_list *list, const peft_task **task, peft_error *error)
{
    *task = NULL;
    peft_status status = peft_task_list_open(word, list, error);
    if (status != PEFT_OK) return status;
    if (list->count == 1) {
        *task = list->tasks[0];
        return PEFT_OK;
    }
    status = peft_fail(error, PEFT_ERR_ARGUMENT, "%s: holds %zu tasks; name one of them: %s:%s", word, list->count,
                       word, list->tasks[0]->name);
    peft_task_list_free(list);
    return status;
}
