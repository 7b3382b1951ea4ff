// Local response normalisation across the channels of images in blocks of LANES channels; see
// _blocked_lrn.py.
//
// The values of a few pixels are first stored with their channels side by side and zeros at both
// ends, so that the sum over a window of channels is a sum of vectors at neighbouring addresses.
// Several pixels at once, because a load that overlaps two recent stores waits for both.
//
// All images are of one type, FLOAT32 or BFLOAT16.

#include "values.h"

#define GROUP 8
// As in _blocked_lrn.py.
#define MAX_CHANNELS 1024
#define MAX_HALF_WINDOW 16

typedef struct {
    int64_t images, blocks, pixels, half_window;
} Images;

// Channels of a group of pixels, with room for half a window at both ends.
typedef struct {
    float values[GROUP][MAX_CHANNELS + 2 * MAX_HALF_WINDOW];
} Channels;

static inline float *channels_at(Channels *c, int64_t pixel, int64_t block)
{
    return c->values[pixel] + MAX_HALF_WINDOW + block * LANES;
}

// Set the values beyond both ends to zero.
static inline void clear_ends(Channels *c, int64_t blocks)
{
    for (int p = 0; p < GROUP; p++)
        for (int i = 0; i < MAX_HALF_WINDOW; i++) {
            c->values[p][i] = 0;
            channels_at(c, p, blocks)[i] = 0;
        }
}

static inline vec window_sum(const float *at, int64_t half_window)
{
    vec sum = load(at - half_window);
    for (int64_t i = 1 - half_window; i <= half_window; i++) sum += load(at + i);
    return sum;
}

static inline vec square_root(vec x)
{
#ifdef __AVX512F__
    return _mm512_sqrt_ps(x);
#else
    return _mm256_sqrt_ps(x);
#endif
}

// scale^-beta. Two square roots are several times faster than a power; 0.75 is what most nets have.
static inline vec shrink_of(vec scale, float beta)
{
    if (beta == 0.75f) {
        const vec root = square_root(scale);
        return fill(1) / (root * square_root(root));
    }
    for (int i = 0; i < LANES; i++) scale[i] = powf(scale[i], -beta);
    return scale;
}

// Also fetch the next group of both inputs: processors do not foresee jumps from block to block.
ALWAYS_INLINE void store_squares(
    const Images *s, const void *x, const void *also_read, const int type, int64_t pixels,
    Channels *squares)
{
    for (int64_t b = 0; b < s->blocks; b++)
        for (int64_t p = 0; p < pixels; p++) {
            const int64_t at = (b * s->pixels + p) * LANES;
            __builtin_prefetch(value_at(x, at + GROUP * LANES, type));
            __builtin_prefetch(value_at(also_read, at + GROUP * LANES, type));
            const vec value = load_values(value_at(x, at, type), type);
            store(channels_at(squares, p, b), value * value);
        }
}

ALWAYS_INLINE void normalize_group(
    const Images *s, const void *x, const int type, int64_t pixels, float factor, float beta,
    float k, Channels *squares, void *y)
{
    store_squares(s, x, x, type, pixels, squares);
    for (int64_t b = 0; b < s->blocks; b++)
        for (int64_t p = 0; p < pixels; p++) {
            const int64_t at = (b * s->pixels + p) * LANES;
            const vec sum = window_sum(channels_at(squares, p, b), s->half_window);
            const vec value = load_values(value_at(x, at, type), type);
            const vec result = value * shrink_of(factor * sum + k, beta);
            store_values(value_to_write(y, at, type), result, type, 0);
        }
}

// y = x scale^-beta, scale = k + factor * (sum of x^2 over a window of channels).
EXPORT void lrn_forward(
    const Images *s, const void *x, void *y, int type, float factor, float beta, float k, int threads)
{
    const int64_t size = s->blocks * s->pixels * LANES, groups = (s->pixels + GROUP - 1) / GROUP;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Channels squares;
        clear_ends(&squares, s->blocks);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < s->images * groups; i++) {
            const int64_t pixel = i % groups * GROUP, rest = s->pixels - pixel;
            const int64_t at = i / groups * size + pixel * LANES, n = rest < GROUP ? rest : GROUP;
            const void *from = value_at(x, at, type);
            void *to = value_to_write(y, at, type);
            if (HAS_BFLOAT16 && type == BFLOAT16)
                normalize_group(s, from, BFLOAT16, n, factor, beta, k, &squares, to);
            else
                normalize_group(s, from, FLOAT32, n, factor, beta, k, &squares, to);
        }
    }
}

// What the gradient of a group of pixels needs.
typedef struct {
    Channels squares, ratios;
    float shrinks[GROUP][MAX_CHANNELS];
} Scratch;

ALWAYS_INLINE void write_gradient_of_group(
    const Images *s, const void *x, const void *dy, const int type, int64_t pixels, float factor,
    float beta, float k, Scratch *scratch, void *dx)
{
    store_squares(s, x, dy, type, pixels, &scratch->squares);
    for (int64_t b = 0; b < s->blocks; b++)
        for (int64_t p = 0; p < pixels; p++) {
            const int64_t at = (b * s->pixels + p) * LANES;
            const vec sum = window_sum(channels_at(&scratch->squares, p, b), s->half_window);
            const vec scale = factor * sum + k, shrink = shrink_of(scale, beta);
            store(scratch->shrinks[p] + b * LANES, shrink);
            const vec value = load_values(value_at(x, at, type), type);
            const vec gradient = load_values(value_at(dy, at, type), type);
            store(channels_at(&scratch->ratios, p, b), gradient * value * shrink / scale);
        }
    const float slope = -2 * factor * beta;
    for (int64_t b = 0; b < s->blocks; b++)
        for (int64_t p = 0; p < pixels; p++) {
            const int64_t at = (b * s->pixels + p) * LANES;
            const vec sum = window_sum(channels_at(&scratch->ratios, p, b), s->half_window);
            const vec shrink = load(scratch->shrinks[p] + b * LANES);
            const vec value = load_values(value_at(x, at, type), type);
            const vec gradient = load_values(value_at(dy, at, type), type);
            const vec result = gradient * shrink + slope * sum * value;
            store_values(value_to_write(dx, at, type), result, type, 0);
        }
}

// dx = dy scale^-beta - 2 factor beta x * (sum of dy y / scale over the window).
EXPORT void lrn_backward(
    const Images *s, const void *x, const void *dy, void *dx, int type, float factor, float beta,
    float k, int threads)
{
    const int64_t size = s->blocks * s->pixels * LANES, groups = (s->pixels + GROUP - 1) / GROUP;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Scratch scratch;
        clear_ends(&scratch.squares, s->blocks);
        clear_ends(&scratch.ratios, s->blocks);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < s->images * groups; i++) {
            const int64_t pixel = i % groups * GROUP, rest = s->pixels - pixel;
            const int64_t at = i / groups * size + pixel * LANES, n = rest < GROUP ? rest : GROUP;
            const void *from = value_at(x, at, type), *gradient = value_at(dy, at, type);
            void *to = value_to_write(dx, at, type);
            if (HAS_BFLOAT16 && type == BFLOAT16)
                write_gradient_of_group(
                    s, from, gradient, BFLOAT16, n, factor, beta, k, &scratch, to);
            else
                write_gradient_of_group(
                    s, from, gradient, FLOAT32, n, factor, beta, k, &scratch, to);
        }
    }
}
