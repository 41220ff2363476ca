/* peft/cli/version.h - what a build consists of, for `peft --version --verbose`. */
#ifndef PEFT_CLI_VERSION_H
#define PEFT_CLI_VERSION_H

#include <stdio.h>

/* One line each, "jansson 2.14". */
void peft_version_report(FILE *out);

#endif
