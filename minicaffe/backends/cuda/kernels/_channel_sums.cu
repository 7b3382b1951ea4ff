// Two sums over all values of each channel (channel_sums.py). TERMS names what is summed:
//
//   given     dy                                    gradient of a bias
//   product   dy * x, dy                            of a factor and a bias
//   magnitude |dy|                                  what Reduction sums, dy being what it is given
//   square    dy * dy
//   negative  dy * min(x, 0)                        of PReLU's slopes
//   normal    dy, dy * normal                       what batch normalisation's gradient needs,
//                                                   normal = (x - mean) * inverse
//   rectified the same where normal * factor + term > 0: where Scale and ReLU followed it
//
// Bound by reading x and dy once. The order of the additions is fixed by the grid.
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
#define PASSED (NORMAL * c.factor + c.term > 0 ? load(dy, i) : 0.0f)

ROW(given, load(dy, i), 0.0f)
ROW(magnitude, fabsf(load(dy, i)), 0.0f)
ROW(square, load(dy, i) * load(dy, i), 0.0f)
ROW(product, load(dy, i) * load(x, i), load(dy, i))
ROW(negative, load(dy, i) * fminf(load(x, i), 0.0f), 0.0f)
ROW(normal, load(dy, i), load(dy, i) * NORMAL)
ROW(rectified, PASSED, PASSED * NORMAL)

// What there is one of for each channel may be null.
#define GIVEN \
    const VALUE *__restrict__ x, const VALUE *__restrict__ dy, const float *__restrict__ mean, \
        const float *__restrict__ inverse, const float *__restrict__ factors, \
        const float *__restrict__ terms
// Where the two sums go, null if nowhere, and whether they are added to what is there; what they are
// multiplied with, and the address of another such factor, or null. They may go to two places.
#define RESULT(to) \
    float *__restrict__ to##_first, float *__restrict__ to##_second, int to##_adds_first, \
        int to##_adds_second, float to##_factor, const float *to##_scale
#define GIVE(to, channel, sums) \
    give(channel, sums, to##_first, to##_second, to##_adds_first, to##_adds_second, to##_factor, \
         to##_scale)

struct Sums { float first, second; };

// Brings the threads' sums together; the first `lanes` threads get those of their channels.
__device__ __forceinline__ Sums folded(Sums own, int lanes) {
    __shared__ float first[THREADS], second[THREADS];
    first[threadIdx.x] = own.first;
    second[threadIdx.x] = own.second;
    FOLD(half, lanes) {
        first[threadIdx.x] += first[threadIdx.x + half];
        second[threadIdx.x] += second[threadIdx.x + half];
    }
    return Sums{first[threadIdx.x], second[threadIdx.x]};
}

// Sums what the block has of each of its channels.
__device__ __forceinline__ Sums sums_of_block(Walk w, GIVEN, WALK) {
    Sums own = {0, 0};
    if (w.channel < all_channels) {
        Channel c = {mean ? mean[w.channel] : 0.0f, inverse ? inverse[w.channel] : 1.0f,
                     factors ? factors[w.channel] : 1.0f, terms ? terms[w.channel] : 0.0f};
#pragma unroll 4
        for (unsigned int j = w.first; j < (unsigned int)total; j += w.step) {
            unsigned int i = place_in(w, j, divisor(inner));
            own.first += JOIN(first_, TERMS)(x, dy, c, i);
            own.second += JOIN(second_, TERMS)(x, dy, c, i);
        }
    }
    return folded(own, lanes);
}
#define SUMS_OF_BLOCK(w) \
    sums_of_block(w, x, dy, mean, inverse, factors, terms, lanes, channels, all_channels, total, \
                  inner_by, inner_factor, inner_shift)

__device__ __forceinline__ void give(int channel, Sums sums, RESULT(to)) {
    if (to_scale) to_factor *= *to_scale;
    if (to_first)
        to_first[channel] = (to_adds_first ? to_first[channel] : 0.0f) + to_factor * sums.first;
    if (to_second)
        to_second[channel] = (to_adds_second ? to_second[channel] : 0.0f) + to_factor * sums.second;
}

extern "C" __global__ void reduce_partial(GIVEN, float* __restrict__ sums, WALK) {
    Walk w = WALK_HERE;
    Sums part = SUMS_OF_BLOCK(w);
    if (threadIdx.x >= lanes || w.channel >= all_channels) return;
    sums[2 * blockIdx.y * all_channels + w.channel] = part.first;
    sums[(2 * blockIdx.y + 1) * all_channels + w.channel] = part.second;
}

// Blocks of 32 channels, eight threads for each.
extern "C" __global__ void reduce_final(const float* __restrict__ sums, int splits, int channels,
                                 RESULT(a), RESULT(b)) {
    int channel = blockIdx.x * 32 + threadIdx.x % 32;
    Sums own = {0, 0};
    if (channel < channels)
        for (int split = threadIdx.x / 32; split < splits; split += THREADS / 32) {
            own.first += sums[2 * split * channels + channel];
            own.second += sums[(2 * split + 1) * channels + channel];
        }
    Sums all = folded(own, 32);
    if (threadIdx.x >= 32 || channel >= channels) return;
    GIVE(a, channel, all);
    GIVE(b, channel, all);
}

// Both steps at once, where there is one part only.
extern "C" __global__ void reduce_single_block(GIVEN, WALK, RESULT(a), RESULT(b)) {
    Walk w = WALK_HERE;
    Sums all = SUMS_OF_BLOCK(w);
    if (threadIdx.x >= lanes || w.channel >= all_channels) return;
    GIVE(a, w.channel, all);
    GIVE(b, w.channel, all);
}
