/* peft/cli/inspect_decisions.c - a run folder's observations: ranks, gates, experts, layer by layer. */
#include "peft/cli/inspect_decisions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "peft/cli/document.h"
#include "peft/cli/heat_map.h"
#include "peft/cli/inspect.h"
#include "peft/cli/json_lines.h"

/* ---- how many numbers become one ---- */

static double number_at(const json_t *values, size_t index)
{
    return json_number_value(json_array_get(values, index));
}

static double only(const json_t *values)
{
    return number_at(values, 0);
}

static double largest(const json_t *values)
{
    double most = 0;
    for (size_t k = 0; k < json_array_size(values); k++) most = fmax(most, fabs(number_at(values, k)));
    return most;
}

static double not_zero(const json_t *values)
{
    double count = 0;
    for (size_t k = 0; k < json_array_size(values); k++) count += number_at(values, k) != 0;
    return count;
}

static const struct measure {
    const char *name, *help;
    double (*of)(const json_t *values);
} measures[] = {{"value", "the value", only},
                {"largest", "the largest of them, without sign", largest},
                {"kept", "how many of them are not zero", not_zero}};
enum { VALUE, LARGEST, KEPT, NUM_MEASURES };

/* ---- the document ---- */

/* Quantities by name, their records by module: {"lora_E": {"kind": .., "steps": [..], "modules": {name: [..]}}} */
static json_t *entry(json_t *object, const char *key, json_t *otherwise)
{
    json_t *found = json_object_get(object, key);
    if (!found && json_object_set(object, key, otherwise) == 0) found = json_object_get(object, key);
    json_decref(otherwise);
    return found;
}

static bool read_line(void *argument, json_t *line)
{
    const char *name = json_string_value(json_object_get(line, "name"));
    const char *module = json_string_value(json_object_get(line, "module"));
    json_t *step = json_object_get(line, "step"), *values = json_object_get(line, "values");
    if (!name || !module || !json_is_integer(step) || !json_is_array(values)) return true;
    json_t *quantity = entry(argument, name,
                             json_pack("{s:O, s:[], s:{}}", "kind", json_object_get(line, "kind"), "steps", "modules"));
    json_t *steps = json_object_get(quantity, "steps");
    json_t *records = entry(json_object_get(quantity, "modules"), module, json_array());
    if (!json_equal(json_array_get(steps, json_array_size(steps) - 1), step)) json_array_append(steps, step);
    return json_array_append(records, values) == 0;
}

/* Gates of which some were switched off are counted; other lists show their largest entry. */
static int choose_measure(json_t *modules)
{
    const char *module;
    json_t *records, *values;
    size_t index;
    int measure = VALUE;
    json_object_foreach(modules, module, records) json_array_foreach(records, index, values)
    {
        if (json_array_size(values) == 1) continue;
        if (not_zero(values) < (double)json_array_size(values)) return KEPT;
        measure = LARGEST;
    }
    return measure;
}

static json_t *module_json(const char *module, const json_t *records, int measure)
{
    json_t *over = json_array(), *values, *last = json_array_get(records, json_array_size(records) - 1);
    size_t index;
    json_array_foreach(records, index, values) json_array_append_new(over, json_real(measures[measure].of(values)));
    return json_pack("{s:s, s:O, s:o}", "module", module, "values", last, measures[measure].name, over);
}

static json_t *quantity_json(const char *name, const json_t *quantity)
{
    json_t *modules = json_object_get(quantity, "modules"), *list = json_array(), *records;
    const char *module;
    int measure = choose_measure(modules);
    json_object_foreach(modules, module, records) json_array_append_new(list, module_json(module, records, measure));
    return json_pack("{s:s, s:O, s:s, s:O, s:o}", "name", name, "kind", json_object_get(quantity, "kind"), "measure",
                     measures[measure].name, "steps", json_object_get(quantity, "steps"), "modules", list);
}

static peft_status describe(const peft_inspection *what, json_t **document, peft_error *error)
{
    const char *folder = what->folder;
    char *path = NULL;
    json_t *quantities = json_object(), *quantity, *list = json_array();
    const char *name;
    peft_status status = peft_path_join(folder, "observations.jsonl", &path, error);
    if (status == PEFT_OK) status = peft_json_lines_read(path, read_line, quantities, error);
    json_object_foreach(quantities, name, quantity) json_array_append_new(list, quantity_json(name, quantity));
    json_decref(quantities);
    free(path);
    *document = status == PEFT_OK ? json_pack("{s:O}", "quantities", list) : NULL;
    json_decref(list);
    if (status == PEFT_OK && !*document) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", folder);
    return status;
}

/* ---- maps of layers and modules ---- */

/* "bert.encoder.layer.3.attention.self.query": row "layer 3", column "attention.self.query". */
static void set_module(peft_heat_map *map, const char *module, double value)
{
    if (!*module) module = "(all)";
    for (const char *part = module; part && *part; part = strchr(part, '.') ? strchr(part, '.') + 1 : NULL) {
        size_t digits = strspn(part, "0123456789");
        if (!digits || part[digits] != '.') continue;
        char row[32];
        snprintf(row, sizeof row, "layer %.*s", (int)digits, part);
        peft_heat_map_set(map, row, part + digits + 1, value);
        return;
    }
    peft_heat_map_set(map, "model", module, value);
}

static double last_of(const json_t *module, const char *measure)
{
    const json_t *over = json_object_get(module, measure);
    return number_at(over, json_array_size(over) - 1);
}

static void fill_layers(peft_heat_map *map, const json_t *quantity)
{
    const char *measure = peft_document_text(quantity, "measure", "");
    size_t index;
    json_t *module;
    json_array_foreach(json_object_get(quantity, "modules"), index, module)
        set_module(map, peft_document_text(module, "module", ""), last_of(module, measure));
}

static void fill_steps(peft_heat_map *map, const json_t *quantity)
{
    const char *measure = peft_document_text(quantity, "measure", "");
    const json_t *steps = json_object_get(quantity, "steps");
    size_t index, k;
    json_t *module, *value;
    json_array_foreach(json_object_get(quantity, "modules"), index, module)
        json_array_foreach(json_object_get(module, measure), k, value)
    {
        char step[32];
        snprintf(step, sizeof step, "%" JSON_INTEGER_FORMAT, json_integer_value(json_array_get(steps, k)));
        peft_heat_map_set(map, peft_document_text(module, "module", ""), step, json_number_value(value));
    }
}

static const char *help_of(const json_t *quantity)
{
    const char *name = peft_document_text(quantity, "measure", "");
    for (int k = 0; k < NUM_MEASURES; k++)
        if (strcmp(measures[k].name, name) == 0) return measures[k].help;
    return name;
}

static void title_of(const json_t *quantity, const char *when, char title[128])
{
    const json_t *module = json_array_get(json_object_get(quantity, "modules"), 0);
    size_t count = json_array_size(json_object_get(module, "values"));
    if (count > 1)
        snprintf(title, 128, "%s, %s: %s, of %zu", peft_document_text(quantity, "name", ""), when, help_of(quantity),
                 count);
    else
        snprintf(title, 128, "%s, %s", peft_document_text(quantity, "name", ""), when);
}

static peft_status print(const json_t *document, FILE *out, peft_error *error)
{
    peft_status status = PEFT_OK;
    size_t index;
    json_t *quantity;
    json_array_foreach(json_object_get(document, "quantities"), index, quantity)
    {
        peft_heat_map map = {0};
        char title[128];
        if (status != PEFT_OK) break;
        fill_layers(&map, quantity);
        title_of(quantity, "at the end", title);
        fprintf(out, "%s%s\n", index ? "\n" : "", title);
        status = peft_heat_map_print(&map, "", out, error);
        peft_heat_map_free(&map);
    }
    return status;
}

const peft_inspector peft_inspect_decisions = {
    .kind = "decisions", .files = {"observations.jsonl"}, .describe = describe, .print = print};

/* ---- the picture ---- */

static void draw_updates(const json_t *adapter, FILE *svg, double *width, double *height)
{
    peft_heat_map map = {0};
    size_t index;
    json_t *module;
    json_array_foreach(json_object_get(adapter, "modules"), index, module)
    {
        const json_t *norm = json_object_get(module, "norm_update");
        if (json_is_number(norm)) set_module(&map, peft_document_text(module, "module", ""), json_number_value(norm));
    }
    peft_heat_map_draw(&map, "norm of the update", svg, width, height);
    peft_heat_map_free(&map);
}

static void draw_quantity(const json_t *quantity, const char *when,
                          void (*fill)(peft_heat_map *map, const json_t *quantity), FILE *svg, double *width,
                          double *height)
{
    peft_heat_map map = {0};
    char title[128];
    fill(&map, quantity);
    title_of(quantity, when, title);
    peft_heat_map_draw(&map, title, svg, width, height);
    peft_heat_map_free(&map);
}

static void draw_all(const json_t *all, FILE *svg, double *width, double *height)
{
    size_t index;
    json_t *quantity;
    draw_updates(json_object_get(all, "adapter"), svg, width, height);
    json_array_foreach(json_object_get(json_object_get(all, "decisions"), "quantities"), index, quantity)
    {
        draw_quantity(quantity, "at the end", fill_layers, svg, width, height);
        draw_quantity(quantity, "over the steps", fill_steps, svg, width, height);
    }
}

static peft_status write_picture(const char *path, const char *body, double width, double height, peft_error *error)
{
    char *text = NULL;
    int bytes = asprintf(&text,
                         "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
                         "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" "
                         "fill=\"white\"/>\n%s</svg>\n",
                         width, height, body);
    if (bytes < 0) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    peft_status status = peft_file_write(path, text, (size_t)bytes, error);
    free(text);
    return status;
}

/* A picture may be drawn again; another file is not written over. */
static peft_status check_picture(const char *path, peft_error *error)
{
    static const char begin[] = "<svg";
    peft_mapped_file file;
    if (!peft_file_exists(path)) return PEFT_OK;
    peft_status status = peft_file_map(path, &file, error);
    if (status != PEFT_OK) return status;
    if (file.bytes && (file.bytes < strlen(begin) || memcmp(file.data, begin, strlen(begin)) != 0))
        status = peft_fail(error, PEFT_ERR_ARGUMENT, "--svg %s: is there already and is no picture that was drawn here",
                           path);
    peft_file_unmap(&file);
    return status;
}

peft_status peft_inspect_draw(const json_t *all, const char *path, peft_error *error)
{
    char *body = NULL;
    size_t bytes = 0;
    double width = 0, height = 0;
    peft_status status = check_picture(path, error);
    if (status != PEFT_OK) return status;
    FILE *svg = open_memstream(&body, &bytes);
    if (!svg) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    draw_all(all, svg, &width, &height);
    bool complete = fclose(svg) == 0;
    if (!complete)
        status = peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", path);
    else if (height == 0)
        status = peft_fail(error, PEFT_ERR_ARGUMENT,
                           "--svg: there is nothing to draw: neither updates of an adapter nor observations of a run");
    else
        status = write_picture(path, body, width, height, error);
    free(body);
    return status;
}
