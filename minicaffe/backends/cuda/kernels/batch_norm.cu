// Batch normalisation and mean-variance normalisation of single samples (minicaffe/ops/batch_norm.py,
// mvn.py), in C order or with the channels last.
//
// Memory-bound: forward reads x twice (statistics, then values) and writes y once; backward reads x
// and dy twice and writes dx once. Statistics take one pass: each thread sums differences from the
// first value that it reads, which avoids cancellation if the mean is large, and partial results are
// merged by the formula of Chan, Golub and LeVeque, "Updating formulae", 1979.
//
// VARIANTS FIXED_CHANNELS: 0 1

struct Moments { float count, mean, squares; };  // squares: of the differences from the mean

__device__ __forceinline__ Moments merge(Moments a, Moments b) {
    float count = a.count + b.count;
    float fraction = count > 0 ? b.count / count : 0.0f, difference = b.mean - a.mean;
    return Moments{count, a.mean + difference * fraction,
                   a.squares + b.squares + difference * difference * a.count * fraction};
}

// Reduces the moments of a block's channels into its first `channels_per_block` threads.
#define MERGE_BLOCK(own, channels_per_block) \
    __shared__ Moments merging[THREADS]; \
    merging[threadIdx.x] = own; \
    BLOCK_REDUCE(half, channels_per_block) \
        merging[threadIdx.x] = merge(merging[threadIdx.x], merging[threadIdx.x + half]);

// partials: for each split, count, mean and squares of all channels.
extern "C" __global__ void statistics(const VALUE* __restrict__ x, float* __restrict__ partials,
                                      CHANNEL_LOOP) {
    ChannelLoop w = CHANNEL_LOOP_HERE;
    Moments own = {0, 0, 0};
    if (w.channel < all_channels && w.first < (unsigned int)total) {
        float origin = load(x, offset_in_channel(w, w.first, divisor(inner)));
        float sum = 0, squares = 0;
#pragma unroll 4
        for (unsigned int j = w.first; j < (unsigned int)total; j += w.step) {
            float value = load(x, offset_in_channel(w, j, divisor(inner))) - origin;
            sum += value;
            squares += value * value;
        }
        own.count = (float)((total - 1 - w.first) / w.step + 1);
        own.mean = origin + sum / own.count;
        own.squares = fmaxf(squares - sum * (sum / own.count), 0.0f);
    }
    MERGE_BLOCK(own, channels_per_block)
    if (threadIdx.x < channels_per_block && w.channel < all_channels) {
        float* part = partials + 3 * blockIdx.y * all_channels + w.channel;
        part[0] = merging[threadIdx.x].count;
        part[all_channels] = merging[threadIdx.x].mean;
        part[2 * all_channels] = merging[threadIdx.x].squares;
    }
}

// Merges the partial moments of each channel into one thread, and returns from the other threads; for
// blocks of FINAL_CHANNELS channels.
#define MERGE_PARTIALS(own) \
    int channel = blockIdx.x * FINAL_CHANNELS + threadIdx.x % FINAL_CHANNELS; \
    Moments own = {0, 0, 0}; \
    if (channel < channels) \
        for (int split = threadIdx.x / FINAL_CHANNELS; split < splits; \
             split += THREADS / FINAL_CHANNELS) { \
            const float* part = partials + 3 * split * channels + channel; \
            own = merge(own, Moments{part[0], part[channels], part[2 * channels]}); \
        } \
    MERGE_BLOCK(own, FINAL_CHANNELS) \
    if (threadIdx.x >= FINAL_CHANNELS || channel >= channels) return; \
    own = merging[threadIdx.x];

// mean and inverse = 1 / deviation are used for normalisation; the running sums and their weight are
// updated.
extern "C" __global__ void finish(const float* __restrict__ partials, int splits, int channels,
                                  float* __restrict__ mean, float* __restrict__ inverse,
                                  float* __restrict__ running_mean,
                                  float* __restrict__ running_variance, float* __restrict__ weight,
                                  float fraction, float eps) {
    MERGE_PARTIALS(own)
    float variance = own.squares / own.count;
    mean[channel] = own.mean;
    inverse[channel] = 1.0f / sqrtf(variance + eps);
    running_mean[channel] = fraction * running_mean[channel] + own.mean;
    running_variance[channel] = fraction * running_variance[channel] +
                                variance * (own.count / fmaxf(own.count - 1, 1.0f));
    if (channel == 0) weight[0] = fraction * weight[0] + 1;
}

// mean and inverse from stored statistics.
extern "C" __global__ void stored(const float* __restrict__ running_mean,
                                  const float* __restrict__ running_variance,
                                  const float* __restrict__ weight, float* __restrict__ mean,
                                  float* __restrict__ inverse, int channels, float eps) {
    float inverse_weight = weight[0] == 0 ? 0.0f : 1.0f / weight[0];
    FOR_EACH(c, channels) {
        mean[c] = running_mean[c] * inverse_weight;
        inverse[c] = 1.0f / sqrtf(running_variance[c] * inverse_weight + eps);
    }
}

// For MVN. inverse: 1 / (deviation + eps), or 1 if the variance is not normalised.
extern "C" __global__ void finish_samples(const float* __restrict__ partials, int splits,
                                          int channels, float* __restrict__ mean,
                                          float* __restrict__ inverse,
                                          int divides, float eps) {
    MERGE_PARTIALS(own)
    mean[channel] = own.mean;
    inverse[channel] = divides ? 1.0f / (sqrtf(own.squares / own.count) + eps) : 1.0f;
}

// With Scale and ReLU fused, if given: y = max(0, normal * factor + term). y may be x; saved_x, if
// given, receives x.
extern "C" __global__ void __launch_bounds__(THREADS)
    forward(const VALUE* x, VALUE* y, VALUE* saved_x, const float* __restrict__ mean,
            const float* __restrict__ inverse, const float* __restrict__ factors,
            const float* __restrict__ terms, int applies_relu, int n, CHANNEL) {
    CHANNELS_OF_THREAD
    PER_CHANNEL(mean, mean, 0.0f)
    PER_CHANNEL(inverse, inverse, 1.0f)
    PER_CHANNEL(factor, factors, 1.0f)
    PER_CHANNEL(term, terms, 0.0f)
    FOR_EACH_PACK(i, n) {
        Pack pack = load_pack(x, i, n);
        if (saved_x) store_pack(saved_x, i, n, pack);
        CHANNELS_OF_PACK(i)
        FOR_EACH_IN_PACK(k) {
            float slope = OF_CHANNEL(inverse) * OF_CHANNEL(factor);
            float value = (pack.at[k] - OF_CHANNEL(mean)) * slope + OF_CHANNEL(term);
            pack.at[k] = applies_relu ? rectified(value) : value;
            NEXT_CHANNEL
        }
        store_pack(y, i, n, pack);
    }
}

// dy is the gradient of the output of `forward`. means, for each channel: mean of the gradient after
// the ReLU, then of its product with the normalised x. dx may be dy.
extern "C" __global__ void __launch_bounds__(THREADS)
    backward(const VALUE* __restrict__ x, const VALUE* dy, VALUE* dx,
             const float* __restrict__ mean, const float* __restrict__ inverse,
             const float* __restrict__ factors, const float* __restrict__ terms, int applies_relu,
             const float* __restrict__ means, int n, CHANNEL) {
    CHANNELS_OF_THREAD
    PER_CHANNEL(mean, mean, 0.0f)
    PER_CHANNEL(inverse, inverse, 1.0f)
    PER_CHANNEL(factor, factors, 1.0f)
    PER_CHANNEL(term, terms, 0.0f)
    PER_CHANNEL(mean_dy, means, 0.0f)
    PER_CHANNEL(mean_product, means + channels_by, 0.0f)
    FOR_EACH_PACK(i, n) {
        Pack values = load_pack(x, i, n), pack = load_pack(dy, i, n);
        CHANNELS_OF_PACK(i)
        FOR_EACH_IN_PACK(k) {
            float slope = OF_CHANNEL(inverse) * OF_CHANNEL(factor);
            float product = OF_CHANNEL(inverse) * OF_CHANNEL(mean_product);
            float centred = values.at[k] - OF_CHANNEL(mean), passed = pack.at[k];
            if (applies_relu && !(centred * slope + OF_CHANNEL(term) > 0)) passed = 0;
            pack.at[k] = (passed - OF_CHANNEL(mean_dy) - centred * product) * slope;
            NEXT_CHANNEL
        }
        store_pack(dx, i, n, pack);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    backward_stored(const VALUE* dy, VALUE* dx, const float* __restrict__ inverse, int n, CHANNEL) {
    CHANNELS_OF_THREAD
    PER_CHANNEL(inverse, inverse, 1.0f)
    FOR_EACH_PACK(i, n) {
        Pack pack = load_pack(dy, i, n);
        CHANNELS_OF_PACK(i)
        FOR_EACH_IN_PACK(k) {
            pack.at[k] *= OF_CHANNEL(inverse);
            NEXT_CHANNEL
        }
        store_pack(dx, i, n, pack);
    }
}

// For single samples: a channel holds the trailing axes. y may be x; saved_x, if given, receives x.
extern "C" __global__ void forward_samples(const VALUE* x, VALUE* y, VALUE* saved_x,
                                           const float* __restrict__ mean,
                                           const float* __restrict__ inverse, int n, TRAILING) {
    FOR_EACH_PACK(i, n) {
        Pack pack = load_pack(x, i, n);
        if (saved_x) store_pack(saved_x, i, n, pack);
        FOR_EACH_IN_PACK(k) {
            if (i + k >= (unsigned int)n) continue;
            unsigned int c = TRAILING_AT(i + k);
            pack.at[k] = (pack.at[k] - mean[c]) * inverse[c];
        }
        store_pack(y, i, n, pack);
    }
}

// means: mean of dy, then, if y was divided, of dy times the normalised x. dx may be dy.
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
            float centred = pack.at[k] - means[c];
            if (divides) {
                float normal = (values.at[k] - mean[c]) * inverse[c];
                centred = (centred - normal * means[channels + c]) * inverse[c];
            }
            pack.at[k] = centred;
        }
        store_pack(dx, i, n, pack);
    }
}
