// Factors and terms for each channel of (outer, channels, inner): Scale, Bias and PReLU
// (minicaffe/ops/scale.py, prelu.py). Bound by reading x and writing y once.

// y may be x; terms may be null, and so may factors; kept, where given, receives x.
extern "C" __global__ void scale(const VALUE* x, VALUE* y, VALUE* kept,
                                 const float* __restrict__ factors, const float* __restrict__ terms,
                                 int n, CHANNEL) {
    FOR_EACH(i, n) {
        int c = CHANNEL_OF(i);
        float value = load(x, i);
        if (kept) store(kept, i, value);
        if (factors) value *= factors[c];
        if (terms) value += terms[c];
        store(y, i, value);
    }
}

// y may be x; kept, where given, receives x.
extern "C" __global__ void prelu(const VALUE* x, VALUE* y, VALUE* kept,
                                 const float* __restrict__ slopes, int n, CHANNEL) {
    FOR_EACH(i, n) {
        float value = load(x, i);
        if (kept) store(kept, i, value);
        store(y, i, value > 0 ? value : value * slopes[CHANNEL_OF(i)]);
    }
}

// dx may be dy.
extern "C" __global__ void prelu_backward(const VALUE* __restrict__ x, const VALUE* dy, VALUE* dx,
                                          const float* __restrict__ slopes, int n, CHANNEL) {
    FOR_EACH(i, n) {
        float slope = load(x, i) > 0 ? 1.0f : slopes[CHANNEL_OF(i)];
        store(dx, i, load(dy, i) * slope);
    }
}
