// Reduction of two sums over all values of each channel (_channel_sums.py). TERMS selects them:
//
//   given     dy                                    gradient of a bias
//   product   dy * x, dy                            gradients of a factor and a bias
//   magnitude |dy|                                  for Reduction, whose input is passed as dy
//   square    dy * dy                               likewise
//   negative  dy * x * (x <= 0)                     gradient of PReLU's slopes
//   normal    dy, dy * normal                       for the gradient of batch normalisation,
//                                                   normal = (x - mean) * inverse
//   rectified the same where normal * factor + term > 0: if Scale and ReLU are fused
//
// Bound by reading x and dy once. The grid fixes the order of the additions.
//
// VARIANTS TERMS: given magnitude square product negative normal rectified

#define JOINED(A, B) A##B
#define JOIN(A, B) JOINED(A, B)
#define NAMED const VALUE* x, const VALUE* dy, Channel c, unsigned int i
#define ROW(TERMS_NAME, FIRST, SECOND) \
    __device__ __forceinline__ float first_##TERMS_NAME(NAMED) { return FIRST; } \
    __device__ __forceinline__ float second_##TERMS_NAME(NAMED) { return SECOND; }

struct Channel { float mean, inverse, factor, term; };
#define NORMAL ((load(x, i) - c.mean) * c.inverse)
// The same arithmetic as in batch_norm.cu, whose ReLU this is.
#define PASSED \
    ((load(x, i) - c.mean) * (c.inverse * c.factor) + c.term > 0 ? load(dy, i) : 0.0f)

ROW(given, load(dy, i), 0.0f)
ROW(magnitude, fabsf(load(dy, i)), 0.0f)
ROW(square, load(dy, i) * load(dy, i), 0.0f)
ROW(product, load(dy, i) * load(x, i), load(dy, i))
ROW(negative, load(dy, i) * (load(x, i) * (load(x, i) <= 0 ? 1.0f : 0.0f)), 0.0f)
ROW(normal, load(dy, i), load(dy, i) * NORMAL)
ROW(rectified, PASSED, PASSED * NORMAL)

// Pointers to per-channel values may be null.
#define INPUTS \
    const VALUE *__restrict__ x, const VALUE *__restrict__ dy, const float *__restrict__ mean, \
        const float *__restrict__ inverse, const float *__restrict__ factors, \
        const float *__restrict__ terms
// Outputs of the two sums (null: none), whether they are accumulated, a factor, and the address of
// another factor (null: none). A kernel has two such results.
#define RESULT(to) \
    float *__restrict__ to##_first, float *__restrict__ to##_second, int to##_adds_first, \
        int to##_adds_second, float to##_factor, const float *to##_scale
#define WRITE_RESULT(to, channel, sums) \
    write_result(channel, sums, to##_first, to##_second, to##_adds_first, to##_adds_second, \
                 to##_factor, to##_scale)

struct Sums { float first, second; };

// Reduces the threads' sums; the first `channels_per_block` threads get the sums of their channels.
__device__ __forceinline__ Sums block_reduce(Sums own, int channels_per_block) {
    __shared__ float first[THREADS], second[THREADS];
    first[threadIdx.x] = own.first;
    second[threadIdx.x] = own.second;
    BLOCK_REDUCE(half, channels_per_block) {
        first[threadIdx.x] += first[threadIdx.x + half];
        second[threadIdx.x] += second[threadIdx.x + half];
    }
    return Sums{first[threadIdx.x], second[threadIdx.x]};
}

// Sums the block's part of each of its channels.
__device__ __forceinline__ Sums sums_of_block(ChannelLoop w, INPUTS, CHANNEL_LOOP) {
    Sums own = {0, 0};
    if (w.channel < all_channels) {
        Channel c = {mean ? mean[w.channel] : 0.0f, inverse ? inverse[w.channel] : 1.0f,
                     factors ? factors[w.channel] : 1.0f, terms ? terms[w.channel] : 0.0f};
#pragma unroll 4
        for (unsigned int j = w.first; j < (unsigned int)total; j += w.step) {
            unsigned int i = offset_in_channel(w, j, divisor(inner));
            own.first += JOIN(first_, TERMS)(x, dy, c, i);
            own.second += JOIN(second_, TERMS)(x, dy, c, i);
        }
    }
    return block_reduce(own, channels_per_block);
}
#define SUMS_OF_BLOCK(w) \
    sums_of_block(w, x, dy, mean, inverse, factors, terms, channels_per_block, channels, \
                  all_channels, total, inner_by, inner_factor, inner_shift)

__device__ __forceinline__ void write_result(int channel, Sums sums, RESULT(to)) {
    if (to_scale) to_factor *= *to_scale;
    if (to_first)
        to_first[channel] = (to_adds_first ? to_first[channel] : 0.0f) + to_factor * sums.first;
    if (to_second)
        to_second[channel] = (to_adds_second ? to_second[channel] : 0.0f) + to_factor * sums.second;
}

extern "C" __global__ void reduce_partial(INPUTS, float* __restrict__ sums, CHANNEL_LOOP) {
    ChannelLoop w = CHANNEL_LOOP_HERE;
    Sums part = SUMS_OF_BLOCK(w);
    if (threadIdx.x >= channels_per_block || w.channel >= all_channels) return;
    sums[2 * blockIdx.y * all_channels + w.channel] = part.first;
    sums[(2 * blockIdx.y + 1) * all_channels + w.channel] = part.second;
}

// Second step: blocks of FINAL_CHANNELS channels.
extern "C" __global__ void reduce_final(const float* __restrict__ sums, int splits, int channels,
                                 RESULT(a), RESULT(b)) {
    int channel = blockIdx.x * FINAL_CHANNELS + threadIdx.x % FINAL_CHANNELS;
    Sums own = {0, 0};
    if (channel < channels)
#pragma unroll 4
        for (int split = threadIdx.x / FINAL_CHANNELS; split < splits;
             split += THREADS / FINAL_CHANNELS) {
            own.first += sums[2 * split * channels + channel];
            own.second += sums[(2 * split + 1) * channels + channel];
        }
    Sums all = block_reduce(own, FINAL_CHANNELS);
    if (threadIdx.x >= FINAL_CHANNELS || channel >= channels) return;
    WRITE_RESULT(a, channel, all);
    WRITE_RESULT(b, channel, all);
}

// Both steps in one launch, if a channel is not split.
extern "C" __global__ void reduce_single_block(INPUTS, CHANNEL_LOOP, RESULT(a), RESULT(b)) {
    ChannelLoop w = CHANNEL_LOOP_HERE;
    Sums all = SUMS_OF_BLOCK(w);
    if (threadIdx.x >= channels_per_block || w.channel >= all_channels) return;
    WRITE_RESULT(a, w.channel, all);
    WRITE_RESULT(b, w.channel, all);
}
