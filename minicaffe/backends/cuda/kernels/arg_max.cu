// The largest elements of rows (minicaffe/ops/arg_max.py). A row is gone through once for each of
// them: the next one is the largest that comes behind the one before.
//
// VARIANTS TEAM: 1 32 256

// A value and its place as one number, so that of equal values the later one is larger. A NaN is the
// largest value of all, or the smallest.
typedef unsigned long long Candidate;
__device__ __forceinline__ Candidate candidate(float value, int place, int nan_first) {
    unsigned int bits = float_to_bits(value);
    if (bits == 0x80000000u) bits = 0;  // - 0 is 0
    unsigned int key = bits >> 31 ? ~bits : bits | 0x80000000u;
    if (value != value) key = nan_first ? 0xffffffffu : 0;
    return (Candidate)key << 32 | (unsigned int)place;
}

// The largest of a team's; every thread gets it.
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

// y (outer, top_k, inner), twice as many with both: places, then values.
extern "C" __global__ void arg_max(const VALUE* __restrict__ x, float* __restrict__ y, ROWS,
                                   int top_k, int has_places, int has_values) {
    FOR_EACH_ROW(row, rows) {
        int first = FIRST_OF(row), parts = has_places + has_values;
        int to = (int)(row / inner * inner * parts * top_k + row % inner);
        Candidate before = ~(Candidate)0;
        for (int t = 0; t < top_k; t++) {
            // Nobody is below the first value as the smallest NaN, which this is.
            Candidate largest = 0;
            FOR_EACH_CLASS(k, classes) {
                Candidate own = candidate(load(x, first + k * inner), k, top_k == 1);
                if (own < before && own > largest) largest = own;
            }
            before = team_largest(largest);
            int place = (int)(unsigned int)before;
            if (RANK != 0) continue;
            if (has_places) y[to + t * inner] = (float)place;
            if (has_values) y[to + (has_places * top_k + t) * inner] = load(x, first + place * inner);
        }
    }
}
