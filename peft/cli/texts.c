#include "peft/cli/texts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"

#define AT(field) .offset = offsetof(peft_text_options, field)

const peft_option peft_text_option_table[] = {
    {.name = "text", .type = PEFT_OPTION_STRING, AT(text), .placeholder = "S", .help = "the text", .group = "Texts"},
    {.name = "input",
     .type = PEFT_OPTION_STRING,
     AT(input),
     .placeholder = "FILE",
     .help = "a text on each line, or a .csv, .tsv or .jsonl file; -: lines of standard input",
     .group = "Texts"},
    {.name = "text_column",
     .type = PEFT_OPTION_STRING,
     AT(text_column),
     .initial = "text",
     .placeholder = "NAME",
     .help = "column of a .csv, .tsv or .jsonl file with the text",
     .group = "Texts"},
    {.name = "vector_column",
     .type = PEFT_OPTION_STRING,
     AT(vector_column),
     .placeholder = "NAME",
     .help = "column with a vector of each text, for adapters that read one",
     .group = "Texts"},
    {.name = "no_quoting",
     .type = PEFT_OPTION_BOOL,
     AT(no_quoting),
     .initial = "false",
     .help = "in .csv and .tsv files a quote is a letter like any other",
     .group = "Texts"},
    {0}};

const peft_option peft_text_pair_option_table[] = {
    {.name = "text_pair",
     .type = PEFT_OPTION_STRING,
     AT(text_pair),
     .placeholder = "S",
     .help = "second text of a pair; on lines of a file it stands behind a tab",
     .group = "Texts"},
    {.name = "text_pair_column",
     .type = PEFT_OPTION_STRING,
     AT(text_pair_column),
     .placeholder = "NAME",
     .help = "column with the second text of a pair",
     .group = "Texts"},
    {0}};

static peft_status check(const peft_text_options *o, peft_error *error)
{
    if (!o->text == !o->input)
        return peft_fail(error, PEFT_ERR_ARGUMENT, "expected either --text S or --input FILE, found %s",
                         o->text ? "both" : "neither");
    if (o->vector_column && !(o->input && peft_table_has_format(o->input)))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--vector-column goes with a .csv, .tsv or .jsonl file");
    if (o->text_pair && !o->text) return peft_fail(error, PEFT_ERR_ARGUMENT, "--text-pair goes with --text");
    if (o->text_pair_column && !(o->input && peft_table_has_format(o->input)))
        return peft_fail(error, PEFT_ERR_ARGUMENT, "--text-pair-column goes with a .csv, .tsv or .jsonl file");
    return PEFT_OK;
}

/* All that comes from a stream, in *text (free). */
static peft_status read_stream(FILE *in, const char *name, char **text, size_t *bytes, peft_error *error)
{
    size_t capacity = 0, used = 0;
    *text = NULL;
    do {
        if (used == capacity) {
            capacity = capacity ? 2 * capacity : 65536;
            char *larger = realloc(*text, capacity);
            if (!larger) return peft_fail(error, PEFT_ERR_MEMORY, "%s: out of memory", name);
            *text = larger;
        }
        used += fread(*text + used, 1, capacity - used, in);
    } while (!feof(in) && !ferror(in));
    *bytes = used;
    return ferror(in) ? peft_fail(error, PEFT_ERR_FILE, "%s: cannot be read: %s", name, strerror(errno)) : PEFT_OK;
}

static peft_status lines_of_stdin(bool pairs, peft_table *table, peft_error *error)
{
    static const char name[] = "standard input";
    char *text;
    size_t bytes = 0;
    peft_status status = read_stream(stdin, name, &text, &bytes, error);
    if (status == PEFT_OK) status = peft_table_from_lines(text, bytes, name, pairs, table, error);
    free(text);
    return status;
}

static peft_status lines_of_file(const char *path, bool pairs, peft_table *table, peft_error *error)
{
    peft_mapped_file file;
    peft_status status = peft_file_map(path, &file, error);
    if (status == PEFT_OK) status = peft_table_from_lines(file.data, file.bytes, path, pairs, table, error);
    peft_file_unmap(&file);
    return status;
}

peft_status peft_texts_open(const peft_text_options *o, bool pairs, peft_quoting quoting, peft_dataset **dataset,
                            peft_error *error)
{
    *dataset = NULL;
    peft_status status = check(o, error);
    if (status != PEFT_OK) return status;
    if (o->input && peft_table_has_format(o->input)) {
        const peft_dataset_columns columns = {.text = o->text_column,
                                              .text_pair = o->text_pair_column,
                                              .vector = o->vector_column,
                                              .quoting = o->no_quoting ? PEFT_UNQUOTED : quoting};
        return peft_dataset_load_file(o->input, &columns, dataset, error);
    }
    peft_table table;
    if (o->text)
        status = peft_table_from_text(o->text, o->text_pair, &table, error);
    else if (strcmp(o->input, "-") == 0)
        status = lines_of_stdin(pairs, &table, error);
    else
        status = lines_of_file(o->input, pairs, &table, error);
    return status == PEFT_OK ? peft_dataset_from_table(&table, dataset, error) : status;
}

void peft_note_quoting(peft_output *output, peft_quoting quoting, const char *path)
{
    if (peft_table_is_raw(path, quoting))
        peft_output_say(output, PEFT_SAY_NOTE, "the file is read without quotes, as that of the run was");
}
