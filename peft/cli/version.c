#include "peft/cli/version.h"

#include <jansson.h>
#include <utf8proc.h>
#include <xxhash.h>
#include <yaml.h>

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

void peft_version_report(FILE *out)
{
    unsigned xxhash = XXH_versionNumber();
    fprintf(out, "compiler %s\n", COMPILER);
    fprintf(out, "jansson %s\n", jansson_version_str());
    fprintf(out, "libyaml %s\n", yaml_get_version_string());
    fprintf(out, "utf8proc %s\n", utf8proc_version());
    fprintf(out, "xxhash %u.%u.%u\n", xxhash / 10000, xxhash / 100 % 100, xxhash % 100);
}
