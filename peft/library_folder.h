/* peft/library_folder.h - a folder of adapters of one shape, with what they are for.
 *
 *     library.json    {"tasks": [{"name": "wn-class", "descriptions": ["Say what ..."], "adapter": "wn-class"}, ...]}
 *     wn-class/       an adapter's folder, relative to the library's
 *
 * A description may stand alone, as "description". */
#ifndef PEFT_PEFT_LIBRARY_FOLDER_H
#define PEFT_PEFT_LIBRARY_FOLDER_H

#include "generators/library.h"
#include "peft/adapter_read.h"
#include "peft/generator.h"

typedef struct peft_library_folder {
    json_t *document;
    peft_generator_task *tasks; /* [library.num_tasks], each with its first description */
    int64_t num_descriptions;
    const char **descriptions;   /* [num_descriptions] */
    uint32_t *tasks_of;          /* [num_descriptions]: of which task */
    peft_adapter_contents first; /* settings and base of the first adapter, which those of all are taken to be, and what
                                    else all of them hold alike: a head that was not trained with each */
    size_t num_left_out;         /* tensors of the first that others hold differently, or not */
    peft_places places;          /* of its adapters */
    peft_library library;
} peft_library_folder;

/* Reads all of it. PEFT_ERR_FORMAT: library.json is malformed, or an adapter has another method, other layers, shapes
 * or scales than the first, which is named. Release with peft_library_folder_close, which takes a struct of zeros too.
 */
peft_status peft_library_folder_open(peft_library_folder *folder, const char *path, peft_error *error);
void peft_library_folder_close(peft_library_folder *folder);

#endif
