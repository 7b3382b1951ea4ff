// Folds batch normalisation by stored statistics and Scale into a convolution; see _epilogue.py.

// Factor and term of each channel that are equivalent to bias, then (y - mean) / deviation, then
// y * scale + shift; null pointers omit a step.
extern "C" __global__ void fold(const float* bias, const float* mean, const float* variance,
                                const float* weight, const float* scale, const float* shift,
                                float* factors, VALUE* terms, int n, float eps) {
    FOR_EACH(c, n) {
        float factor = 1, term = bias ? bias[c] : 0.0f;
        if (mean) {
            float inverse_weight = weight[0] == 0 ? 0.0f : 1.0f / weight[0];
            factor = 1.0f / sqrtf(variance[c] * inverse_weight + eps);
            term = (term - mean[c] * inverse_weight) * factor;
        }
        if (scale) {
            factor *= scale[c];
            term = term * scale[c] + (shift ? shift[c] : 0.0f);
        }
        factors[c] = factor;
        store(terms, c, term);
    }
}

// y = w * factor, with one factor for each filter.
extern "C" __global__ void scale_filters(const float* __restrict__ w,
                                         const float* __restrict__ factors, VALUE* __restrict__ y,
                                         int n, DIVISOR(filter)) {
    FOR_EACH(i, n) store(y, i, w[i] * factors[quotient(i, divisor(filter))]);
}
