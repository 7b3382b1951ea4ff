// The gradient of 3x3 or 5x5 filters by Winograd's algorithm; see gradient.py.
//
// With y = A^T (U * V) A for the transformed filters U and tiles V, the gradient of U is the
// product, summed over all tiles, of V with the transformed gradient D = A dy A^T. Of a range of
// tiles, a few rows and columns of the products at all positions are computed at once, transformed
// to the gradient of the taps and added to dw, so that the products never leave the cache.

#include "product.h"
#include "tiles.h"

// Inputs times outputs in registers: 8 x 3 vectors with AVX-512, 4 x 3 with AVX2.
#define ROWS (LANES / 2)
#define MAX_COLUMNS 3

// out[input][column] = sum over tiles of v[tile][input] d[column][tile], for ROWS inputs.
ALWAYS_INLINE void sum_tiles(
    int columns, const float *v, const float *d, int64_t tiles, float *out)
{
    vec sum[ROWS][MAX_COLUMNS] = {0};
    const float *second = d + tiles * LANES, *third = second + tiles * LANES;
    for (int64_t t = 0; t < tiles * LANES; t += LANES) {
        vec gradient[MAX_COLUMNS];
        gradient[0] = load(d + t);
        if (columns > 1) gradient[1] = load(second + t);
        if (columns > 2) gradient[2] = load(third + t);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++) {
            const vec value = fill(v[t + r]);
#pragma GCC unroll 3
            for (int j = 0; j < columns; j++) sum[r][j] += value * gradient[j];
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) {
#pragma GCC unroll 3
        for (int j = 0; j < columns; j++) store(out + (r * columns + j) * LANES, sum[r][j]);
    }
}

static void sum_tiles_1(const float *v, const float *d, int64_t tiles, float *out)
{
    sum_tiles(1, v, d, tiles, out);
}

static void sum_tiles_2(const float *v, const float *d, int64_t tiles, float *out)
{
    sum_tiles(2, v, d, tiles, out);
}

static void sum_tiles_3(const float *v, const float *d, int64_t tiles, float *out)
{
    sum_tiles(3, v, d, tiles, out);
}

typedef void (*SumTiles)(const float *v, const float *d, int64_t tiles, float *out);
static const SumTiles SUM_TILES[MAX_COLUMNS] = {sum_tiles_1, sum_tiles_2, sum_tiles_3};

// Transform the tiles [first, first + tiles) of some blocks of channels of dy into d, as
// transform_input does for one group; add their sums to `sums`, for each channel.
ALWAYS_INLINE void transform_output_gradient_of(
    int taps, int type, const Correlation *c, const void *dy, int64_t first, int64_t tiles,
    int64_t block, float *d, float *sums)
{
    const int64_t step = position_step(c->out_blocks, tiles);
    const int outputs = OUTPUTS(taps);
    vec total = load(sums);
    for (int64_t t = 0; t < tiles; t++) {
        const Tile tile = tile_at(c, first + t);
        const void *from = value_at(dy, tile.image * c->y.image + block * c->y.block, type);
        const int64_t row = tile.row * outputs, column = tile.column * outputs;
        float *out = d + (block * tiles + t) * LANES;
        vec y[MAX_OUTPUTS * MAX_OUTPUTS], rows[MAX_OUTPUTS * SPAN], line[SPAN];
        prefetch_tile(&c->y, type, from, row, column + 2 * outputs, outputs, outputs);
        read_tile(&c->y, type, from, row, column, outputs, y);
        for (int i = 0; i < outputs; i++) {
            for (int k = 0; k < outputs; k += 2)
                total += y[i * outputs + k] + y[i * outputs + k + 1];
            transform_gradient(taps, y + i * outputs, 1, rows + i * SPAN);
        }
        for (int i = 0; i < SPAN; i++) {
            transform_gradient(taps, rows + i, SPAN, line);
            for (int r = 0; r < SPAN; r++) store(out + (r * SPAN + i) * step, line[r]);
        }
    }
    store(sums, total);
}

ALWAYS_INLINE void transform_output_gradient_as(
    int type, const Correlation *c, const void *dy, int64_t first, int64_t tiles, int64_t block,
    float *d, float *sums)
{
    if (c->taps == 3)
        transform_output_gradient_of(3, type, c, dy, first, tiles, block, d, sums);
    else
        transform_output_gradient_of(5, type, c, dy, first, tiles, block, d, sums);
}

static void transform_output_gradient(
    const Correlation *c, const void *dy, int64_t first, int64_t tiles, int64_t from_block,
    int64_t to_block, float *d, float *sums)
{
    for (int64_t b = from_block; b < to_block; b++) {
        float *total = sums + b * LANES;
        if (c->y_type == FLOAT32)
            transform_output_gradient_as(FLOAT32, c, dy, first, tiles, b, d, total);
#ifdef __AVX512BF16__
        else if (c->y_type == BFLOAT16)
            transform_output_gradient_as(BFLOAT16, c, dy, first, tiles, b, d, total);
        else
            transform_output_gradient_as(ROUNDED_TO_BFLOAT16, c, dy, first, tiles, b, d, total);
#endif
    }
}

// Transform products at all positions to the gradient of the taps, and add it to dw.
ALWAYS_INLINE void add_taps(
    int taps, const Correlation *c, const float *products, int columns, int overwrites, float *dw)
{
    const int64_t step = LANES * columns * LANES;
    for (int i = 0; i < LANES; i++) {
        for (int j = 0; j < columns; j++) {
            const float *from = products + (i * columns + j) * LANES;
            float *to = dw + (j * c->in_blocks * taps * taps * LANES + i) * LANES;
            vec u[POSITIONS], half[MAX_TAPS * SPAN], line[MAX_TAPS];
            for (int p = 0; p < POSITIONS; p++) u[p] = load(from + p * step);
            for (int k = 0; k < SPAN; k++) {
                transform_filter_gradient(taps, u + k, SPAN, line);
                for (int r = 0; r < taps; r++) half[r * SPAN + k] = line[r];
            }
            for (int r = 0; r < taps; r++) {
                transform_filter_gradient(taps, half + r * SPAN, 1, line);
                for (int k = 0; k < taps; k++) {
                    float *at = to + (r * taps + k) * WEIGHT_BLOCK;
                    if (!overwrites) line[k] += load(at);
                    store(at, line[k]);
                }
            }
        }
    }
}

// Add to the gradient of the filters between one block of inputs and some blocks of outputs.
static void add_products(
    const Correlation *c, const float *v, const float *d, int64_t tiles, int64_t in, int64_t out,
    int columns, float *products, int overwrites, float *dw)
{
    const int64_t v_step = position_step(c->in_blocks, tiles);
    const int64_t d_step = position_step(c->out_blocks, tiles);
    const int64_t step = LANES * columns * LANES;
    v += in * tiles * LANES;
    d += out * tiles * LANES;
    for (int p = 0; p < POSITIONS; p++) {
        for (int r = 0; r < LANES; r += ROWS)
            SUM_TILES[columns - 1](
                v + p * v_step + r, d + p * d_step, tiles,
                products + p * step + r * columns * LANES);
    }
    float *to = dw + (out * c->in_blocks + in) * c->taps * c->taps * WEIGHT_BLOCK;
    if (c->taps == 3)
        add_taps(3, c, products, columns, overwrites, to);
    else
        add_taps(5, c, products, columns, overwrites, to);
}

// Overwrite dw, or add to it if `adds`; add to db if it is not NULL.
//
// dw: in blocks (outputs, inputs, taps, LANES inputs, LANES outputs).
// scratch: for each thread, at a distance of `scratch_step` values: sums of dy, products, a
// gradient of the filters, V, D. Each thread sums a fixed part of the tiles (`is_shared`: of dw), so
// that the result is the same in every pass.
EXPORT void winograd_gradient(
    const int64_t *sizes, const void *x, const void *dy, float *dw, int adds, float *db,
    float *scratch, int64_t scratch_step, int threads)
{
    const Correlation *c = (const Correlation *)sizes;
    const int64_t tiles = n_tiles(c), panels = (c->out_blocks + MAX_COLUMNS - 1) / MAX_COLUMNS;
    const int64_t ranges = (tiles + c->range - 1) / c->range, tasks = c->groups * ranges;
    const int64_t filters = c->groups * c->out_blocks * LANES;
    const int64_t group_size = c->out_blocks * c->in_blocks * c->taps * c->taps * WEIGHT_BLOCK;
    const int64_t size = c->groups * group_size;
    const int64_t products_size = POSITIONS * LANES * MAX_COLUMNS * LANES;
    const int64_t partial_size = c->is_shared ? 0 : size;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        const int thread = omp_get_thread_num(), n_threads = omp_get_num_threads();
        const int team = c->is_shared ? n_threads : 1, member = c->is_shared ? thread : 0;
        const int64_t from_task = c->is_shared ? 0 : share(tasks, thread, n_threads);
        const int64_t to_task = c->is_shared ? tasks : share(tasks, thread + 1, n_threads);
        const int64_t items = panels * c->in_blocks;
        float *sums = scratch + thread * scratch_step, *products = sums + filters;
        float *partial = products + products_size;
        float *v = (c->is_shared ? scratch + filters + products_size : partial) + partial_size;
        float *d = v + POSITIONS * position_step(c->in_blocks, c->range);
        float *total = c->is_shared || thread == 0 ? dw : partial;
        memset(sums, 0, filters * sizeof(float));
        if (!c->is_shared && !(thread == 0 && adds)) memset(total, 0, size * sizeof(float));
        for (int64_t task = from_task; task < to_task; task++) {
            const int64_t group = task / ranges, i = task % ranges;
            const int64_t first = tiles * i / ranges, n = tiles * (i + 1) / ranges - first;
            const int overwrites = c->is_shared && i == 0 && !adds;
            transform_input(
                c, value_at(x, group * c->in_blocks * c->x.block, (int)c->x_type), first, n, 1,
                share(c->in_blocks, member, team), share(c->in_blocks, member + 1, team), v);
            transform_output_gradient(
                c, value_at(dy, group * c->out_blocks * c->y.block, (int)c->y_type), first, n,
                share(c->out_blocks, member, team), share(c->out_blocks, member + 1, team), d,
                sums + group * c->out_blocks * LANES);
            if (c->is_shared) {
#pragma omp barrier
            }
            for (int64_t k = share(items, member, team); k < share(items, member + 1, team); k++) {
                const int64_t panel = k / c->in_blocks, out = c->out_blocks * panel / panels;
                const int columns = (int)(c->out_blocks * (panel + 1) / panels - out);
                add_products(
                    c, v, d, n, k % c->in_blocks, out, columns, products, overwrites,
                    total + group * group_size);
            }
            if (c->is_shared) {
#pragma omp barrier
            }
        }
#pragma omp barrier
        if (!c->is_shared) {
            for (int other = 1; other < n_threads; other++) {
                const float *part = partial + (other - thread) * scratch_step;
                for (int64_t i = share(size, thread, n_threads);
                     i < share(size, thread + 1, n_threads); i++)
                    dw[i] += part[i];
            }
        }
        if (thread == 0 && db) {
            for (int other = 0; other < n_threads; other++)
                for (int64_t i = 0; i < filters; i++) db[i] += sums[other * scratch_step + i];
        }
    }
}
