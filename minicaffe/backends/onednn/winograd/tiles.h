// Reading tiles of images into the matrices of a range, and writing them back.

#ifndef MINICAFFE_WINOGRAD_TILES_H
#define MINICAFFE_WINOGRAD_TILES_H

#include "winograd.h"

static const float ZEROS[LANES];

// The tile of `size` rows and columns whose first value is at (row, column) of a block of channels;
// zero outside the image.
ALWAYS_INLINE void read_tile(
    const Images *images, int type, const void *block, int64_t row, int64_t column, int size,
    vec *tile)
{
    const void *from = value_at(block, row * images->row + column * images->pixel, type);
    if (row >= 0 && column >= 0 && row + size <= images->rows && column + size <= images->columns) {
        for (int r = 0; r < size; r++)
            for (int c = 0; c < size; c++)
                tile[r * size + c] = load_values(
                    value_at(from, r * images->row + c * images->pixel, type), type);
        return;
    }
    for (int r = 0; r < size; r++) {
        const int is_row = row + r >= 0 && row + r < images->rows;
        for (int c = 0; c < size; c++) {
            const int is_inside = is_row && column + c >= 0 && column + c < images->columns;
            const void *inside = value_at(from, r * images->row + c * images->pixel, type);
            tile[r * size + c] = load_values(is_inside ? inside : ZEROS, type);
        }
    }
}

// Start to load some columns of a later tile: the streams of its rows are too short for the
// processor to predict them. It ignores addresses outside the image.
ALWAYS_INLINE void prefetch_tile(
    const Images *images, int type, const void *block, int64_t row, int64_t column, int rows,
    int columns)
{
    const void *from = value_at(block, row * images->row + column * images->pixel, type);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++)
            __builtin_prefetch(value_at(from, r * images->row + c * images->pixel, type));
}

// Transform the tiles [first, first + tiles) of some blocks of channels of x into v: for each
// position, groups of almost equally many tiles; in a group, blocks of channels; in a block, tiles.
ALWAYS_INLINE void transform_input_of(
    const Correlation *c, int type, const void *x, int64_t first, int64_t tiles, int64_t groups,
    int64_t from_block, int64_t to_block, float *v)
{
    const int64_t step = position_step(c->in_blocks, tiles);
    const int outputs = OUTPUTS((int)c->taps);
    for (int64_t b = from_block; b < to_block; b++) {
        for (int64_t g = 0; g < groups; g++) {
            const int64_t from = tiles * g / groups, n = tiles * (g + 1) / groups - from;
            float *out = v + (from * c->in_blocks + b * n) * LANES;
            for (int64_t t = 0; t < n; t++, out += LANES) {
                const Tile tile = tile_at(c, first + from + t);
                const int64_t offset = tile.image * c->x.image + b * c->x.block;
                const void *block = value_at(x, offset, type);
                vec d[POSITIONS], rows[POSITIONS], line[SPAN];
                const int64_t row = tile.row * outputs - c->above;
                const int64_t column = tile.column * outputs - c->left;
                prefetch_tile(&c->x, type, block, row, column + outputs + SPAN, SPAN, outputs);
                read_tile(&c->x, type, block, row, column, SPAN, d);
                for (int i = 0; i < SPAN; i++) transform_data(d + i * SPAN, 1, rows + i * SPAN);
                for (int i = 0; i < SPAN; i++) {
                    transform_data(rows + i, SPAN, line);
                    for (int r = 0; r < SPAN; r++) store(out + (r * SPAN + i) * step, line[r]);
                }
            }
        }
    }
}

static void transform_input(
    const Correlation *c, const void *x, int64_t first, int64_t tiles, int64_t groups,
    int64_t from_block, int64_t to_block, float *v)
{
    if (c->x_type == FLOAT32)
        transform_input_of(c, FLOAT32, x, first, tiles, groups, from_block, to_block, v);
#ifdef __AVX512BF16__
    else if (c->x_type == BFLOAT16)
        transform_input_of(c, BFLOAT16, x, first, tiles, groups, from_block, to_block, v);
    else
        transform_input_of(
            c, ROUNDED_TO_BFLOAT16, x, first, tiles, groups, from_block, to_block, v);
#endif
}

#endif
