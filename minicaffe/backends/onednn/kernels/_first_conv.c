// Gradient of the filters and biases of a convolution of images with few channels, as the first
// layer of a net is; see _first_conv.py.
//
// x is plain, (samples, channels, height, width); dy is in blocks of LANES filters, (samples,
// blocks, out_height, out_width, LANES). A vector holds the gradient of one tap in LANES filters.
// A thread adds up consecutive rows of y in sums of its own; these are added in the order of the
// threads, so that results are reproducible.

#include "native.h"

// Sums in registers, of as many taps and blocks of filters: 24 vectors of 32, or 12 of 16.
enum {
    TAPS = 6,
#ifdef __AVX512F__
    BLOCKS = 4
#else
    BLOCKS = 2
#endif
};

// Sizes of one convolution, in the order in which Python writes them. `taps` counts the channels as
// well, rounded up to TAPS; `scratch` is the number of values for each thread.
typedef struct {
    int64_t samples, channels, height, width, blocks;
    int64_t kernel_height, kernel_width, stride_height, stride_width, pad_height, pad_width;
    int64_t out_height, out_width, taps, scratch;
} Sizes;

// The memory of a thread: sums (blocks, taps, LANES), those of dy (blocks, LANES), the rows of x
// below a row of y with their padding, (kernel_height, channels, staged_width), and where in them
// each tap begins.
typedef struct {
    float *sums, *bias, *rows;
    int64_t *starts;
} Thread;

static inline int64_t staged_width(const Sizes *s)
{
    return (s->out_width - 1) * s->stride_width + s->kernel_width;
}

static Thread thread_of(const Sizes *s, float *scratch, int64_t thread)
{
    float *sums = scratch + thread * s->scratch, *bias = sums + s->blocks * s->taps * LANES;
    int64_t *starts = (int64_t *)(bias + s->blocks * LANES);
    return (Thread){sums, bias, (float *)(starts + s->taps), starts};
}

// Taps in the order of the filters' layout: rows, columns, channels. Those beyond the last repeat
// the first, and their sums are not used.
static void find_starts(const Sizes *s, int64_t *starts)
{
    for (int64_t t = 0; t < s->taps; t++) starts[t] = 0;
    for (int64_t row = 0; row < s->kernel_height; row++)
        for (int64_t column = 0; column < s->kernel_width; column++)
            for (int64_t c = 0; c < s->channels; c++)
                *starts++ = (row * s->channels + c) * staged_width(s) + column;
}

static void stage_rows(const Sizes *s, const float *x, int64_t out_row, float *rows)
{
    const int64_t wide = staged_width(s);
    const int64_t right = s->width + s->pad_width < wide ? s->width + s->pad_width : wide;
    for (int64_t row = 0; row < s->kernel_height; row++) {
        const int64_t from = out_row * s->stride_height - s->pad_height + row;
        for (int64_t c = 0; c < s->channels; c++, rows += wide) {
            if (from < 0 || from >= s->height) {
                memset(rows, 0, (size_t)wide * sizeof(float));
                continue;
            }
            const float *values = x + (c * s->height + from) * s->width - s->pad_width;
            for (int64_t i = 0; i < wide; i++)
                rows[i] = i < s->pad_width || i >= right ? 0 : values[i];
        }
    }
}

// Add the products of TAPS taps of a row with `n` blocks of dy, `step` values apart.
ALWAYS_INLINE void add_taps(
    const Sizes *s, const float *rows, const int64_t *starts, const float *dy, int64_t step,
    float *sums, const int n)
{
    vec totals[TAPS][BLOCKS];
#pragma GCC unroll 6
    for (int t = 0; t < TAPS; t++)
#pragma GCC unroll 4
        for (int b = 0; b < n; b++) totals[t][b] = load(sums + (b * s->taps + t) * LANES);
    const float *at[TAPS];
#pragma GCC unroll 6
    for (int t = 0; t < TAPS; t++) at[t] = rows + starts[t];
    for (int64_t i = 0, x = 0; i < s->out_width; i++, x += s->stride_width, dy += LANES) {
        vec values[BLOCKS];
#pragma GCC unroll 4
        for (int b = 0; b < n; b++) values[b] = load(dy + b * step);
#pragma GCC unroll 6
        for (int t = 0; t < TAPS; t++) {
            const vec factor = fill(at[t][x]);
#pragma GCC unroll 4
            for (int b = 0; b < n; b++) totals[t][b] += factor * values[b];
        }
    }
#pragma GCC unroll 6
    for (int t = 0; t < TAPS; t++)
#pragma GCC unroll 4
        for (int b = 0; b < n; b++) store(sums + (b * s->taps + t) * LANES, totals[t][b]);
}

static void add_row(const Sizes *s, Thread thread, const float *dy, int64_t step)
{
    for (int64_t block = 0; block < s->blocks; block++) {
        vec total = load(thread.bias + block * LANES);
        for (int64_t i = 0; i < s->out_width; i++) total += load(dy + block * step + i * LANES);
        store(thread.bias + block * LANES, total);
    }
    for (int64_t block = 0; block < s->blocks;) {
        const int n = s->blocks - block >= BLOCKS ? BLOCKS : 1;
        const float *given = dy + block * step;
        for (int64_t tap = 0; tap < s->taps; tap += TAPS) {
            float *sums = thread.sums + (block * s->taps + tap) * LANES;
            if (n == BLOCKS)
                add_taps(s, thread.rows, thread.starts + tap, given, step, sums, BLOCKS);
            else
                add_taps(s, thread.rows, thread.starts + tap, given, step, sums, 1);
        }
        block += n;
    }
}

// Overwrite dw, (blocks, kernel_height, kernel_width, channels, LANES), or add to it if `adds`; add
// to db unless it is NULL. The scratch memory has sizes->scratch values for each thread.
EXPORT void first_conv_backward_weights(
    const int64_t *sizes, const float *x, const float *dy, float *dw, int adds, float *db,
    float *scratch, int threads)
{
    const Sizes *s = (const Sizes *)sizes;
    const int64_t n_rows = s->samples * s->out_height, row = s->out_width * LANES;
    const int64_t step = s->out_height * row;
    PARALLEL_FOR(threads)
    for (int64_t t = 0; t < threads; t++) {
        const Thread thread = thread_of(s, scratch, t);
        memset(thread.sums, 0, (size_t)(s->blocks * (s->taps + 1) * LANES) * sizeof(float));
        find_starts(s, thread.starts);
        for (int64_t i = t * n_rows / threads; i < (t + 1) * n_rows / threads; i++) {
            const int64_t sample = i / s->out_height, out_row = i % s->out_height;
            const float *image = x + sample * s->channels * s->height * s->width;
            stage_rows(s, image, out_row, thread.rows);
            add_row(s, thread, dy + sample * s->blocks * step + out_row * row, step);
        }
    }
    const int64_t taps = s->kernel_height * s->kernel_width * s->channels;
    for (int64_t block = 0; block < s->blocks; block++)
        for (int64_t tap = 0; tap < taps; tap++) {
            float *to = dw + (block * taps + tap) * LANES;
            vec total = adds ? load(to) : (vec){0};
            for (int64_t t = 0; t < threads; t++)
                total += load(thread_of(s, scratch, t).sums + (block * s->taps + tap) * LANES);
            store(to, total);
        }
    for (int64_t i = 0; db != NULL && i < s->blocks * LANES; i++)
        for (int64_t t = 0; t < threads; t++) db[i] += thread_of(s, scratch, t).bias[i];
}
