/* peft/cli/heat_map_svg.c - a heat map as a part of a picture. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "peft/cli/heat_map.h"

enum { LETTER = 7, FONT = 12, CELL_HEIGHT = 22, WIDE_CELL = 54, NARROW_CELL = 9, FEW_COLUMNS = 24, GAP = 24 };

/* From dark to light, in equal distances (after matplotlib's viridis). */
static const unsigned char colours[][3] = {{68, 1, 84}, {59, 82, 139}, {33, 145, 140}, {94, 201, 98}, {253, 231, 37}};
enum { NUM_COLOURS = sizeof colours / sizeof colours[0] };

typedef struct drawing {
    const peft_heat_map *map;
    FILE *svg;
    double left, top, cell, least, most;
} drawing;

/* `share` from 0 to 1; the text on it is white where it is dark. */
static void colour_of(double share, char text[16], bool *dark)
{
    double at = share * (NUM_COLOURS - 1);
    int below = at < NUM_COLOURS - 1 ? (int)at : NUM_COLOURS - 2;
    int mixed[3];
    for (int k = 0; k < 3; k++)
        mixed[k] = (int)lround(colours[below][k] + (at - below) * (colours[below + 1][k] - colours[below][k]));
    snprintf(text, 16, "#%02x%02x%02x", mixed[0] & 255, mixed[1] & 255, mixed[2] & 255);
    *dark = share < 0.5;
}

static void put_text(FILE *svg, double x, double y, const char *attributes, const char *text)
{
    fprintf(svg, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, attributes);
    for (; *text; text++)
        if (strchr("<>&\"", *text))
            fprintf(svg, "&#%d;", *text);
        else
            putc(*text, svg);
    fputs("</text>\n", svg);
}

static void find_range(drawing *d)
{
    for (size_t k = 0; k < d->map->num_rows * d->map->num_columns; k++) {
        double value = d->map->values[k];
        if (isnan(value)) continue;
        d->least = fmin(d->least, value);
        d->most = fmax(d->most, value);
    }
}

static void draw_cell(const drawing *d, size_t row, size_t column)
{
    double value = d->map->values[row * d->map->num_columns + column];
    if (isnan(value)) return;
    char colour[16], number[32];
    bool dark;
    colour_of(d->most > d->least ? (value - d->least) / (d->most - d->least) : 0, colour, &dark);
    double x = d->left + (double)column * d->cell, y = d->top + (double)row * CELL_HEIGHT;
    snprintf(number, sizeof number, "%.3g", value);
    fprintf(d->svg, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"%s\"><title>%s</title></rect>\n",
            x, y, d->cell, CELL_HEIGHT, colour, number);
    if (d->cell >= WIDE_CELL)
        put_text(d->svg, x + d->cell / 2, y + CELL_HEIGHT - 7,
                 dark ? "text-anchor=\"middle\" fill=\"white\"" : "text-anchor=\"middle\"", number);
}

/* Names of wide columns all, of narrow ones some. */
static void draw_column_names(const drawing *d)
{
    size_t every = d->cell >= WIDE_CELL ? 1 : 10;
    for (size_t c = 0; c < d->map->num_columns; c += every) {
        char turn[96];
        double x = d->left + ((double)c + 0.5) * d->cell, y = d->top - 6;
        snprintf(turn, sizeof turn, "transform=\"rotate(-30 %.1f %.1f)\"", x, y);
        put_text(d->svg, x, y, turn, d->map->columns[c]);
    }
}

static size_t longest(char *const *names, size_t count)
{
    size_t most = 0;
    for (size_t k = 0; k < count; k++)
        if (strlen(names[k]) > most) most = strlen(names[k]);
    return most;
}

void peft_heat_map_draw(const peft_heat_map *m, const char *title, FILE *svg, double *width, double *height)
{
    const double sine = 0.5, cosine = 0.87; /* of 30 degrees */
    double name = (double)longest(m->columns, m->num_columns) * LETTER;
    drawing d = {.map = m,
                 .svg = svg,
                 .cell = m->num_columns > FEW_COLUMNS ? NARROW_CELL : WIDE_CELL,
                 .least = HUGE_VAL,
                 .most = -HUGE_VAL};
    if (m->status != PEFT_OK || !m->num_rows) return;
    d.left = GAP + (double)longest(m->rows, m->num_rows) * LETTER;
    d.top = *height + 2 * GAP + name * sine;
    find_range(&d);
    char heading[256];
    snprintf(heading, sizeof heading, "%s (dark %.3g, light %.3g)", title, d.least, d.most);
    put_text(svg, GAP / 2.0, *height + GAP, "font-weight=\"bold\"", heading);
    draw_column_names(&d);
    for (size_t r = 0; r < m->num_rows; r++) {
        put_text(svg, d.left - 6, d.top + (double)(r + 1) * CELL_HEIGHT - 7, "text-anchor=\"end\"", m->rows[r]);
        for (size_t c = 0; c < m->num_columns; c++) draw_cell(&d, r, c);
    }
    *width = fmax(*width, d.left + (double)m->num_columns * d.cell + name * cosine + GAP);
    *width = fmax(*width, (double)strlen(heading) * LETTER + GAP);
    *height = d.top + (double)m->num_rows * CELL_HEIGHT + GAP;
}
