// The rule "sgd" in one pass over weights, gradient and history; see update.py.

#include "native.h"

// h = momentum h + rate (scale g + decay w), g = h, w -= h. With is_l1, the decay is that of |w|.
// Set *non_finite to NaN if a weight is not finite afterwards. Called with a part of the values by
// each thread.
EXPORT void sgd_update(
    float *restrict w, float *restrict g, float *restrict h, int64_t n, float momentum,
    float rate, float scale, float decay, int is_l1, float *non_finite)
{
    const float gradient_rate = rate * scale, decay_rate = rate * decay;
    int32_t is_bad = 0;
    if (is_l1) {
        for (int64_t i = 0; i < n; i++) {
            const float sign = (float)((w[i] > 0) - (w[i] < 0));
            h[i] = momentum * h[i] + (gradient_rate * g[i] + decay_rate * sign);
            g[i] = h[i];
            w[i] -= h[i];
            is_bad |= w[i] * 0 != 0;
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            h[i] = momentum * h[i] + (gradient_rate * g[i] + decay_rate * w[i]);
            g[i] = h[i];
            w[i] -= h[i];
            is_bad |= w[i] * 0 != 0;
        }
    }
    if (is_bad) *non_finite = NAN;
}
