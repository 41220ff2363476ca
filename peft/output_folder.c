#include "peft/output_folder.h"

#include "io/file.h"
#include "io/folder.h"

peft_status peft_output_folder_check_sources(const char *output, const char *const *sources, peft_error *error)
{
    for (; *sources; sources++)
        if (peft_same_file(output, *sources))
            return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: this folder is read from; give another output", output);
    return peft_folder_check_writable(output, error);
}

peft_status peft_output_folder_check(const char *output, bool force, const char *const *sources, peft_error *error)
{
    peft_status status = peft_output_folder_check_sources(output, sources, error);
    if (status != PEFT_OK || force || !peft_folder_holds(output, NULL)) return status;
    return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: exists and is not empty; give --force to write over its files",
                     output);
}

peft_status peft_output_folder_prepare(const char *output, peft_error *error)
{
    peft_status status = peft_make_directories(output, error);
    return status == PEFT_OK ? peft_folder_remove_temporaries(output, error) : status;
}
