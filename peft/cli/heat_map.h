/* peft/cli/heat_map.h - numbers by rows and columns, as a table of text and as a picture (SVG). */
#ifndef PEFT_CLI_HEAT_MAP_H
#define PEFT_CLI_HEAT_MAP_H

#include <stdio.h>

#include "ops/status.h"

/* Start with zeros. After an error calls do nothing; printing reports it. */
typedef struct peft_heat_map {
    char **rows, **columns; /* names, in the order in which they came */
    size_t num_rows, num_columns;
    double *values; /* [num_rows, num_columns]; NaN: nothing was set */
    peft_status status;
} peft_heat_map;

void peft_heat_map_set(peft_heat_map *map, const char *row, const char *column, double value);
void peft_heat_map_free(peft_heat_map *map);

/* A table; `corner` is its first heading. */
peft_status peft_heat_map_print(const peft_heat_map *map, const char *corner, FILE *out, peft_error *error);

/* Draws it into a picture whose width so far is *width and whose height so far is *height; both grow. */
void peft_heat_map_draw(const peft_heat_map *map, const char *title, FILE *svg, double *width, double *height);

#endif
