// Scale, Bias and PReLU: per-channel factors and terms of a tensor (outer, channels, inner)
// (minicaffe/ops/scale.py, prelu.py). Bound by reading x and writing y once.

// VARIANTS FIXED_CHANNELS: 0 1

// y may be x; terms and factors may be null; saved_x, if given, receives x.
extern "C" __global__ void __launch_bounds__(THREADS)
    scale(const VALUE* x, VALUE* y, VALUE* saved_x, const float* __restrict__ factors,
          const float* __restrict__ terms, int n, CHANNEL) {
    CHANNELS_OF_THREAD
    PER_CHANNEL(factor, factors, 1.0f)
    PER_CHANNEL(term, terms, 0.0f)
    FOR_EACH_PACK(i, n) {
        Pack pack = load_pack(x, i, n);
        if (saved_x) store_pack(saved_x, i, n, pack);
        CHANNELS_OF_PACK(i)
        FOR_EACH_IN_PACK(k) {
            pack.at[k] *= OF_CHANNEL(factor);
            if (terms) pack.at[k] += OF_CHANNEL(term);
            NEXT_CHANNEL
        }
        store_pack(y, i, n, pack);
    }
}

// y may be x; saved_x, if given, receives x.
extern "C" __global__ void __launch_bounds__(THREADS)
    prelu(const VALUE* x, VALUE* y, VALUE* saved_x, const float* __restrict__ slopes, int n,
          CHANNEL) {
    CHANNELS_OF_THREAD
    PER_CHANNEL(slope, slopes, 0.0f)
    FOR_EACH_PACK(i, n) {
        Pack pack = load_pack(x, i, n);
        if (saved_x) store_pack(saved_x, i, n, pack);
        CHANNELS_OF_PACK(i)
        FOR_EACH_IN_PACK(k) {
            float value = pack.at[k], slope = OF_CHANNEL(slope);
            // As in Caffe, max(x, 0) + slope * min(x, 0): NaN also if the slope is not finite.
            pack.at[k] = value > 0 ? value + slope * 0.0f : slope * value;
            NEXT_CHANNEL
        }
        store_pack(y, i, n, pack);
    }
}

// dx may be dy.
extern "C" __global__ void __launch_bounds__(THREADS)
    prelu_backward(const VALUE* __restrict__ x, const VALUE* dy, VALUE* dx,
                   const float* __restrict__ slopes, int n, CHANNEL) {
    CHANNELS_OF_THREAD
    PER_CHANNEL(slope, slopes, 0.0f)
    FOR_EACH_PACK(i, n) {
        Pack values = load_pack(x, i, n), pack = load_pack(dy, i, n);
        CHANNELS_OF_PACK(i)
        FOR_EACH_IN_PACK(k) {
            float slope = OF_CHANNEL(slope);
            pack.at[k] *= values.at[k] > 0 ? 1.0f + slope * 0.0f : slope;
            NEXT_CHANNEL
        }
        store_pack(dx, i, n, pack);
    }
}
