// Softmax with its loss in one pass over plain scores (outer, classes, inner); see softmax.py.

#include "native.h"

// Sizes and labels of a loss, in the order in which Python writes them. Threads compute `parts`.
typedef struct {
    int64_t outer, classes, inner, has_ignored, ignored, parts;
} Scores;

// What was summed over one part: losses, labels that count, labels that are no class.
typedef struct {
    double loss, counted, wrong;
} Sums;

// exp(x) for x <= 0, within 2e-7 of it; 0 where it is below the smallest normal number. NaN stays.
// x = n log 2 + r, |r| <= log(2) / 2; exp(r) by its Taylor polynomial, 2^n by the exponent's bits.
static inline vec exponential(vec x)
{
    // Adding and subtracting 1.5 * 2^23 rounds to whole numbers.
    const float rounder = 12582912.0f;
    const vec n = (x * 1.44269504f + rounder) - rounder;
    const vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    vec sum = r * (1 / 5040.0f) + 1 / 720.0f;
    sum = sum * r + 1 / 120.0f;
    sum = sum * r + 1 / 24.0f;
    sum = sum * r + 1 / 6.0f;
    sum = sum * r + 0.5f;
    sum = sum * r + 1;
    sum = sum * r + 1;
    const ivec is_small = x < -87.0f;
    const ivec bits = (__builtin_convertvector((vec)((ivec)n & ~is_small), ivec) + 127) << 23;
    return (vec)((ivec)(sum * (vec)bits) & ~is_small);
}

// Copy up to LANES values between memory and a vector.
static inline vec load_some(const float *from, int64_t n)
{
    if (n == LANES) return load(from);
    vec values = {0};
    memcpy(&values, from, n * sizeof(float));
    return values;
}

static inline void store_some(float *to, vec values, int64_t n)
{
    if (n == LANES)
        store(to, values);
    else
        memcpy(to, &values, n * sizeof(float));
}

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static inline vec larger(vec a, vec b)
{
    const ivec exceeds = a > b;
    return (vec)(((ivec)a & exceeds) | ((ivec)b & ~exceeds));
}

static float largest_of(const float *x, int64_t n)
{
    const int64_t whole = n / LANES * LANES;
    float largest = x[0];
    if (whole) {
        vec most = load(x);
        for (int64_t i = LANES; i < whole; i += LANES) most = larger(load(x + i), most);
        for (int i = 0; i < LANES; i++) largest = most[i] > largest ? most[i] : largest;
    }
    for (int64_t i = whole; i < n; i++) largest = x[i] > largest ? x[i] : largest;
    return largest;
}

// p = softmax of one row of classes.
static void softmax_of_row(const float *x, int64_t classes, float *p)
{
    const int64_t whole = classes / LANES * LANES, rest = classes - whole;
    const float largest = largest_of(x, classes);
    vec sum = {0};
    for (int64_t k = 0; k < whole; k += LANES) {
        const vec e = exponential(load(x + k) - largest);
        store(p + k, e);
        sum += e;
    }
    float total = 0;
    for (int i = 0; i < LANES; i++) total += sum[i];
    const vec last = exponential(load_some(x + whole, rest) - largest);
    store_some(p + whole, last, rest);
    for (int64_t i = 0; i < rest; i++) total += last[i];
    for (int64_t k = 0; k < classes; k++) p[k] /= total;
}

// p = softmax of up to LANES neighbouring pixels, whose classes are `step` values apart.
static void softmax_of_pixels(const float *x, int64_t classes, int64_t step, int64_t n, float *p)
{
    vec largest = load_some(x, n), total = {0};
    for (int64_t k = 1; k < classes; k++) largest = larger(load_some(x + k * step, n), largest);
    for (int64_t k = 0; k < classes; k++) {
        const vec e = exponential(load_some(x + k * step, n) - largest);
        total += e;
        store_some(p + k * step, e, n);
    }
    for (int64_t k = 0; k < classes; k++)
        store_some(p + k * step, load_some(p + k * step, n) / total, n);
}

// Add the losses of n pixels, whose probabilities begin at p.
static void add_losses(const Scores *s, const float *p, const float *labels, int64_t n, Sums *sums)
{
    for (int64_t i = 0; i < n; i++) {
        const float label = labels[i];
        if (s->has_ignored && label == (float)s->ignored) continue;
        if (!(label >= 0 && label < (float)s->classes && label == floorf(label))) {
            sums->wrong++;
            continue;
        }
        const float share = p[(int64_t)label * s->inner + i];
        // The comparison keeps NaN.
        sums->loss -= logf(share < 1.17549435e-38f ? 1.17549435e-38f : share);
        sums->counted++;
    }
}

// Overwrite p, and the sums of each part.
EXPORT void softmax_loss_forward(
    const Scores *s, const float *x, const float *labels, float *p, Sums *sums, int threads)
{
    const int64_t groups = (s->inner + LANES - 1) / LANES, size = s->classes * s->inner;
    PARALLEL_FOR(threads)
    for (int64_t part = 0; part < s->parts; part++) {
        Sums own = {0, 0, 0};
        const int64_t end = s->outer * groups * (part + 1) / s->parts;
        for (int64_t i = s->outer * groups * part / s->parts; i < end; i++) {
            const int64_t sample = i / groups, pixel = i % groups * LANES;
            const int64_t at = sample * size + pixel, n = least(LANES, s->inner - pixel);
            if (s->inner == 1)
                softmax_of_row(x + at, s->classes, p + at);
            else
                softmax_of_pixels(x + at, s->classes, s->inner, n, p + at);
            add_losses(s, p + at, labels + sample * s->inner + pixel, n, &own);
        }
        sums[part] = own;
    }
}

// dx = rate (p - 1 for the label's class), 0 where the label is ignored.
EXPORT void softmax_loss_backward(
    const Scores *s, const float *p, const float *labels, float rate, float *dx, int threads)
{
    const int64_t size = s->classes * s->inner;
    PARALLEL_FOR(threads)
    for (int64_t sample = 0; sample < s->outer; sample++) {
        const float *label = labels + sample * s->inner, *given = p + sample * size;
        float *to = dx + sample * size;
        for (int64_t i = 0; i < size; i++) to[i] = rate * given[i];
        for (int64_t i = 0; i < s->inner; i++)
            if (s->has_ignored && label[i] == (float)s->ignored)
                for (int64_t k = 0; k < s->classes; k++) to[k * s->inner + i] = 0;
            else {
                const int64_t at = (int64_t)label[i] * s->inner + i;
                to[at] = rate * (given[at] - 1);
            }
    }
}
