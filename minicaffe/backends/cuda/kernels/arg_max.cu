// The k largest elements of rows (minicaffe/ops/arg_max.py). A row is read once for each of them: the
// next one is the largest element that is smaller than the previous one.
//
// VARIANTS TEAM: 1 32 256

// Value and index packed into one integer, so that of equal values the later one is larger. NaN is
// the largest value (nan_first) or the smallest.
typedef unsigned long long Candidate;
__device__ __forceinline__ Candidate candidate(float value, int index, int nan_first) {
    unsigned int bits = float_to_bits(value);
    if (bits == 0x80000000u) bits = 0;  // - 0 is 0
    unsigned int key = bits >> 31 ? ~bits : bits | 0x80000000u;
    if (value != value) key = nan_first ? 0xffffffffu : 0;
    return (Candidate)key << 32 | (unsigned int)index;
}

// Maximum over a team; every thread gets the result.
__device__ __forceinline__ Candidate team_largest(Candidate own) {
#if TEAM > 1
    for (int offset = 16; offset > 0; offset >>= 1)
        own = max(own, __shfl_xor_sync(0xffffffffu, own, offset));
#endif
#if TEAM > 32
    __shared__ Candidate parts[TEAM / 32];
    __syncthreads();
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = own;
    __syncthreads();
    for (int k = 0; k < TEAM / 32; k++) own = max(own, parts[k]);
#endif
    return own;
}

// y (outer, top_k, inner), doubled if both are wanted: indices, then values.
extern "C" __global__ void arg_max(const VALUE* __restrict__ x, float* __restrict__ y, ROWS,
                                   int top_k, int has_indices, int has_values) {
    FOR_EACH_ROW(row, rows) {
        int first = FIRST_OF(row), parts = has_indices + has_values;
        int to = (int)(row / inner * inner * parts * top_k + row % inner);
        Candidate before = ~(Candidate)0;
        for (int t = 0; t < top_k; t++) {
            // 0 is the key of NaN as the smallest value: no candidate is smaller.
            Candidate largest = 0;
            FOR_EACH_CLASS(k, classes) {
                Candidate own = candidate(load(x, first + k * inner), k, top_k == 1);
                if (own < before && own > largest) largest = own;
            }
            before = team_largest(largest);
            int index = (int)(unsigned int)before;
            if (RANK != 0) continue;
            if (has_indices) y[to + t * inner] = (float)index;
            if (has_values)
                y[to + (has_indices * top_k + t) * inner] = load(x, first + index * inner);
        }
    }
}
