// Bias and ReLU of convolutions and inner products, and accumulation of their weight gradients.

// VARIANTS FIXED_CHANNELS: 0 1

// y += b, broadcast along the channels; then ReLU if `relu` is set.
extern "C" __global__ void __launch_bounds__(THREADS)
    add_bias(VALUE* __restrict__ y, const float* __restrict__ b, int relu, int n, CHANNEL) {
    CHANNELS_OF_THREAD
    PER_CHANNEL(term, b, 0.0f)
    FOR_EACH_PACK(i, n) {
        Pack pack = load_pack(y, i, n);
        CHANNELS_OF_PACK(i)
        FOR_EACH_IN_PACK(k) {
            float value = pack.at[k] + OF_CHANNEL(term);
            pack.at[k] = relu ? rectified(value) : value;
            NEXT_CHANNEL
        }
        store_pack(y, i, n, pack);
    }
}

extern "C" __global__ void relu(VALUE* y, int n) {
    FOR_EACH_PACK(i, n) {
        Pack pack = load_pack(y, i, n);
        FOR_EACH_IN_PACK(k) pack.at[k] = rectified(pack.at[k]);
        store_pack(y, i, n, pack);
    }
}

// y = x or, if `adds`, y += x, converted to float. inverse: address of 1 / loss scale of x, or null.
extern "C" __global__ void accumulate(const VALUE* __restrict__ x, float* __restrict__ y, int n,
                                      int adds, const float* inverse) {
    const float factor = inverse ? *inverse : 1.0f;
    FOR_EACH(i, n) y[i] = (adds ? y[i] : 0.0f) + factor * load(x, i);
}
