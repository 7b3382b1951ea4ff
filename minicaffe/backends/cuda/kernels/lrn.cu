// Local response normalisation (minicaffe/ops/lrn.py). REACH = local_size / 2.
//
// Across channels: a block has a tile of SIDE pixels and SIDE channels, with a halo of channels, in
// shared memory. x and dy are read once except for the halo, nothing is stored between forward and
// backward, and reads are coalesced in both memory orders. Memory-bound.
//
// Within channels: each thread reads its own window, through the caches.
//
// VARIANTS REACH: 0 1 2 4

#define SIDE 32
// Padded by one, to avoid bank conflicts of shared memory in columns of the tile.
#define ROW 33
#define AT(c, p) ((c) * ROW + (p))

// Loop over the tile of `count` channels; adjacent threads access adjacent memory.
#define FOR_EACH_IN_TILE(c, p, count) \
    for (int e = threadIdx.x, c = last ? e % (count) : e / SIDE, p = last ? e / (count) : e % SIDE; \
         e < (count) * SIDE; e += THREADS, c = last ? e % (count) : e / SIDE, \
         p = last ? e / (count) : e % SIDE)

// The tile's image, first channel and first pixel.
#define TILE \
    int tiles = (pixels + SIDE - 1) / SIDE, image = blockIdx.x / tiles; \
    int begin = blockIdx.y * SIDE, pixel = (blockIdx.x - image * tiles) * SIDE;
#define OFFSET(c, p) offset_of(image, c, pixel + (p), channels, pixels, last)
#define IS_INSIDE(c, p) ((c) >= 0 && (c) < channels && pixel + (p) < pixels)

__device__ __forceinline__ float sum_of_squares(const float* tile, int c, int p) {
    float sum = 0;
#pragma unroll
    for (int d = -REACH; d <= REACH; d++) sum += tile[AT(c + d, p)] * tile[AT(c + d, p)];
    return sum;
}
// scale^-beta in two special-function instructions instead of powf's dozens; as accurate near 1.
__device__ __forceinline__ float inverse_power(float scale, float beta) {
    return exp2f(-beta * log2f(scale));
}

extern "C" __global__ void across_forward(const VALUE* __restrict__ x, VALUE* __restrict__ y,
                                          int channels, int pixels, int last, float factor, float k,
                                          float beta) {
    __shared__ float tile[(SIDE + 2 * REACH) * ROW];
    TILE
    FOR_EACH_IN_TILE(c, p, SIDE + 2 * REACH) {
        int from = begin + c - REACH;
        tile[AT(c, p)] = IS_INSIDE(from, p) ? load(x, OFFSET(from, p)) : 0.0f;
    }
    __syncthreads();
    FOR_EACH_IN_TILE(c, p, SIDE) {
        float scale = k + factor * sum_of_squares(tile, c + REACH, p);
        if (IS_INSIDE(begin + c, p))
            store(y, OFFSET(begin + c, p), tile[AT(c + REACH, p)] * inverse_power(scale, beta));
    }
}

// share = dy * y / scale, which dx sums over the neighbours; direct = dy * scale^-beta.
extern "C" __global__ void across_backward(const VALUE* __restrict__ x, const VALUE* __restrict__ dy,
                                           VALUE* __restrict__ dx, int channels, int pixels,
                                           int last, float factor, float k, float beta) {
    __shared__ float tile[(SIDE + 4 * REACH) * ROW];
    __shared__ float shares[(SIDE + 2 * REACH) * ROW];
    __shared__ float direct[SIDE * ROW];
    TILE
    FOR_EACH_IN_TILE(c, p, SIDE + 4 * REACH) {
        int from = begin + c - 2 * REACH;
        tile[AT(c, p)] = IS_INSIDE(from, p) ? load(x, OFFSET(from, p)) : 0.0f;
    }
    __syncthreads();
    FOR_EACH_IN_TILE(c, p, SIDE + 2 * REACH) {
        int from = begin + c - REACH;
        float share = 0, passed = 0;
        if (IS_INSIDE(from, p)) {
            float scale = k + factor * sum_of_squares(tile, c + REACH, p);
            passed = load(dy, OFFSET(from, p)) * inverse_power(scale, beta);
            share = passed * tile[AT(c + REACH, p)] / scale;
        }
        shares[AT(c, p)] = share;
        if (c >= REACH && c < SIDE + REACH) direct[AT(c - REACH, p)] = passed;
    }
    __syncthreads();
    FOR_EACH_IN_TILE(c, p, SIDE) {
        float sum = 0;
#pragma unroll
        for (int d = 0; d <= 2 * REACH; d++) sum += shares[AT(c + d, p)];
        float change = 2 * factor * beta * tile[AT(c + 2 * REACH, p)] * sum;
        if (IS_INSIDE(begin + c, p)) store(dx, OFFSET(begin + c, p), direct[AT(c, p)] - change);
    }
}

#define DIMENSIONS DIVISOR(channels), DIVISOR(rows), DIVISOR(columns), int last
#define COORDINATES coordinates_of(i, divisor(channels), divisor(rows), divisor(columns), last)
#define STEP (last ? channels_by : 1)
// Loop over the offsets of the window around `at`, whose own offset is i.
#define FOR_EACH_NEIGHBOUR(j) \
    for (int r = max(at.row - REACH, 0); r <= min(at.row + REACH, rows_by - 1); r++) \
        for (int q = max(at.column - REACH, 0), \
                 j = (int)i + ((r - at.row) * columns_by + q - at.column) * STEP; \
             q <= min(at.column + REACH, columns_by - 1); q++, j += STEP)

extern "C" __global__ void within_forward(const VALUE* __restrict__ x, VALUE* __restrict__ y, int n,
                                          DIMENSIONS, float factor, float k, float beta) {
    FOR_EACH(i, n) {
        Coordinates at = COORDINATES;
        float sum = 0;
        FOR_EACH_NEIGHBOUR(j) sum += load(x, j) * load(x, j);
        store(y, i, load(x, i) * inverse_power(k + factor * sum, beta));
    }
}

// First step of the gradient: shares as above, and scale^-beta.
extern "C" __global__ void within_shares(const VALUE* __restrict__ x, const VALUE* __restrict__ dy,
                                         float* __restrict__ shares, float* __restrict__ powers,
                                         int n, DIMENSIONS, float factor, float k, float beta) {
    FOR_EACH(i, n) {
        Coordinates at = COORDINATES;
        float sum = 0;
        FOR_EACH_NEIGHBOUR(j) sum += load(x, j) * load(x, j);
        float scale = k + factor * sum, power = inverse_power(scale, beta);
        powers[i] = power;
        shares[i] = load(dy, i) * load(x, i) * power / scale;
    }
}

extern "C" __global__ void within_backward(const VALUE* __restrict__ x, const VALUE* __restrict__ dy,
                                           const float* __restrict__ shares,
                                           const float* __restrict__ powers, VALUE* __restrict__ dx,
                                           int n, DIMENSIONS, float factor, float beta) {
    FOR_EACH(i, n) {
        Coordinates at = COORDINATES;
        float sum = 0;
        FOR_EACH_NEIGHBOUR(j) sum += shares[j];
        store(dx, i, load(dy, i) * powers[i] - 2 * factor * beta * load(x, i) * sum);
    }
}
