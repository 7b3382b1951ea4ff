// Local response normalisation (minicaffe/ops/lrn.py). REACH is how far neighbours are: local_size / 2.
//
// Across channels a block has a tile of SIDE pixels and SIDE channels, with the channels around it,
// in shared memory: x and dy are read once but for those edges, nothing is kept between forward and
// backward, and either order of memory is read side by side. Bound by memory.
//
// Within channels each thread looks at its own window, through the caches.
//
// VARIANTS REACH: 0 1 2 4

#define SIDE 32
// One more than a row, so that a column of the tile meets all banks of shared memory.
#define ROW 33
#define AT(c, p) ((c) * ROW + (p))

// Tile element e of `count` channels: neighbours in memory for neighbouring threads.
#define FOR_EACH_IN_TILE(c, p, count) \
    for (int e = threadIdx.x, c = last ? e % (count) : e / SIDE, p = last ? e / (count) : e % SIDE; \
         e < (count) * SIDE; e += THREADS, c = last ? e % (count) : e / SIDE, \
         p = last ? e / (count) : e % SIDE)

// The tile's image, first channel and first pixel.
#define TILE \
    int tiles = (pixels + SIDE - 1) / SIDE, image = blockIdx.x / tiles; \
    int begin = blockIdx.y * SIDE, pixel = (blockIdx.x - image * tiles) * SIDE;
#define PLACE(c, p) place(image, c, pixel + (p), channels, pixels, last)
#define IS_INSIDE(c, p) ((c) >= 0 && (c) < channels && pixel + (p) < pixels)

__device__ __forceinline__ float squares(const float* tile, int c, int p) {
    float sum = 0;
#pragma unroll
    for (int d = -REACH; d <= REACH; d++) sum += tile[AT(c + d, p)] * tile[AT(c + d, p)];
    return sum;
}
// base^-exponent: two instructions for what powf takes dozens, and as good for numbers near 1.
__device__ __forceinline__ float shrink(float scale, float beta) {
    return exp2f(-beta * log2f(scale));
}

extern "C" __global__ void across_forward(const VALUE* __restrict__ x, VALUE* __restrict__ y,
                                          int channels, int pixels, int last, float factor, float k,
                                          float beta) {
    __shared__ float tile[(SIDE + 2 * REACH) * ROW];
    TILE
    FOR_EACH_IN_TILE(c, p, SIDE + 2 * REACH) {
        int from = begin + c - REACH;
        tile[AT(c, p)] = IS_INSIDE(from, p) ? load(x, PLACE(from, p)) : 0.0f;
    }
    __syncthreads();
    FOR_EACH_IN_TILE(c, p, SIDE) {
        float scale = k + factor * squares(tile, c + REACH, p);
        if (IS_INSIDE(begin + c, p))
            store(y, PLACE(begin + c, p), tile[AT(c + REACH, p)] * shrink(scale, beta));
    }
}

// share = dy * y / scale, of which dx needs the sum over the neighbours; direct = dy * scale^-beta.
extern "C" __global__ void across_backward(const VALUE* __restrict__ x, const VALUE* __restrict__ dy,
                                           VALUE* __restrict__ dx, int channels, int pixels,
                                           int last, float factor, float k, float beta) {
    __shared__ float tile[(SIDE + 4 * REACH) * ROW];
    __shared__ float shares[(SIDE + 2 * REACH) * ROW];
    __shared__ float direct[SIDE * ROW];
    TILE
    FOR_EACH_IN_TILE(c, p, SIDE + 4 * REACH) {
        int from = begin + c - 2 * REACH;
        tile[AT(c, p)] = IS_INSIDE(from, p) ? load(x, PLACE(from, p)) : 0.0f;
    }
    __syncthreads();
    FOR_EACH_IN_TILE(c, p, SIDE + 2 * REACH) {
        int from = begin + c - REACH;
        float share = 0, passed = 0;
        if (IS_INSIDE(from, p)) {
            float scale = k + factor * squares(tile, c + REACH, p);
            passed = load(dy, PLACE(from, p)) * shrink(scale, beta);
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
        if (IS_INSIDE(begin + c, p)) store(dx, PLACE(begin + c, p), direct[AT(c, p)] - change);
    }
}

#define PLACES DIVISOR(channels), DIVISOR(rows), DIVISOR(columns), int last
#define SPOT spot(i, divisor(channels), divisor(rows), divisor(columns), last)
#define STEP (last ? channels_by : 1)
// All places in the window around `at`, whose own place is i.
#define FOR_EACH_NEIGHBOUR(j) \
    for (int r = max(at.row - REACH, 0); r <= min(at.row + REACH, rows_by - 1); r++) \
        for (int q = max(at.column - REACH, 0), \
                 j = (int)i + ((r - at.row) * columns_by + q - at.column) * STEP; \
             q <= min(at.column + REACH, columns_by - 1); q++, j += STEP)

extern "C" __global__ void within_forward(const VALUE* __restrict__ x, VALUE* __restrict__ y, int n,
                                          PLACES, float factor, float k, float beta) {
    FOR_EACH(i, n) {
        Spot at = SPOT;
        float sum = 0;
        FOR_EACH_NEIGHBOUR(j) sum += load(x, j) * load(x, j);
        store(y, i, load(x, i) * shrink(k + factor * sum, beta));
    }
}

// The first half of the gradient: shares as above, and scale^-beta.
extern "C" __global__ void within_shares(const VALUE* __restrict__ x, const VALUE* __restrict__ dy,
                                         float* __restrict__ shares, float* __restrict__ shrinks,
                                         int n, PLACES, float factor, float k, float beta) {
    FOR_EACH(i, n) {
        Spot at = SPOT;
        float sum = 0;
        FOR_EACH_NEIGHBOUR(j) sum += load(x, j) * load(x, j);
        float scale = k + factor * sum, power = shrink(scale, beta);
        shrinks[i] = power;
        shares[i] = load(dy, i) * load(x, i) * power / scale;
    }
}

extern "C" __global__ void within_backward(const VALUE* __restrict__ x, const VALUE* __restrict__ dy,
                                           const float* __restrict__ shares,
                                           const float* __restrict__ shrinks, VALUE* __restrict__ dx,
                                           int n, PLACES, float factor, float beta) {
    FOR_EACH(i, n) {
        Spot at = SPOT;
        float sum = 0;
        FOR_EACH_NEIGHBOUR(j) sum += shares[j];
        store(dx, i, load(dy, i) * shrinks[i] - 2 * factor * beta * load(x, i) * sum);
    }
}
