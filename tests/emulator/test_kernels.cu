// Kernels for the tests of the emulator, right ones and wrong ones. VALUE is an option.

extern "C" __global__ void add(const float* __restrict__ x, const float* y, float* z, int n,
                               float factor) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        z[i] = x[i] + factor * y[i];
}

__device__ __forceinline__ float block_sum(float value) {
    __shared__ float parts[32];
    for (int distance = 16; distance > 0; distance /= 2)
        value += __shfl_down_sync(0xffffffffu, value, distance);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    value = threadIdx.x < blockDim.x / 32 ? parts[threadIdx.x] : 0.0f;
    if (threadIdx.x < 32)
        for (int bits = 16; bits > 0; bits /= 2) value += __shfl_xor_sync(0xffffffffu, value, bits);
    return value;
}
extern "C" __global__ void __launch_bounds__(256) total(const float* x, float* y, int n) {
    float sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[blockIdx.x * n + i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) y[blockIdx.x] = sum;
}

extern "C" __global__ void count(const float* x, int* n, int* largest, float* sum) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    atomicAdd(n, 1);
    atomicMax(largest, i);
    atomicAdd(sum, x[i]);
}

extern "C" __global__ void reverse(float* x) {
    extern __shared__ float all[];
    all[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = all[blockDim.x - 1 - threadIdx.x];
}

extern "C" __global__ void reverse_without_barrier(float* x) {
    extern __shared__ float all[];
    all[threadIdx.x] = x[threadIdx.x];
    x[threadIdx.x] = all[blockDim.x - 1 - threadIdx.x];
}

extern "C" __global__ void vote(int* y, int limit) {
    const unsigned votes = __ballot_sync(0xffffffffu, threadIdx.x < (unsigned)limit);
    y[threadIdx.x] = __popc(votes) + 100 * __shfl_sync(0xffffffffu, (int)threadIdx.x, 5)
                   + 10000 * __any_sync(0xffffffffu, threadIdx.x == 40)
                   + 20000 * __all_sync(0xffffffffu, limit > 0);
    __syncwarp();
}

extern "C" __global__ void place(int* y) {
    const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    y[block * blockDim.x * blockDim.y * blockDim.z + thread] = 1000 * block + thread;
}

extern "C" __global__ void write_at(float* x, int i) { x[i] = 1.0f; }
extern "C" __global__ void read_null(float* x) { x[0] = *(volatile float*)8; }
extern "C" __global__ void barrier_for_some(int threads) {
    if (threadIdx.x < (unsigned)threads) __syncthreads();
}
extern "C" __global__ void two_barriers(int threads) {
    if (threadIdx.x < (unsigned)threads) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}
extern "C" __global__ void warp_for_some(float* x) {
    if (threadIdx.x != 7) x[threadIdx.x] = __shfl_down_sync(0xffffffffu, 1.0f, 1);
}
extern "C" __global__ void log(float* x) { x[0] = ::logf(VALUE); }
