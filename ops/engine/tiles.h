/* ops/engine/tiles.h - how rows of tokens are cut into tiles, which threads take one after another.
 *
 * The cut depends on the number of rows alone: so do sums over the rows of a tile, and any number of threads gives the
 * same bits. Tiles are equal but for a unit, and a power of two of them, so that threads end together. */
#ifndef PEFT_OPS_ENGINE_TILES_H
#define PEFT_OPS_ENGINE_TILES_H

#include <stdint.h>

/* A tile is large enough for the weights that it reads, small enough for a cache; PEFT_TILES are enough for threads. */
enum { PEFT_TILE_UNIT = 8, PEFT_LEAST_TILE = 64, PEFT_MOST_TILE = 256, PEFT_TILES = 16 };

static inline int64_t peft_tiles(int64_t rows)
{
    int64_t tiles = rows > PEFT_LEAST_TILE ? 2 : 1;
    while (tiles < PEFT_TILES ? rows >= 2 * tiles * PEFT_LEAST_TILE : rows > tiles * PEFT_MOST_TILE) tiles *= 2;
    return tiles;
}

static inline int64_t peft_tile_units(int64_t rows)
{
    return (rows + PEFT_TILE_UNIT - 1) / PEFT_TILE_UNIT;
}

/* The first row of a tile; of the one after the last: `rows`. */
static inline int64_t peft_tile_begin(int64_t rows, int64_t tiles, int64_t tile)
{
    int64_t begin = peft_tile_units(rows) * tile / tiles * PEFT_TILE_UNIT;
    return begin < rows ? begin : rows;
}

/* The tile that begins with a row. */
static inline int64_t peft_tile_at(int64_t rows, int64_t begin)
{
    int64_t units = peft_tile_units(rows);
    return (begin / PEFT_TILE_UNIT * peft_tiles(rows) + units - 1) / units;
}

/* Rows of the largest tile, whole units. */
static inline int64_t peft_tile_rows(int64_t rows)
{
    int64_t tiles = peft_tiles(rows);
    return (peft_tile_units(rows) + tiles - 1) / tiles * PEFT_TILE_UNIT;
}

#endif
