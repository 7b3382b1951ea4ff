// Batch normalisation by stored statistics and Scale as part of a convolution; see epilogue.py.

// What the sums of each channel are multiplied by, and what is then added: bias, then
// (y - mean) / deviation, then y * scale + shift, as far as they are there.
extern "C" __global__ void fold(const float* bias, const float* mean, const float* variance,
                                const float* weight, const float* scale, const float* shift,
                                float* factors, VALUE* terms, int n, float eps) {
    FOR_EACH(c, n) {
        float factor = 1, term = bias ? bias[c] : 0.0f;
        if (mean) {
            float share = weight[0] == 0 ? 0.0f : 1.0f / weight[0];
            factor = 1.0f / sqrtf(variance[c] * share + eps);
            term = (term - mean[c] * share) * factor;
        }
        if (scale) {
            factor *= scale[c];
            term = term * scale[c] + (shift ? shift[c] : 0.0f);
        }
        factors[c] = factor;
        store(terms, c, term);
    }
}

// y = w * factor, a factor for each filter.
extern "C" __global__ void scale_filters(const float* __restrict__ w,
                                         const float* __restrict__ factors, VALUE* __restrict__ y,
                                         int n, DIVISOR(filter)) {
    FOR_EACH(i, n) store(y, i, w[i] * factors[quotient(i, divisor(filter))]);
}
