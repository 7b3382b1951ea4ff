// Depthwise convolution with 3 x 3 taps of images in blocks of LANES channels; see
// _depthwise_conv.py. A vector holds the channels of a pixel, so every tap is one multiplication.

#include "native.h"

#define TAPS 9
// Sizes in the order in which Python writes them: a plane is a block of channels of an image.
typedef struct {
    int64_t images, blocks, height, width, out_height, out_width, pad_height, pad_width;
} Sizes;

// Factors of a pixel's nine taps, in row-major order.
typedef struct {
    vec taps[TAPS];
} Filters;

// The filters (channels, 1, 3, 3) of a block; turned by half a turn if is_turned.
static Filters filters_of(const float *w, int64_t block, int is_turned)
{
    Filters found;
    for (int tap = 0; tap < TAPS; tap++)
        for (int lane = 0; lane < LANES; lane++)
            found.taps[tap][lane] =
                w[(block * LANES + lane) * TAPS + (is_turned ? TAPS - 1 - tap : tap)];
    return found;
}

// What is applied to the sums of a block: (sum + bias) factor + term, and ReLU.
typedef struct {
    vec bias, factor, term;
    int rectifies;
} Epilogue;

static Epilogue epilogue_of(
    const float *bias, const float *factor, const float *term, int rectifies, int64_t block)
{
    const int64_t at = block * LANES;
    return (Epilogue){
        bias ? load(bias + at) : fill(0), factor ? load(factor + at) : fill(1),
        term ? load(term + at) : fill(0), rectifies};
}

ALWAYS_INLINE vec finish(vec sum, const Epilogue *e)
{
    const vec value = (sum + e->bias) * e->factor + e->term;
    return e->rectifies ? rectify(value) : value;
}

// The sum under the window at column `start` of three rows, of which those that are NULL and
// columns outside count as zero.
ALWAYS_INLINE vec sum_with_border(
    const float *const *rows, int64_t start, int64_t width, const Filters *f)
{
    vec sum = {0};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            const int64_t column = start + j;
            if (rows[i] && column >= 0 && column < width)
                sum += load(rows[i] + column * LANES) * f->taps[3 * i + j];
        }
    return sum;
}

// The sums of `n` neighbouring windows inside the image, the first at `start`.
ALWAYS_INLINE void sum_inside(
    const float *const *rows, int64_t start, const int stride, const int n, const Filters *f,
    vec *sums)
{
    for (int k = 0; k < n; k++) sums[k] = (vec){0};
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++) {
        if (!rows[i]) continue;
        const float *at = rows[i] + start * LANES;
#pragma GCC unroll 3
        for (int j = 0; j < 3; j++)
#pragma GCC unroll 4
            for (int k = 0; k < n; k++)
                sums[k] += load(at + (k * stride + j) * LANES) * f->taps[3 * i + j];
    }
}

// The rows of x under a row of windows; NULL for those outside.
ALWAYS_INLINE void find_rows(const Sizes *s, const float *x, int64_t row, const float **rows)
{
    for (int r = 0; r < 3; r++)
        rows[r] = row + r >= 0 && row + r < s->height ? x + (row + r) * s->width * LANES : NULL;
}

#define STEP 4

ALWAYS_INLINE void convolve_plane(
    const Sizes *s, const float *x, const Filters *f, const Epilogue *e, const int stride,
    float *y)
{
    for (int64_t i = 0; i < s->out_height; i++) {
        const float *rows[3];
        find_rows(s, x, i * stride - s->pad_height, rows);
        int64_t j = 0;
        while (j < s->out_width) {
            const int64_t start = j * stride - s->pad_width;
            if (start >= 0 && j + STEP <= s->out_width &&
                start + (STEP - 1) * stride + 3 <= s->width) {
                vec sums[STEP];
                sum_inside(rows, start, stride, STEP, f, sums);
                for (int k = 0; k < STEP; k++) store(y + (j + k) * LANES, finish(sums[k], e));
                j += STEP;
            } else {
                store(y + j * LANES, finish(sum_with_border(rows, start, s->width, f), e));
                j++;
            }
        }
        y += s->out_width * LANES;
    }
}

// y = the correlation of x with w, or with w turned by half a turn: the gradient of x for stride 1.
EXPORT void depthwise_conv_forward(
    const Sizes *s, int stride, const float *x, const float *w, int is_turned, const float *bias,
    const float *factor, const float *term, int rectifies, float *y, int threads)
{
    const int64_t n_in = s->height * s->width * LANES, n_out = s->out_height * s->out_width * LANES;
    PARALLEL_FOR(threads)
    for (int64_t plane = 0; plane < s->images * s->blocks; plane++) {
        const int64_t block = plane % s->blocks;
        const Filters f = filters_of(w, block, is_turned);
        const Epilogue e = epilogue_of(bias, factor, term, rectifies, block);
        if (stride == 1)
            convolve_plane(s, x + plane * n_in, &f, &e, 1, y + plane * n_out);
        else
            convolve_plane(s, x + plane * n_in, &f, &e, 2, y + plane * n_out);
    }
}

// The rows of dy that reach a row of dx with stride 2, and the first of their taps: one row under
// the middle tap, or two under the others.
typedef struct {
    const float *rows[2];
    int taps[2];
    int n;
} Reached;

static Reached rows_that_reach(const Sizes *s, const float *dy, int64_t row)
{
    Reached found = {{NULL, NULL}, {0, 0}, 0};
    for (int64_t tap = (row + s->pad_height) % 2; tap < 3; tap += 2) {
        const int64_t from = (row + s->pad_height - tap) / 2;
        if (row + s->pad_height < tap || from >= s->out_height) continue;
        found.rows[found.n] = dy + from * s->out_width * LANES;
        found.taps[found.n++] = (int)(3 * tap);
    }
    return found;
}

ALWAYS_INLINE vec gradient_at(const Sizes *s, const Reached *r, int64_t column, const Filters *f)
{
    vec sum = {0};
    for (int i = 0; i < r->n; i++)
        for (int64_t tap = (column + s->pad_width) % 2; tap < 3; tap += 2) {
            const int64_t from = (column + s->pad_width - tap) / 2;
            if (column + s->pad_width < tap || from >= s->out_width) continue;
            sum += load(r->rows[i] + from * LANES) * f->taps[r->taps[i] + tap];
        }
    return sum;
}

// dx for stride 2. Two columns inside the image: the first has two taps in each row, the other one.
EXPORT void depthwise_conv_backward_data(
    const Sizes *s, const float *dy, const float *w, float *dx, int threads)
{
    const int64_t n_in = s->height * s->width * LANES, n_out = s->out_height * s->out_width * LANES;
    PARALLEL_FOR(threads)
    for (int64_t plane = 0; plane < s->images * s->blocks; plane++) {
        const Filters f = filters_of(w, plane % s->blocks, 0);
        float *to = dx + plane * n_in;
        for (int64_t i = 0; i < s->height; i++) {
            const Reached r = rows_that_reach(s, dy + plane * n_out, i);
            int64_t j = 0;
            while (j < s->width) {
                const int64_t from = (j + s->pad_width) / 2;
                if ((j + s->pad_width) % 2 == 0 && from >= 1 && from < s->out_width &&
                    j + 2 <= s->width) {
                    vec even = {0}, odd = {0};
                    for (int k = 0; k < r.n; k++) {
                        const vec here = load(r.rows[k] + from * LANES);
                        const vec before = load(r.rows[k] + (from - 1) * LANES);
                        const vec *taps = f.taps + r.taps[k];
                        even += here * taps[0] + before * taps[2];
                        odd += here * taps[1];
                    }
                    store(to, even);
                    store(to + LANES, odd);
                    j += 2;
                    to += 2 * LANES;
                } else {
                    store(to, gradient_at(s, &r, j, &f));
                    j++;
                    to += LANES;
                }
            }
        }
    }
}

ALWAYS_INLINE void add_product_at_border(
    const float *const *rows, int64_t start, int64_t width, vec given, vec *sums)
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            const int64_t column = start + j;
            if (rows[i] && column >= 0 && column < width)
                sums[3 * i + j] += given * load(rows[i] + column * LANES);
        }
}

// Add the products of dy with the values under its taps, for one plane. Nine sums stay in registers;
// fewer would wait for each other.
ALWAYS_INLINE void add_products(
    const Sizes *s, const float *x, const float *dy, const int stride, vec *sums, vec *bias)
{
    vec own[TAPS];
    memcpy(own, sums, sizeof own);
    for (int64_t i = 0; i < s->out_height; i++, dy += s->out_width * LANES) {
        const float *rows[3];
        find_rows(s, x, i * stride - s->pad_height, rows);
        for (int64_t j = 0; j < s->out_width; j++) {
            const int64_t start = j * stride - s->pad_width;
            const vec given = load(dy + j * LANES);
            if (start < 0 || start + 3 > s->width) {
                add_product_at_border(rows, start, s->width, given, own);
                continue;
            }
#pragma GCC unroll 3
            for (int r = 0; r < 3; r++) {
                if (!rows[r]) continue;
#pragma GCC unroll 3
                for (int c = 0; c < 3; c++)
                    own[3 * r + c] += given * load(rows[r] + (start + c) * LANES);
            }
        }
        for (int64_t j = 0; bias && j < s->out_width; j++) *bias += load(dy + j * LANES);
    }
    memcpy(sums, own, sizeof own);
}

// Add to dw and db, of which either may be NULL. A thread computes whole blocks of channels.
EXPORT void depthwise_conv_backward_weights(
    const Sizes *s, int stride, const float *x, const float *dy, float *dw, float *db, int threads)
{
    const int64_t n_in = s->height * s->width * LANES, n_out = s->out_height * s->out_width * LANES;
    PARALLEL_FOR(threads)
    for (int64_t block = 0; block < s->blocks; block++) {
        vec sums[TAPS] = {{0}}, bias = {0};
        for (int64_t n = 0; n < s->images; n++) {
            const int64_t plane = n * s->blocks + block;
            if (stride == 1)
                add_products(s, x + plane * n_in, dy + plane * n_out, 1, sums, db ? &bias : NULL);
            else
                add_products(s, x + plane * n_in, dy + plane * n_out, 2, sums, db ? &bias : NULL);
        }
        for (int lane = 0; lane < LANES; lane++) {
            const int64_t channel = block * LANES + lane;
            for (int tap = 0; dw && tap < TAPS; tap++) dw[channel * TAPS + tap] += sums[tap][lane];
            if (db) db[channel] += bias[lane];
        }
    }
}
