#include "peft/cli/folder.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

static bool is_same(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static bool holds_something(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder) return false;
    bool found = false;
    for (const struct dirent *entry = readdir(folder); entry && !found; entry = readdir(folder))
        found = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(folder);
    return found;
}

peft_status peft_folder_check_output(const char *output, bool force, const char *const *sources, peft_error *error)
{
    for (; *sources; sources++)
        if (is_same(output, *sources))
            return peft_fail(error, PEFT_ERR_ARGUMENT, "--output %s: this folder is read from; give another", output);
    if (force || !holds_something(output)) return PEFT_OK;
    return peft_fail(error, PEFT_ERR_ARGUMENT, "%s: exists and is not empty; give --force to write over its files",
                     output);
}
