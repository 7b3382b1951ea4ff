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
extern "C" __global__ void parts(const VALUE* __restrict__ x, const VALUE* __restrict__ dy,
                                 const float* __restrict__ mean, const float* __restrict__ inverse,
                                 const float* __restrict__ factors,
                                 const float* __restrict__ terms, float* __restrict__ sums, WALK) {
    __shared__ float first[THREADS], second[THREADS];
    Walk w = WALK_HERE;
    float a = 0, b = 0;
    if (w.channel < all_channels) {
        Channel c = {mean ? mean[w.channel] : 0.0f, inverse ? inverse[w.channel] : 1.0f,
                     factors ? factors[w.channel] : 1.0f, terms ? terms[w.channel] : 0.0f};
#pragma unroll 4
        for (unsigned int j = w.first; j < (unsigned int)total; j += w.step) {
            unsigned int i = place_in(w, j, divisor(inner));
            a += JOIN(first_, TERMS)(x, dy, c, i);
            b += JOIN(second_, TERMS)(x, dy, c, i);
        }
    }
    first[threadIdx.x] = a;
    second[threadIdx.x] = b;
    FOLD(half, lanes) {
        first[threadIdx.x] += first[threadIdx.x + half];
        second[threadIdx.x] += second[threadIdx.x + half];
    }
    if (threadIdx.x < lanes && w.channel < all_channels) {
        sums[2 * blockIdx.y * all_channels + w.channel] = first[threadIdx.x];
        sums[(2 * blockIdx.y + 1) * all_channels + w.channel] = second[threadIdx.x];
    }
}

// Blocks of 32 channels, eight threads for each. to_first and to_second may be null, and
// inverse: of the scale of what was summed.
extern "C" __global__ void whole(const float* __restrict__ sums, int splits, int channels,
                                 float* __restrict__ to_first, float* __restrict__ to_second,
                                 int adds_first, int adds_second, float factor,
                                 const float* inverse) {
    __shared__ float first[THREADS], second[THREADS];
    int channel = blockIdx.x * 32 + threadIdx.x % 32;
    float a = 0, b = 0;
    if (channel < channels)
        for (int split = threadIdx.x / 32; split < splits; split += THREADS / 32) {
            a += sums[2 * split * channels + channel];
            b += sums[(2 * split + 1) * channels + channel];
        }
    first[threadIdx.x] = a;
    second[threadIdx.x] = b;
    FOLD(half, 32) {
        first[threadIdx.x] += first[threadIdx.x + half];
        second[threadIdx.x] += second[threadIdx.x + half];
    }
    if (threadIdx.x >= 32 || channel >= channels) return;
    if (inverse) factor *= *inverse;
    if (to_first)
        to_first[channel] = (adds_first ? to_first[channel] : 0.0f) + factor * first[threadIdx.x];
    if (to_second)
        to_second[channel] = (adds_second ? to_second[channel] : 0.0f) + factor * second[threadIdx.x];
}
