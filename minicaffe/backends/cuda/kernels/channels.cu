// What convolutions and inner products do beside their products.

// y += b, lined up with the channels; then, if asked for, what is negative becomes zero.
extern "C" __global__ void add_bias(VALUE* __restrict__ y, const float* __restrict__ b, int n,
                                    CHANNEL, int relu) {
    FOR_EACH(i, n) {
        float value = load(y, i) + b[CHANNEL_OF(i)];
        store(y, i, relu && value < 0 ? 0.0f : value);
    }
}

extern "C" __global__ void rectify(VALUE* y, int n) {
    FOR_EACH(i, n) if (load(y, i) < 0) store(y, i, 0.0f);
}

// y += x, from the type of activations to float.
extern "C" __global__ void accumulate(const VALUE* x, float* y, int n) {
    FOR_EACH(i, n) y[i] += load(x, i);
}
