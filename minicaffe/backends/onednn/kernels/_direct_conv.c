// y = convolution of x by its definition, register-blocked, on images in blocks of LANES channels;
// see _direct_conv.py.
//
// A tile of pixels times blocks of outputs stays in registers while the inputs pass by. Filters are
// read in oneDNN's square blocks. Where a layer has more filters than values of x, main memory is
// the limit: each thread then computes outputs of its own, so that it reads only their filters, and
// begins to load the filters of the next tiles while it multiplies.

#include <omp.h>

#include "native.h"

// The most pixels of a tile, by its blocks of outputs: the sums, the filters of one input and a
// broadcast value fill the 32 registers of AVX-512, or the 16 of AVX2.
#define MAX_VECTORS 3
#if LANES == 16
enum { MOST_1 = 14, MOST_2 = 14, MOST_3 = 9, MAX_ROWS = 14 };
#else
enum { MOST_1 = 12, MOST_2 = 6, MOST_3 = 4, MAX_ROWS = 12 };
#endif
static const int64_t MOST_ROWS[MAX_VECTORS] = {MOST_1, MOST_2, MOST_3};

enum { LINE = 64 / sizeof(float), WEIGHT_BLOCK = LANES * LANES, UNROLLED = 4 };

// Written by _direct_conv.py. A unit is what threads share: a pixel of y if the pixels of x follow
// each other as those of y do, else a row.
typedef struct {
    int64_t images, in_blocks, out_blocks, out_channels;
    int64_t x_image, x_block, y_image, y_block; // distances in values; of the padded x
    int64_t units, width; // units of an image, pixels of a unit
    int64_t x_unit, stride; // distance of units in values, of pixels in pixels
    int64_t kernel_rows, kernel_columns;
    int64_t in_chunk, unit_chunk; // blocks of inputs, and units, that are processed together
    int64_t by_outputs; // Whether threads share the outputs, else the units.
    int64_t rows, columns, above, left, padded_rows, padded_columns; // of x, if it is padded
} Sizes;

// A call: (sum + bias) factor + term, and ReLU, are applied to the sums; the three may be NULL.
typedef struct {
    const Sizes *sizes;
    const int64_t *offsets; // of x, for each step: a tap of a block of inputs
    const float *x, *w;
    float *y;
    const float *bias, *factor, *term;
    int rectifies;
} Call;

// The same for one block of outputs: sum factor + term, and zeros in the lanes of padding.
typedef struct {
    vec factor, term;
    ivec kept;
} BlockEpilogue;

// One tile: the sums over the inputs of a chunk.
typedef struct {
    const float *x, *w;
    float *y;
    const float *ahead; // where to begin to load filters
    const int64_t *offsets;
    int64_t steps, lines; // lines: to load for each step and block of outputs
    int64_t next_pixels; // of x, to begin to load
    int64_t w_block, y_block;
    int adds, rectifies; // adds: whether y holds the sums of earlier chunks
    BlockEpilogue blocks[MAX_VECTORS];
} Tile;

ALWAYS_INLINE void multiply_tile(const int rows, const int vectors, const int stride, const Tile *t)
{
    vec sum[MAX_ROWS][MAX_VECTORS];
#pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
        for (int j = 0; j < vectors; j++) sum[r][j] = (vec){0};
    const float *w = t->w, *ahead = t->ahead;
    const int64_t w_block = t->w_block;
    for (int64_t step = 0; step < t->steps; step++, w += WEIGHT_BLOCK) {
        const float *x = t->x + t->offsets[step];
        for (int64_t i = 0; i < t->lines; i++, ahead += LINE)
            for (int j = 0; j < vectors; j++) __builtin_prefetch(ahead + j * w_block, 0, 2);
        for (int64_t r = 0; r < t->next_pixels; r++)
            __builtin_prefetch(x + (rows + r) * stride * LANES);
        for (int from = 0; from < LANES; from += UNROLLED) {
#pragma GCC unroll 4
            for (int i = from; i < from + UNROLLED; i++) {
                vec filters[MAX_VECTORS];
#pragma GCC unroll 3
                for (int j = 0; j < vectors; j++) filters[j] = load(w + j * w_block + i * LANES);
#pragma GCC unroll 14
                for (int r = 0; r < rows; r++) {
                    const vec value = fill(x[r * stride * LANES + i]);
#pragma GCC unroll 3
                    for (int j = 0; j < vectors; j++) sum[r][j] += value * filters[j];
                }
            }
        }
    }
#pragma GCC unroll 3
    for (int j = 0; j < vectors; j++) {
        float *y = t->y + j * t->y_block;
        if (t->adds) {
#pragma GCC unroll 14
            for (int r = 0; r < rows; r++) sum[r][j] += load(y + r * LANES);
        }
        const BlockEpilogue e = t->blocks[j];
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++) sum[r][j] = sum[r][j] * e.factor + e.term;
        if (t->rectifies) {
#pragma GCC unroll 14
            for (int r = 0; r < rows; r++) sum[r][j] = rectify(sum[r][j]);
        }
#pragma GCC unroll 14
        for (int r = 0; r < rows; r++) store(y + r * LANES, (vec)((ivec)sum[r][j] & e.kept));
    }
}

typedef void (*MultiplyTile)(const Tile *t);

#define DEFINE_TILE(rows, vectors, stride) \
    static void multiply_##rows##_##vectors##_##stride(const Tile *t) \
    { \
        multiply_tile(rows, vectors, stride, t); \
    }
#define DEFINE_TILES(rows, vectors) DEFINE_TILE(rows, vectors, 1) DEFINE_TILE(rows, vectors, 2)
#define TILES(rows, vectors) {multiply_##rows##_##vectors##_1, multiply_##rows##_##vectors##_2}
#define FOR_4(one, v) one(1, v) one(2, v) one(3, v) one(4, v)
#define FOR_6(one, v) FOR_4(one, v) one(5, v) one(6, v)
#define FOR_9(one, v) FOR_6(one, v) one(7, v) one(8, v) one(9, v)
#define FOR_12(one, v) FOR_9(one, v) one(10, v) one(11, v) one(12, v)
#define FOR_14(one, v) FOR_12(one, v) one(13, v) one(14, v)
#define ENTRY(rows, vectors) TILES(rows, vectors),
#if LANES == 16
FOR_14(DEFINE_TILES, 1) FOR_14(DEFINE_TILES, 2) FOR_9(DEFINE_TILES, 3)
#else
FOR_12(DEFINE_TILES, 1) FOR_6(DEFINE_TILES, 2) FOR_4(DEFINE_TILES, 3)
#endif

// By blocks of outputs, pixels, stride.
static const MultiplyTile MULTIPLY[MAX_VECTORS][MAX_ROWS][2] = {
#if LANES == 16
    {FOR_14(ENTRY, 1)}, {FOR_14(ENTRY, 2)}, {FOR_9(ENTRY, 3)},
#else
    {FOR_12(ENTRY, 1)}, {FOR_6(ENTRY, 2)}, {FOR_4(ENTRY, 3)},
#endif
};

ALWAYS_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// The first of n items that belong to a part of them.
ALWAYS_INLINE int64_t share_of(int64_t n, int64_t part, int64_t parts) { return n * part / parts; }

ALWAYS_INLINE int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// A panel: some blocks of outputs, two of them, or three at the end of an odd number.
static int panel_vectors(const Sizes *s, int64_t block)
{
    const int64_t left = s->out_blocks - block;
    return (int)(left == 3 ? 3 : smaller(left, 2));
}

// The values of n channels from `channel` on, then zeros.
static vec load_channels(const float *from, int64_t channel, int64_t n)
{
    vec values = {0};
    memcpy(&values, from + channel, (size_t)n * sizeof(float));
    return values;
}

static BlockEpilogue block_epilogue(const Call *c, int64_t block)
{
    const int64_t channel = block * LANES, n = smaller(LANES, c->sizes->out_channels - channel);
    BlockEpilogue found = {fill(1), fill(0), {0}};
    if (c->bias) found.term = load_channels(c->bias, channel, n);
    if (c->factor) {
        found.factor = load_channels(c->factor, channel, n);
        found.term = found.term * found.factor + load_channels(c->term, channel, n);
    }
    for (int i = 0; i < n; i++) found.kept[i] = -1;
    return found;
}

// Multiply the units [from, to) of an image by the panel that begins with `block`. `is_new`: whether
// this thread has not read these units before.
static void multiply_panel(
    const Call *c, int64_t block, int64_t image, int64_t from, int64_t to, int is_new)
{
    const Sizes *s = c->sizes;
    const int vectors = panel_vectors(s, block);
    const int64_t taps = s->kernel_rows * s->kernel_columns;
    // Pixels that follow each other: all units of one pixel, else one unit.
    const int64_t runs = s->width == 1 ? 1 : to - from;
    const int64_t pixels = s->width == 1 ? to - from : s->width;
    const int64_t tiles = divide_up(pixels, MOST_ROWS[vectors - 1]), count = runs * tiles;
    const int64_t chunks = divide_up(s->in_blocks, s->in_chunk);
    Tile t = {.offsets = c->offsets, .y_block = s->y_block};
    t.w_block = s->in_blocks * taps * WEIGHT_BLOCK;
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        const int64_t first = share_of(s->in_blocks, chunk, chunks);
        const int is_last = chunk + 1 == chunks;
        t.steps = (share_of(s->in_blocks, chunk + 1, chunks) - first) * taps;
        t.w = c->w + (block * s->in_blocks + first) * taps * WEIGHT_BLOCK;
        t.adds = chunk > 0;
        t.rectifies = is_last && c->rectifies;
        for (int j = 0; j < vectors; j++)
            t.blocks[j] = is_last ? block_epilogue(c, block + j)
                                  : (BlockEpilogue){fill(1), fill(0), (ivec){0} - 1};
        // The filters of the next chunk of this panel, or of the first one of the next panel.
        const float *next = t.w + t.steps * WEIGHT_BLOCK + (is_last ? vectors - 1 : 0) * t.w_block;
        const int64_t total = t.steps * WEIGHT_BLOCK / LINE;
        const int64_t lines = divide_up(divide_up(total, count), t.steps);
        for (int64_t i = 0; i < count; i++) {
            const int64_t unit = from + i / tiles, n = i % tiles;
            const int64_t at = share_of(pixels, n, tiles), rows = share_of(pixels, n + 1, tiles) - at;
            t.x = c->x + image * s->x_image + unit * s->x_unit + first * s->x_block
                + at * s->stride * LANES;
            t.y = c->y + image * s->y_image + block * s->y_block + (unit * s->width + at) * LANES;
            t.next_pixels = is_new ? smaller(rows, pixels - at - rows) : 0;
            t.lines = i * lines * t.steps < total ? lines : 0;
            t.ahead = next + i * lines * t.steps * LINE;
            MULTIPLY[vectors - 1][rows - 1][s->stride - 1](&t);
        }
    }
}

// Multiply units of all images, numbered through, by a panel.
static void multiply_units(const Call *c, int64_t block, int64_t from, int64_t to, int is_new)
{
    const int64_t units = c->sizes->units;
    while (from < to) {
        const int64_t image = from / units, start = image * units;
        const int64_t stop = smaller(to, start + units);
        multiply_panel(c, block, image, from - start, stop - start, is_new);
        from = stop;
    }
}

// Copy a part of the planes of x into images with zeros around them.
static void pad_planes(const Sizes *s, const float *x, float *padded, int64_t from, int64_t to)
{
    const int64_t row = s->columns * LANES, size = s->padded_columns * LANES;
    for (int64_t plane = from; plane < to; plane++) {
        const float *source = x + plane * s->rows * row;
        float *target = padded + plane * s->padded_rows * size;
        for (int64_t i = 0; i < s->padded_rows; i++, target += size) {
            const int64_t r = i - s->above;
            if (r < 0 || r >= s->rows) {
                memset(target, 0, (size_t)size * sizeof(float));
                continue;
            }
            const int64_t before = s->left * LANES;
            memset(target, 0, (size_t)before * sizeof(float));
            memcpy(target + before, source + r * row, (size_t)row * sizeof(float));
            memset(target + before + row, 0, (size_t)(size - before - row) * sizeof(float));
        }
    }
}

// The units of a panel before a place in the sequence of all blocks of outputs times all units.
static int64_t units_before(const Sizes *s, int64_t block, int64_t place)
{
    const int64_t units = s->images * s->units, ahead = place - block * units;
    const int vectors = panel_vectors(s, block);
    return ahead < 0 ? 0 : smaller(ahead / vectors, units);
}

// The share of a thread of outputs: panels, the first and last of which may be divided.
static void multiply_outputs(const Call *c, int64_t thread, int64_t threads)
{
    const Sizes *s = c->sizes;
    const int64_t all = s->out_blocks * s->images * s->units;
    const int64_t from = share_of(all, thread, threads), to = share_of(all, thread + 1, threads);
    int is_new = s->kernel_rows * s->kernel_columns == 1;
    for (int64_t k = 0; k < s->out_blocks; k += panel_vectors(s, k)) {
        const int64_t start = units_before(s, k, from), stop = units_before(s, k, to);
        multiply_units(c, k, start, stop, is_new);
        if (start < stop) is_new = 0;
    }
}

// The share of a thread of units, in chunks that stay in the cache while all panels pass by.
static void multiply_images(const Call *c, int64_t thread, int64_t threads)
{
    const Sizes *s = c->sizes;
    const int64_t all = s->images * s->units, first = share_of(all, thread, threads);
    const int64_t n = share_of(all, thread + 1, threads) - first;
    const int64_t chunks = divide_up(n, s->unit_chunk);
    const int has_one_tap = s->kernel_rows * s->kernel_columns == 1;
    for (int64_t i = 0; i < chunks; i++) {
        const int64_t from = first + share_of(n, i, chunks), to = first + share_of(n, i + 1, chunks);
        for (int64_t k = 0; k < s->out_blocks; k += panel_vectors(s, k))
            multiply_units(c, k, from, to, k == 0 && has_one_tap);
    }
}

// Overwrite y. bias, factor and term (out_channels) may be NULL. `padded` has room for x with zeros
// around each image, and is NULL if there is no padding.
EXPORT void direct_conv_forward(
    const int64_t *sizes, const int64_t *offsets, const float *x, const float *w,
    const float *bias, const float *factor, const float *term, int rectifies, float *y,
    float *padded, int threads)
{
    const Sizes *s = (const Sizes *)sizes;
    const Call call = {s, offsets, padded ? padded : x, w, y, bias, factor, term, rectifies};
    const int64_t planes = s->images * s->in_blocks;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        const int thread = omp_get_thread_num(), n = omp_get_num_threads();
        if (padded) {
            pad_planes(s, x, padded, share_of(planes, thread, n), share_of(planes, thread + 1, n));
#pragma omp barrier
        }
        if (s->by_outputs)
            multiply_outputs(&call, thread, n);
        else
            multiply_images(&call, thread, n);
    }
}
