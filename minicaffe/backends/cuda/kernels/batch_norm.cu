// Normalisation of batches and of single samples (minicaffe/ops/batch_norm.py, mvn.py), in C order or
// with the channels last.
//
// Bound by memory: forward reads x twice (statistics, then values) and writes y once; backward reads
// x and dy twice and writes dx once. Statistics are taken in one pass: each thread sums differences
// from the first value that it meets, so that no digits are lost where the mean is large, and parts
// are merged with the means that they have (Chan, Golub and LeVeque, "Updating formulae", 1979).

struct Moments { float count, mean, squares; };  // squares: of the differences from the mean

__device__ __forceinline__ Moments merged(Moments a, Moments b) {
    float count = a.count + b.count;
    float share = count > 0 ? b.count / count : 0.0f, apart = b.mean - a.mean;
    return Moments{count, a.mean + apart * share,
                   a.squares + b.squares + apart * apart * a.count * share};
}

// Leaves the merged moments of a block's channels with its first `lanes` threads.
#define MERGE_BLOCK(own, lanes) \
    __shared__ Moments merging[THREADS]; \
    merging[threadIdx.x] = own; \
    FOLD(half, lanes) merging[threadIdx.x] = merged(merging[threadIdx.x], merging[threadIdx.x + half]);

// parts: for each split of a channel count, mean and squares, each over all channels.
extern "C" __global__ void statistics(const VALUE* __restrict__ x, float* __restrict__ parts, WALK) {
    Walk w = WALK_HERE;
    Moments own = {0, 0, 0};
    if (w.channel < all_channels && w.first < (unsigned int)total) {
        float origin = load(x, place_in(w, w.first, divisor(inner)));
        float sum = 0, squares = 0;
#pragma unroll 4
        for (unsigned int j = w.first; j < (unsigned int)total; j += w.step) {
            float value = load(x, place_in(w, j, divisor(inner))) - origin;
            sum += value;
            squares += value * value;
        }
        own.count = (float)((total - 1 - w.first) / w.step + 1);
        own.mean = origin + sum / own.count;
        own.squares = fmaxf(squares - sum * (sum / own.count), 0.0f);
    }
    MERGE_BLOCK(own, lanes)
    if (threadIdx.x < lanes && w.channel < all_channels) {
        float* part = parts + 3 * blockIdx.y * all_channels + w.channel;
        part[0] = merging[threadIdx.x].count;
        part[all_channels] = merging[threadIdx.x].mean;
        part[2 * all_channels] = merging[threadIdx.x].squares;
    }
}

// Leaves the moments of a channel with one thread for each, and returns from the others; for blocks
// of 32 channels, eight threads for each.
#define BROUGHT_TOGETHER(own) \
    int channel = blockIdx.x * 32 + threadIdx.x % 32; \
    Moments own = {0, 0, 0}; \
    if (channel < channels) \
        for (int split = threadIdx.x / 32; split < splits; split += THREADS / 32) { \
            const float* part = parts + 3 * split * channels + channel; \
            own = merged(own, Moments{part[0], part[channels], part[2 * channels]}); \
        } \
    MERGE_BLOCK(own, 32) \
    if (threadIdx.x >= 32 || channel >= channels) return; \
    own = merging[threadIdx.x];

// mean and inverse, 1 / deviation, are what values are normalised with; the running sums and their
// weight are updated.
extern "C" __global__ void finish(const float* __restrict__ parts, int splits, int channels,
                                  float* __restrict__ mean, float* __restrict__ inverse,
                                  float* __restrict__ running_mean,
                                  float* __restrict__ running_variance, float* __restrict__ weight,
                                  float fraction, float eps) {
    BROUGHT_TOGETHER(own)
    float variance = own.squares / own.count;
    mean[channel] = own.mean;
    inverse[channel] = 1.0f / sqrtf(variance + eps);
    running_mean[channel] = fraction * running_mean[channel] + own.mean;
    running_variance[channel] = fraction * running_variance[channel] +
                                variance * (own.count / fmaxf(own.count - 1, 1.0f));
    if (channel == 0) weight[0] = fraction * weight[0] + 1;
}

// The same from stored statistics.
extern "C" __global__ void stored(const float* __restrict__ running_mean,
                                  const float* __restrict__ running_variance,
                                  const float* __restrict__ weight, float* __restrict__ mean,
                                  float* __restrict__ inverse, int channels, float eps) {
    float share = weight[0] == 0 ? 0.0f : 1.0f / weight[0];
    FOR_EACH(c, channels) {
        mean[c] = running_mean[c] * share;
        inverse[c] = 1.0f / sqrtf(running_variance[c] * share + eps);
    }
}

// MVN's. inverse: 1 / (deviation + eps), or 1 where nothing is divided.
extern "C" __global__ void finish_samples(const float* __restrict__ parts, int splits, int channels,
                                          float* __restrict__ mean, float* __restrict__ inverse,
                                          int divides, float eps) {
    BROUGHT_TOGETHER(own)
    mean[channel] = own.mean;
    inverse[channel] = divides ? 1.0f / (sqrtf(own.squares / own.count) + eps) : 1.0f;
}

// Scale and ReLU behind it, where given: y = max(0, normal * factor + term). y may be x; kept, where
// given, receives x.
extern "C" __global__ void forward(const VALUE* x, VALUE* y, VALUE* kept,
                                   const float* __restrict__ mean,
                                   const float* __restrict__ inverse,
                                   const float* __restrict__ factors,
                                   const float* __restrict__ terms, int rectifies, int n, CHANNEL) {
    FOR_EACH_PACK(i, n) {
        Pack pack = load_pack(x, i, n);
        if (kept) store_pack(kept, i, n, pack);
        ChannelAt at = CHANNEL_AT(i);
        FOR_EACH_IN_PACK(k) {
            int c = at.channel;
            float value = (pack.at[k] - mean[c]) * inverse[c];
            if (factors) value *= factors[c];
            if (terms) value += terms[c];
            // A NaN stays one.
            pack.at[k] = rectifies && value <= 0 ? 0.0f : value;
            at.next();
        }
        store_pack(y, i, n, pack);
    }
}

// dy is the gradient of what forward wrote. means, for each channel: of what of it passes the ReLU,
// then of that times the normalised x. dx may be dy.
extern "C" __global__ void backward(const VALUE* __restrict__ x, const VALUE* dy, VALUE* dx,
                                    const float* __restrict__ mean,
                                    const float* __restrict__ inverse,
                                    const float* __restrict__ factors,
                                    const float* __restrict__ terms, int rectifies,
                                    const float* __restrict__ means, int n, CHANNEL) {
    FOR_EACH_PACK(i, n) {
        Pack values = load_pack(x, i, n), pack = load_pack(dy, i, n);
        ChannelAt at = CHANNEL_AT(i);
        FOR_EACH_IN_PACK(k) {
            int c = at.channel;
            float normal = (values.at[k] - mean[c]) * inverse[c];
            float factor = factors ? factors[c] : 1.0f, term = terms ? terms[c] : 0.0f;
            float passed = rectifies && !(normal * factor + term > 0) ? 0.0f : pack.at[k];
            float left = passed - means[c] - normal * means[channels_by + c];
            pack.at[k] = left * inverse[c] * factor;
            at.next();
        }
        store_pack(dx, i, n, pack);
    }
}

extern "C" __global__ void backward_stored(const VALUE* dy, VALUE* dx,
                                           const float* __restrict__ inverse, int n, CHANNEL) {
    FOR_EACH_PACK(i, n) {
        Pack pack = load_pack(dy, i, n);
        ChannelAt at = CHANNEL_AT(i);
        FOR_EACH_IN_PACK(k) {
            pack.at[k] *= inverse[at.channel];
            at.next();
        }
        store_pack(dx, i, n, pack);
    }
}

// Of single samples: channels are those of the trailing axes. y may be x; kept, where given, receives
// x.
extern "C" __global__ void forward_samples(const VALUE* x, VALUE* y, VALUE* kept,
                                           const float* __restrict__ mean,
                                           const float* __restrict__ inverse, int n, TRAILING) {
    FOR_EACH_PACK(i, n) {
        Pack pack = load_pack(x, i, n);
        if (kept) store_pack(kept, i, n, pack);
        FOR_EACH_IN_PACK(k) {
            if (i + k >= (unsigned int)n) continue;
            unsigned int c = TRAILING_AT(i + k);
            pack.at[k] = (pack.at[k] - mean[c]) * inverse[c];
        }
        store_pack(y, i, n, pack);
    }
}

// means: of dy, then, where y was divided, of dy times the normalised x. dx may be dy.
extern "C" __global__ void backward_samples(const VALUE* __restrict__ x, const VALUE* dy, VALUE* dx,
                                            const float* __restrict__ mean,
                                            const float* __restrict__ inverse,
                                            const float* __restrict__ means, int channels,
                                            int divides, int n, TRAILING) {
    FOR_EACH_PACK(i, n) {
        Pack values = divides ? load_pack(x, i, n) : Pack{}, pack = load_pack(dy, i, n);
        FOR_EACH_IN_PACK(k) {
            if (i + k >= (unsigned int)n) continue;
            unsigned int c = TRAILING_AT(i + k);
            float left = pack.at[k] - means[c];
            if (divides) {
                float normal = (values.at[k] - mean[c]) * inverse[c];
                left = (left - normal * means[channels + c]) * inverse[c];
            }
            pack.at[k] = left;
        }
        store_pack(dx, i, n, pack);
    }
}
