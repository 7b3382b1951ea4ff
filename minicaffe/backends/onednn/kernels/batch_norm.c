// Batch normalisation with Scale and ReLU while training; see _native_batch_norm.py.
//
// x is plain, (samples, channels, pixels), or in blocks of LANES channels, (samples, channels /
// LANES, pixels, LANES). Both are (samples, groups, length): a group is one channel, or one block.
// A thread does all passes over a group before the next one, so that the second pass usually finds
// it in the cache. Values in blocks may be bfloat16, all of them: `type` is FLOAT32 or BFLOAT16.

#include "values.h"

// Vectors whose float sums are added to the sums in double precision: few enough that rounding
// does not grow with the number of values.
enum { RUN = 128, UNROLLED = 4 };

typedef struct {
    int64_t samples, groups, length;
    int is_blocked; // whether the lanes of a vector are channels
} Sizes;

// Sums over a group: of the values and their squares, or of dy and dy (x - mu).
typedef struct {
    double first[LANES], second[LANES];
} Sums;

// What a group's passes know of each channel, in every lane.
typedef struct {
    vec mu, factor, term;
} Channels;

static inline vec load_part(const float *from, int64_t n)
{
    vec values = {0};
    memcpy(&values, from, (size_t)n * sizeof(float));
    return values;
}

// 1 in the first n lanes.
static inline vec first_lanes(int64_t n)
{
    vec ones = {0};
    for (int64_t lane = 0; lane < n; lane++) ones[lane] = 1;
    return ones;
}

static inline vec scaled(vec x, Channels of) { return (x - of.mu) * of.factor + of.term; }

// dy where the output is positive. A product, so that NaN is not lost.
static inline vec masked(vec dy, vec y) { return dy * (vec)((ivec)fill(1) & (y > 0)); }

static inline void add_lanes(double *sums, const vec *values)
{
    typedef double wide __attribute__((vector_size(LANES * 8), aligned(8), may_alias));
    const vec total = (values[0] + values[1]) + (values[2] + values[3]);
    *(wide *)sums += __builtin_convertvector(total, wide);
}

// Add up x - mu and its square, or, with dy, the gradient of `scaled` and its product with x - mu.
ALWAYS_INLINE void add_row(
    const void *x, const void *dy, const int type, const int rectifies, Channels of, int64_t length,
    Sums *sums)
{
    const int64_t whole = length / LANES, rest = length % LANES;
    for (int64_t start = 0; start < whole; start += RUN) {
        const int64_t end = start + RUN < whole ? start + RUN : whole;
        vec first[UNROLLED] = {{0}}, second[UNROLLED] = {{0}};
#define ADD(k, at) \
    do { \
        const vec value = load_values(value_at(x, at, type), type), distance = value - of.mu; \
        vec gradient = distance; \
        if (dy != NULL) { \
            gradient = load_values(value_at(dy, at, type), type); \
            if (rectifies) gradient = masked(gradient, scaled(value, of)); \
        } \
        first[k] += gradient; \
        second[k] += gradient * distance; \
    } while (0)
        int64_t i = start;
        for (; i + UNROLLED <= end; i += UNROLLED) {
            ADD(0, i * LANES);
            ADD(1, (i + 1) * LANES);
            ADD(2, (i + 2) * LANES);
            ADD(3, (i + 3) * LANES);
        }
        for (; i < end; i++) ADD(0, i * LANES);
#undef ADD
        add_lanes(sums->first, first);
        add_lanes(sums->second, second);
    }
    if (rest) { // of plain values
        const int64_t at = whole * LANES;
        const vec ones = first_lanes(rest), value = load_part((const float *)x + at, rest);
        const vec distance = (value - of.mu) * ones;
        vec gradient = distance;
        if (dy != NULL) {
            gradient = load_part((const float *)dy + at, rest);
            if (rectifies) gradient = masked(gradient, scaled(value, of));
        }
        for (int lane = 0; lane < rest; lane++) {
            sums->first[lane] += gradient[lane];
            sums->second[lane] += gradient[lane] * distance[lane];
        }
    }
}

// Give every lane the sums over its channel.
static void complete(Sums *sums, int is_blocked)
{
    if (is_blocked) return;
    double first = 0, second = 0;
    for (int lane = 0; lane < LANES; lane++) {
        first += sums->first[lane];
        second += sums->second[lane];
    }
    for (int lane = 0; lane < LANES; lane++) {
        sums->first[lane] = first;
        sums->second[lane] = second;
    }
}

// The values of a group's channels in every lane.
static inline vec channels(const float *values, int64_t group, int is_blocked)
{
    return is_blocked ? load(values + group * LANES) : fill(values[group]);
}

ALWAYS_INLINE void write_row_as(
    const void *x, void *y, const int type, const int rectifies, const int streams, Channels of,
    int64_t length)
{
    int64_t i = 0;
    for (; i + LANES <= length; i += LANES) {
        const vec value = scaled(load_values(value_at(x, i, type), type), of);
        void *to = value_to_write(y, i, type);
        store_values(to, rectifies ? rectify(value) : value, type, streams);
    }
    if (i < length) { // of plain values
        vec last = scaled(load_part((const float *)x + i, length - i), of);
        if (rectifies) last = rectify(last);
        memcpy((float *)y + i, &last, (size_t)(length - i) * sizeof(float));
    }
}

ALWAYS_INLINE void write_row(
    const void *x, void *y, const int type, int rectifies, int streams, Channels of, int64_t length)
{
    if (rectifies && streams)
        write_row_as(x, y, type, 1, 1, of, length);
    else if (streams)
        write_row_as(x, y, type, 0, 1, of, length);
    else if (rectifies)
        write_row_as(x, y, type, 1, 0, of, length);
    else
        write_row_as(x, y, type, 0, 0, of, length);
}

// Where the forward pass writes numbers of each channel: five rows, then the running statistics,
// which may be NULL.
typedef struct {
    float *saved, *mean, *variance;
    double fraction, eps;
} Statistics;

ALWAYS_INLINE void forward_group(
    const void *x, const float *s, const float *b, void *y, const int type, Sizes sizes,
    int64_t group, Statistics to, int rectifies, int streams)
{
    const int is_blocked = sizes.is_blocked, block = is_blocked ? LANES : 1;
    const int64_t length = sizes.length, step = sizes.groups * length;
    const int64_t n_channels = sizes.groups * block, m = sizes.samples * (length / block);
    float *mu = to.saved, *root = mu + n_channels, *factor = root + n_channels;
    float *term = factor + n_channels, *scale = term + n_channels;
    const void *from = value_at(x, group * length, type);
    // Sums of distances to some value of the channel, because those of x itself would cancel
    // where the mean is large.
    Channels of = {is_blocked ? load_values(from, type) : fill(*(const float *)from), {0}, {0}};
    Sums sums = {{0}, {0}};
    for (int64_t n = 0; n < sizes.samples; n++)
        add_row(value_at(from, n * step, type), NULL, type, 0, of, length, &sums);
    complete(&sums, is_blocked);
    for (int lane = 0; lane < block; lane++) {
        const int64_t c = group * block + lane;
        const double distance = sums.first[lane] / m;
        double var = sums.second[lane] / m - distance * distance;
        if (var < 0) var = 0;
        mu[c] = (float)(of.mu[lane] + distance);
        root[c] = (float)(1 / sqrt(var + to.eps));
        scale[c] = s ? s[c] : 1;
        factor[c] = root[c] * scale[c];
        term[c] = b ? b[c] : 0;
        if (to.mean != NULL) {
            to.mean[c] = (float)(to.fraction * to.mean[c] + mu[c]);
            to.variance[c] = (float)(to.fraction * to.variance[c] + var * m / (m > 1 ? m - 1 : 1));
        }
    }
    of.mu = channels(mu, group, is_blocked);
    of.factor = channels(factor, group, is_blocked);
    of.term = channels(term, group, is_blocked);
    for (int64_t n = 0; n < sizes.samples; n++)
        write_row(
            value_at(from, n * step, type), value_to_write(y, group * length + n * step, type),
            type, rectifies, streams, of, length);
    if (streams) end_stream();
}

// Overwrite y = relu(s (x - mu) / sqrt(var + eps) + b), by groups. s and b (channels) may be NULL.
// Overwrite `saved`, five times the channels: mu, 1 / sqrt(var + eps), its product with s, b and s.
// Update the running statistics unless `mean` is NULL.
EXPORT void batch_norm_forward(
    const void *x, const float *s, const float *b, void *y, float *saved, float *mean,
    float *variance, int type, int64_t samples, int64_t groups, int64_t length, int is_blocked,
    double fraction, double eps, int rectifies, int streams, int threads)
{
    const Sizes sizes = {samples, groups, length, is_blocked};
    const Statistics to = {saved, mean, variance, fraction, eps};
    PARALLEL_FOR(threads)
    for (int64_t group = 0; group < groups; group++) {
        if (HAS_BFLOAT16 && type == BFLOAT16)
            forward_group(x, s, b, y, BFLOAT16, sizes, group, to, rectifies, streams);
        else
            forward_group(x, s, b, y, FLOAT32, sizes, group, to, rectifies, streams);
    }
}

// What the second pass backward knows of each channel, beside `Channels`: the mean of g, the
// gradient of `scaled`, then the slope of dx over x, and s.
typedef struct {
    vec mean, slope, s;
} Gradients;

// dx = factor (g - mean of g) - slope (x - mu).
static inline vec gradient_of_x(vec x, vec g, Channels of, Gradients with)
{
    return of.factor * (g - with.mean) - with.slope * (x - of.mu);
}

// Overwrite dx and, unless it is NULL, g s: the gradient of the normalised values.
ALWAYS_INLINE void write_gradient(
    const void *x, const void *dy, void *dx, void *scaled_g, const int type, const int rectifies,
    int streams, Channels of, Gradients with, int64_t length)
{
    int64_t i = 0;
    for (; i + LANES <= length; i += LANES) {
        const vec value = load_values(value_at(x, i, type), type);
        vec g = load_values(value_at(dy, i, type), type);
        if (rectifies) g = masked(g, scaled(value, of));
        const vec visible = g * with.s;
        store_values(value_to_write(dx, i, type), gradient_of_x(value, g, of, with), type, streams);
        if (scaled_g != NULL) store_values(value_to_write(scaled_g, i, type), visible, type, 0);
    }
    if (i < length) { // of plain values
        const size_t size = (size_t)(length - i) * sizeof(float);
        const vec value = load_part((const float *)x + i, length - i);
        vec g = load_part((const float *)dy + i, length - i);
        if (rectifies) g = masked(g, scaled(value, of));
        const vec result = gradient_of_x(value, g, of, with), visible = g * with.s;
        memcpy((float *)dx + i, &result, size);
        if (scaled_g != NULL) memcpy((float *)scaled_g + i, &visible, size);
    }
}

ALWAYS_INLINE void backward_group(
    const void *x, const void *dy, void *dx, void *scaled_g, const int type, const float *saved,
    float *ds, float *db, Sizes sizes, int64_t group, const int rectifies, int streams)
{
    const int is_blocked = sizes.is_blocked, block = is_blocked ? LANES : 1;
    const int64_t length = sizes.length, step = sizes.groups * length, start = group * length;
    const int64_t n_channels = sizes.groups * block;
    const double m = (double)sizes.samples * (double)(length / block);
    const float *root = saved + n_channels;
    const Channels of = {
        channels(saved, group, is_blocked), channels(saved + 2 * n_channels, group, is_blocked),
        channels(saved + 3 * n_channels, group, is_blocked)};
    Sums sums = {{0}, {0}};
    for (int64_t n = 0; n < sizes.samples; n++) {
        const int64_t at = start + n * step;
        const void *gradient = value_at(dy, at, type);
        add_row(value_at(x, at, type), gradient, type, rectifies, of, length, &sums);
    }
    complete(&sums, is_blocked);
    Gradients with = {{0}, {0}, channels(saved + 4 * n_channels, group, is_blocked)};
    for (int lane = 0; lane < LANES; lane++) {
        const double r = root[group * block + (is_blocked ? lane : 0)];
        with.mean[lane] = (float)(sums.first[lane] / m);
        with.slope[lane] = (float)(of.factor[lane] * r * r * sums.second[lane] / m);
        if (lane < block) {
            if (ds != NULL) ds[group * block + lane] += (float)(r * sums.second[lane]);
            if (db != NULL) db[group * block + lane] += (float)sums.first[lane];
        }
    }
    for (int64_t n = 0; n < sizes.samples; n++) {
        const int64_t at = start + n * step;
        write_gradient(
            value_at(x, at, type), value_at(dy, at, type), value_to_write(dx, at, type),
            scaled_g ? value_to_write(scaled_g, at, type) : NULL, type, rectifies, streams, of,
            with, length);
    }
    if (streams) end_stream();
}

// Overwrite dx, which may be dy; add to the gradients of s and b unless they are NULL. Unless
// `scaled_g` is NULL, which may be dy as well, overwrite it with the gradient of y before Scale.
EXPORT void batch_norm_backward(
    const void *x, const void *dy, void *dx, void *scaled_g, const float *saved, float *ds,
    float *db, int type,
    int64_t samples, int64_t groups, int64_t length, int is_blocked, int rectifies, int streams,
    int threads)
{
    const Sizes sizes = {samples, groups, length, is_blocked};
    PARALLEL_FOR(threads)
    for (int64_t group = 0; group < groups; group++) {
        if (HAS_BFLOAT16 && type == BFLOAT16 && rectifies)
            backward_group(
                x, dy, dx, scaled_g, BFLOAT16, saved, ds, db, sizes, group, 1, streams);
        else if (HAS_BFLOAT16 && type == BFLOAT16)
            backward_group(
                x, dy, dx, scaled_g, BFLOAT16, saved, ds, db, sizes, group, 0, streams);
        else if (rectifies)
            backward_group(x, dy, dx, scaled_g, FLOAT32, saved, ds, db, sizes, group, 1, streams);
        else
            backward_group(x, dy, dx, scaled_g, FLOAT32, saved, ds, db, sizes, group, 0, streams);
    }
}
