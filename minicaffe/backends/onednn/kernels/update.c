// The solvers' update rules, for all parameters in one call and one pass; see update.py.

#include "native.h"

// In the order of update.py.
enum { SGD, NESTEROV, ADAGRAD, RMSPROP, ADADELTA, ADAM, ADAMW };

// A parameter: addresses of w, g and its histories, its number of values, and whether to write the
// step to g, which a copy of h can replace for SGD.
typedef struct {
    int64_t w, g, h, k, n, writes_g;
} Parameter;

typedef struct {
    float rate, decay, scale, momentum, decay2, delta;
} Numbers;

// Update some values by the rule of minicaffe/ops/update.py. All arguments but the pointers are
// constants in each copy of this function. Return whether a weight is not finite afterwards.
ALWAYS_INLINE int update(
    const int rule, const int is_l1, const int writes_g, Numbers of, float *restrict w,
    float *restrict g, float *restrict h, float *restrict k, int64_t n)
{
    const float m = of.momentum, rest = 1 - of.momentum, rest2 = 1 - of.decay2;
    int32_t is_bad = 0;
    for (int64_t i = 0; i < n; i++) {
        const float direction = is_l1 ? (float)((w[i] > 0) - (w[i] < 0)) : w[i];
        float step = of.scale * g[i];
        if (rule != ADAMW) step += of.decay * direction;
        if (rule == SGD) {
            step = h[i] = m * h[i] + of.rate * step;
        } else if (rule == NESTEROV) {
            const float before = m * h[i];
            h[i] = before + of.rate * step;
            step = (1 + m) * h[i] - before;
        } else if (rule == ADAGRAD) {
            h[i] += step * step;
            step = of.rate * step / (sqrtf(h[i]) + of.delta);
        } else if (rule == RMSPROP) {
            h[i] = of.decay2 * h[i] + rest2 * step * step;
            step = of.rate * step / (sqrtf(h[i]) + of.delta);
        } else if (rule == ADADELTA) {
            h[i] = m * h[i] + rest * step * step;
            step *= sqrtf((k[i] + of.delta) / (h[i] + of.delta));
            k[i] = m * k[i] + rest * step * step;
            step *= of.rate;
        } else {
            h[i] = m * h[i] + rest * step;
            k[i] = of.decay2 * k[i] + rest2 * step * step;
            step = of.rate * h[i] / (sqrtf(k[i]) + of.delta);
            if (rule == ADAMW) step += of.rate * of.decay * direction;
        }
        if (writes_g) g[i] = step;
        w[i] -= step;
        is_bad |= w[i] * 0 != 0;
    }
    return is_bad;
}

static int update_range(
    int rule, int is_l1, Numbers of, const Parameter *parameter, int64_t start, int64_t n)
{
    float *w = (float *)parameter->w + start, *g = (float *)parameter->g + start;
    float *h = (float *)parameter->h + start, *k = (float *)parameter->k + start;
#define CASE(name) \
    case name: \
        return is_l1 ? update(name, 1, 1, of, w, g, h, k, n) : update(name, 0, 1, of, w, g, h, k, n)
    switch (rule) {
        CASE(NESTEROV);
        CASE(ADAGRAD);
        CASE(RMSPROP);
        CASE(ADADELTA);
        CASE(ADAM);
        CASE(ADAMW);
    default:
        if (parameter->writes_g)
            return is_l1 ? update(SGD, 1, 1, of, w, g, h, k, n)
                         : update(SGD, 0, 1, of, w, g, h, k, n);
        return is_l1 ? update(SGD, 1, 0, of, w, g, h, k, n)
                     : update(SGD, 0, 0, of, w, g, h, k, n);
    }
#undef CASE
}

// Update all parameters. `parameters` holds records of six numbers; `sizes` rate and decay of each.
// Set *non_finite to NaN if a weight is not finite afterwards. Each thread gets as many values.
EXPORT void update_parameters(
    int rule, int is_l1, const int64_t *parameters, const float *sizes, int64_t n_parameters,
    float scale, float momentum, float decay2, float delta, float *non_finite, int threads)
{
    const Parameter *all = (const Parameter *)parameters;
    int64_t total = 0;
    int is_bad = 0;
    for (int64_t p = 0; p < n_parameters; p++) total += all[p].n;
    // A share ends where a cache line does, so that no line is written by two threads.
    const int64_t share = (total / threads / 16 + 1) * 16;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1) reduction(| : is_bad)
    for (int thread = 0; thread < threads; thread++) {
        int64_t first = thread * share, count = share;
        for (int64_t p = 0; p < n_parameters && count > 0; p++) {
            if (first >= all[p].n) {
                first -= all[p].n;
                continue;
            }
            const int64_t n = all[p].n - first < count ? all[p].n - first : count;
            const Numbers of = {sizes[2 * p], sizes[2 * p + 1], scale, momentum, decay2, delta};
            is_bad |= update_range(rule, is_l1, of, &all[p], first, n);
            first = 0;
            count -= n;
        }
    }
    if (is_bad) *non_finite = NAN;
}
