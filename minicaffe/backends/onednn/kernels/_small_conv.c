// Convolution of small images with stride 1 in plain (NCHW) layout; see _small_conv.py.
//
// All three passes are products of a matrix of broadcast values, a matrix whose rows are vectors,
// and a result that stays in the L1 cache:
//
//     forward             filters (F, taps)      columns (taps, pixels)
//     gradient of x       filters^T (taps, F)    dy (F, pixels)
//     gradient of w       dy (F, pixels)         rows (pixels, taps)
//
// so that no number of channels needs padding to whole vectors, except that of taps. An image is
// first copied with its padding; columns and rows are then copied from it without any comparison,
// eight values at once, some of them past the end of a row, where the next row overwrites them.

#include "native.h"

// Sums in registers: 6 x 4 vectors of 32 registers, or 6 x 2 of 16.
#define MAX_ROWS 6
#ifdef __AVX512F__
#define MAX_VECTORS 4
#else
#define MAX_VECTORS 2
#endif

// Values that are copied at once, and by how many values a copy may exceed its target.
#define RUN 8
typedef float run __attribute__((vector_size(RUN * 4), aligned(4), may_alias));
typedef float half_run __attribute__((vector_size(RUN * 2), aligned(4), may_alias));

// Sizes of one convolution, in the order in which Python writes them. A block has block_rows rows
// of y, and as many channels of x as columns or rows of the product should have; block_width are
// its pixels, row_taps its taps, both rounded up to whole vectors.
typedef struct {
    int64_t samples, channels, height, width, outputs;
    int64_t kernel_height, kernel_width, pad_height, pad_width;
    int64_t out_height, out_width, staged_height, staged_width;
    int64_t block_rows, block_width, column_channels, row_channels, row_taps, scratch;
    int64_t parts; // of the samples; threads compute parts
} Sizes;

// A matrix whose elements are broadcast: element (i, k) is at i * row + k * step.
typedef struct {
    const float *at;
    int64_t row, step;
} Broadcast;

// A matrix of vectors.
typedef struct {
    float *at;
    int64_t row;
} Rows;

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// sums (+)= a b, for as many rows and vectors as fit the registers.
ALWAYS_INLINE void add_tile(
    const int n_rows, const int n_vectors, int64_t depth, Broadcast a, Rows b, Rows c, int adds)
{
    vec sums[MAX_ROWS][MAX_VECTORS];
#pragma GCC unroll 6
    for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < n_vectors; j++)
            sums[i][j] = adds ? load(c.at + i * c.row + j * LANES) : (vec){0};
    const float *left = a.at, *right = b.at;
    for (int64_t k = 0; k < depth; k++) {
        vec values[MAX_VECTORS];
#pragma GCC unroll 4
        for (int j = 0; j < n_vectors; j++) values[j] = load(right + j * LANES);
#pragma GCC unroll 6
        for (int i = 0; i < n_rows; i++) {
            const vec factor = fill(left[i * a.row]);
#pragma GCC unroll 4
            for (int j = 0; j < n_vectors; j++) sums[i][j] += factor * values[j];
        }
        left += a.step;
        right += b.row;
    }
#pragma GCC unroll 6
    for (int i = 0; i < n_rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < n_vectors; j++) store(c.at + i * c.row + j * LANES, sums[i][j]);
}

#define TILE(rows, vectors)                                                                    \
    static void add_tile_##rows##_##vectors(                                                   \
        int64_t depth, Broadcast a, Rows b, Rows c, int adds)                                  \
    {                                                                                          \
        add_tile(rows, vectors, depth, a, b, c, adds);                                         \
    }
#define TILES(vectors) \
    TILE(1, vectors) TILE(2, vectors) TILE(3, vectors) TILE(4, vectors) TILE(5, vectors) \
    TILE(6, vectors)
#define NAMES(vectors)                                                                     \
    {add_tile_1_##vectors, add_tile_2_##vectors, add_tile_3_##vectors, add_tile_4_##vectors, \
     add_tile_5_##vectors, add_tile_6_##vectors}

TILES(1)
TILES(2)
#if MAX_VECTORS == 4
TILES(3)
TILES(4)
#endif

typedef void (*Tile)(int64_t depth, Broadcast a, Rows b, Rows c, int adds);
static const Tile tiles[MAX_VECTORS][MAX_ROWS] = {
    NAMES(1),
    NAMES(2),
#if MAX_VECTORS == 4
    NAMES(3),
    NAMES(4),
#endif
};

// c (+)= a b; n_columns is a multiple of LANES. Rows and vectors are divided evenly, because a
// narrow remainder would wait for the latency of its few sums.
static void add_product(
    int64_t n_rows, int64_t n_columns, int64_t depth, Broadcast a, Rows b, Rows c, int adds)
{
    const int64_t n_vectors = n_columns / LANES;
    const int64_t across = (n_vectors + MAX_VECTORS - 1) / MAX_VECTORS;
    const int64_t down = (n_rows + MAX_ROWS - 1) / MAX_ROWS;
    for (int64_t i = 0; i < across; i++) {
        const int64_t left = n_vectors * i / across, right = n_vectors * (i + 1) / across;
        const Rows panel = {b.at + left * LANES, b.row};
        for (int64_t j = 0; j < down; j++) {
            const int64_t top = n_rows * j / down, bottom = n_rows * (j + 1) / down;
            const Broadcast factors = {a.at + top * a.row, a.row, a.step};
            const Rows sums = {c.at + top * c.row + left * LANES, c.row};
            tiles[right - left - 1][bottom - top - 1](depth, factors, panel, sums, adds);
        }
    }
}

// Copy n values, and up to RUN - 1 more. n_runs is 1 if one run suffices, else 0: a loop of one
// iteration costs more than the copy.
ALWAYS_INLINE void copy_runs(float *to, const float *from, int64_t n, const int n_runs)
{
    *(run *)to = *(const run *)from;
    for (int64_t i = RUN; !n_runs && i < n; i += RUN) *(run *)(to + i) = *(const run *)(from + i);
}

// Add n values.
ALWAYS_INLINE void add_values(float *to, const float *from, int64_t n)
{
    int64_t i = 0;
    for (; i + RUN <= n; i += RUN) *(run *)(to + i) += *(const run *)(from + i);
    if (i + RUN / 2 <= n) {
        *(half_run *)(to + i) += *(const half_run *)(from + i);
        i += RUN / 2;
    }
    for (; i < n; i++) to[i] += from[i];
}

// Copy the rows of the channels of images, whose planes and rows lie apart as these steps say.
static void copy_image(
    const Sizes *s, float *to, int64_t to_plane, int64_t to_row, const float *from,
    int64_t from_plane, int64_t from_row)
{
    if (!s->pad_height && !s->pad_width) {
        memcpy(to, from, s->channels * s->height * s->width * sizeof(float));
        return;
    }
    for (int64_t c = 0; c < s->channels; c++)
        for (int64_t i = 0; i < s->height; i++)
            memcpy(
                to + c * to_plane + i * to_row, from + c * from_plane + i * from_row,
                s->width * sizeof(float));
}

// Copy an image into the middle of a padded one, whose border is zero already.
static void stage(const Sizes *s, const float *image, float *staged)
{
    float *inner = staged + s->pad_height * s->staged_width + s->pad_width;
    const int64_t plane = s->staged_height * s->staged_width;
    copy_image(s, inner, plane, s->staged_width, image, s->height * s->width, s->width);
}

static void unstage(const Sizes *s, const float *staged, float *image)
{
    const float *inner = staged + s->pad_height * s->staged_width + s->pad_width;
    const int64_t plane = s->staged_height * s->staged_width;
    copy_image(s, image, s->height * s->width, s->width, inner, plane, s->staged_width);
}

// A block of channels and output rows.
typedef struct {
    int64_t channel, channels, top, rows;
} Block;

static inline Block block_at(const Sizes *s, int64_t channel, int64_t channels, int64_t top)
{
    return (Block){
        channel, least(channels, s->channels - channel), top,
        least(s->block_rows, s->out_height - top)};
}

static inline int64_t taps_of(const Sizes *s, Block b)
{
    return b.channels * s->kernel_height * s->kernel_width;
}

static inline int64_t pixels_of(const Sizes *s, Block b) { return b.rows * s->out_width; }

static inline int64_t round_up(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

// Where the values under the first tap of a block are.
static inline int64_t corner_of(const Sizes *s, Block b)
{
    return (b.channel * s->staged_height + b.top) * s->staged_width;
}

// columns[tap][pixel] = the value under the tap. `from` is at the block's corner.
ALWAYS_INLINE void copy_columns(
    const Sizes *s, Block b, const float *from, float *columns, const int n_runs)
{
    const int64_t n = s->out_width;
    for (int64_t c = 0; c < b.channels; c++, from += s->staged_height * s->staged_width)
        for (int64_t i = 0; i < s->kernel_height; i++)
            for (int64_t j = 0; j < s->kernel_width; j++, columns += s->block_width) {
                const float *row = from + i * s->staged_width + j;
                float *to = columns;
                for (int64_t y = 0; y < b.rows; y++, row += s->staged_width, to += n)
                    copy_runs(to, row, n, n_runs);
            }
}

static void gather_columns(const Sizes *s, Block b, const float *staged, float *columns)
{
    const float *from = staged + corner_of(s, b);
    if (s->out_width <= RUN)
        copy_columns(s, b, from, columns, 1);
    else
        copy_columns(s, b, from, columns, 0);
}

// Add columns to the values under the taps.
ALWAYS_INLINE void add_columns(
    const Sizes *s, Block b, const float *columns, float *to, const int64_t n)
{
    for (int64_t c = 0; c < b.channels; c++, to += s->staged_height * s->staged_width)
        for (int64_t i = 0; i < s->kernel_height; i++)
            for (int64_t j = 0; j < s->kernel_width; j++, columns += s->block_width) {
                float *row = to + i * s->staged_width + j;
                const float *from = columns;
                for (int64_t y = 0; y < b.rows; y++, row += s->staged_width, from += n)
                    add_values(row, from, n);
            }
}

static void scatter_columns(const Sizes *s, Block b, const float *columns, float *staged)
{
    float *to = staged + corner_of(s, b);
    if (s->out_width == RUN)
        add_columns(s, b, columns, to, RUN);
    else
        add_columns(s, b, columns, to, s->out_width);
}

// rows[pixel][tap] = the value under the tap.
ALWAYS_INLINE void copy_rows(
    const Sizes *s, Block b, const float *from, float *rows, const int n_runs)
{
    const int64_t plane = s->staged_height * s->staged_width, n = s->kernel_width;
    for (int64_t y = 0; y < b.rows; y++, from += s->staged_width)
        for (int64_t x = 0; x < s->out_width; x++, rows += s->row_taps) {
            const float *channel = from + x;
            float *to = rows;
            for (int64_t c = 0; c < b.channels; c++, channel += plane) {
                const float *row = channel;
                for (int64_t i = 0; i < s->kernel_height; i++, row += s->staged_width, to += n)
                    copy_runs(to, row, n, n_runs);
            }
        }
}

static void gather_rows(const Sizes *s, Block b, const float *staged, float *rows)
{
    const float *from = staged + corner_of(s, b);
    if (s->kernel_width <= RUN)
        copy_rows(s, b, from, rows, 1);
    else
        copy_rows(s, b, from, rows, 0);
}

// y = (sums + bias) factor + term, rectified; the three are 0, 1 and 0 if NULL.
static void finish(
    const Sizes *s, Block b, const float *sums, const float *bias, const float *factor,
    const float *term, int rectifies, float *y)
{
    const int64_t n = pixels_of(s, b), pixels = s->out_height * s->out_width;
    for (int64_t f = 0; f < s->outputs; f++) {
        const float *from = sums + f * s->block_width;
        float *to = y + f * pixels + b.top * s->out_width;
        const float shift = bias ? bias[f] : 0, scale = factor ? factor[f] : 1;
        const float more = term ? term[f] : 0;
        for (int64_t i = 0; i < n; i++) {
            const float value = (from[i] + shift) * scale + more;
            to[i] = rectifies ? rectify_one(value) : value;
        }
    }
}

// Values of a buffer with the overhang of copies, in whole cache lines: a vector that crosses two
// lines takes two accesses.
static inline int64_t padded(int64_t n) { return (n + RUN + 15) / 16 * 16; }

// Scratch of a part of the images: the padded image, the matrix of vectors, and the result.
static inline float *staged_of(const Sizes *s, float *scratch, int64_t part)
{
    return scratch + part * s->scratch;
}

static inline float *vectors_of(const Sizes *s, float *staged)
{
    return staged + padded(s->channels * s->staged_height * s->staged_width);
}

EXPORT void small_conv_forward(
    const Sizes *s, const float *x, const float *w, const float *bias, const float *factor,
    const float *term, int rectifies, float *y, float *scratch, int threads)
{
    const int64_t taps = s->kernel_height * s->kernel_width, all_taps = s->channels * taps;
    PARALLEL_FOR(threads)
    for (int64_t part = 0; part < s->parts; part++) {
        float *staged = staged_of(s, scratch, part), *columns = vectors_of(s, staged);
        float *sums = columns + padded(s->column_channels * taps * s->block_width);
        const int64_t end = s->samples * (part + 1) / s->parts;
        for (int64_t n = s->samples * part / s->parts; n < end; n++) {
            stage(s, x + n * s->channels * s->height * s->width, staged);
            for (int64_t top = 0; top < s->out_height; top += s->block_rows) {
                for (int64_t c = 0; c < s->channels; c += s->column_channels) {
                    const Block b = block_at(s, c, s->column_channels, top);
                    gather_columns(s, b, staged, columns);
                    add_product(
                        s->outputs, round_up(pixels_of(s, b)), taps_of(s, b),
                        (Broadcast){w + c * taps, all_taps, 1}, (Rows){columns, s->block_width},
                        (Rows){sums, s->block_width}, c > 0);
                }
                finish(
                    s, block_at(s, 0, 0, top), sums, bias, factor, term, rectifies,
                    y + n * s->outputs * s->out_height * s->out_width);
            }
        }
    }
}

EXPORT void small_conv_backward_data(
    const Sizes *s, const float *dy, const float *w, float *dx, float *scratch, int threads)
{
    const int64_t taps = s->kernel_height * s->kernel_width, all_taps = s->channels * taps;
    const int64_t pixels = s->out_height * s->out_width;
    const int64_t staged_size = s->channels * s->staged_height * s->staged_width;
    PARALLEL_FOR(threads)
    for (int64_t part = 0; part < s->parts; part++) {
        float *staged = staged_of(s, scratch, part), *given = vectors_of(s, staged);
        float *columns = given + padded(s->outputs * s->block_width);
        const int64_t end = s->samples * (part + 1) / s->parts;
        for (int64_t n = s->samples * part / s->parts; n < end; n++) {
            memset(staged, 0, staged_size * sizeof(float));
            for (int64_t top = 0; top < s->out_height; top += s->block_rows) {
                const Block whole = block_at(s, 0, 0, top);
                const float *from = dy + n * s->outputs * pixels + top * s->out_width;
                for (int64_t f = 0; f < s->outputs; f++)
                    memcpy(
                        given + f * s->block_width, from + f * pixels,
                        pixels_of(s, whole) * sizeof(float));
                for (int64_t c = 0; c < s->channels; c += s->column_channels) {
                    const Block b = block_at(s, c, s->column_channels, top);
                    add_product(
                        taps_of(s, b), round_up(pixels_of(s, b)), s->outputs,
                        (Broadcast){w + c * taps, 1, all_taps}, (Rows){given, s->block_width},
                        (Rows){columns, s->block_width}, 0);
                    scatter_columns(s, b, columns, staged);
                }
            }
            unstage(s, staged, dx + n * s->channels * s->height * s->width);
        }
        // The border stays zero for the forward pass.
        memset(staged, 0, staged_size * sizeof(float));
    }
}

// Add a block of one image to the sums (blocks of channels, F, row_taps) of a part.
static void add_weight_sums(
    const Sizes *s, const float *staged, const float *dy, int64_t top, float *rows, float *sums)
{
    const int64_t pixels = s->out_height * s->out_width;
    const Broadcast given = {dy + top * s->out_width, pixels, 1};
    for (int64_t c = 0; c < s->channels; c += s->row_channels) {
        const Block b = block_at(s, c, s->row_channels, top);
        gather_rows(s, b, staged, rows);
        add_product(
            s->outputs, s->row_taps, pixels_of(s, b), given, (Rows){rows, s->row_taps},
            (Rows){sums, s->row_taps}, 1);
        sums += s->outputs * s->row_taps;
    }
}

// Add to db the sums of dy of some images over their pixels.
static void add_bias_sums(const Sizes *s, const float *dy, float *db)
{
    const int64_t pixels = s->out_height * s->out_width;
    for (int64_t f = 0; f < s->outputs; f++, dy += pixels) {
        vec total = {0};
        int64_t i = 0;
        for (; i + LANES <= pixels; i += LANES) total += load(dy + i);
        for (int lane = 0; lane < LANES; lane++) db[f] += total[lane];
        for (; i < pixels; i++) db[f] += dy[i];
    }
}

// Add to dw and db, of which either may be NULL. The sums of the parts are added in their order, so
// that the number of threads changes no bit.
EXPORT void small_conv_backward_weights(
    const Sizes *s, const float *x, const float *dy, float *dw, float *db, float *scratch,
    int threads)
{
    const int64_t taps = s->kernel_height * s->kernel_width, all_taps = s->channels * taps;
    const int64_t blocks = (s->channels + s->row_channels - 1) / s->row_channels;
    const int64_t pixels = s->out_height * s->out_width, rows_size = s->block_rows * s->out_width;
    const int64_t n_sums = blocks * s->outputs * s->row_taps;
    PARALLEL_FOR(threads)
    for (int64_t part = 0; part < s->parts; part++) {
        float *staged = staged_of(s, scratch, part), *rows = vectors_of(s, staged);
        float *sums = rows + padded(rows_size * s->row_taps), *bias_sums = sums + n_sums;
        memset(sums, 0, (n_sums + s->outputs) * sizeof(float));
        const int64_t end = s->samples * (part + 1) / s->parts;
        for (int64_t n = s->samples * part / s->parts; n < end; n++) {
            const float *given = dy + n * s->outputs * pixels;
            if (db) add_bias_sums(s, given, bias_sums);
            if (!dw) continue;
            stage(s, x + n * s->channels * s->height * s->width, staged);
            for (int64_t top = 0; top < s->out_height; top += s->block_rows)
                add_weight_sums(s, staged, given, top, rows, sums);
        }
    }
    for (int64_t part = 0; part < s->parts; part++) {
        const float *rows = vectors_of(s, staged_of(s, scratch, part));
        const float *sums = rows + padded(rows_size * s->row_taps), *bias_sums = sums + n_sums;
        for (int64_t c = 0; dw && c < s->channels; c += s->row_channels)
            for (int64_t f = 0; f < s->outputs; f++, sums += s->row_taps)
                for (int64_t t = 0; t < taps_of(s, block_at(s, c, s->row_channels, 0)); t++)
                    dw[f * all_taps + c * taps + t] += sums[t];
        for (int64_t f = 0; db && f < s->outputs; f++) db[f] += bias_sums[f];
    }
}
