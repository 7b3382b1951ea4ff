// What all kernels share: types of values, loops, sums over a block.
//
// VALUE is the type in which activations lie: float, bfloat16 or float16. Arithmetic is in float.
// No headers are included: the compiler at run time (NVRTC) is given none.

struct bfloat16 { unsigned short bits; };
struct float16 { unsigned short bits; };

#ifdef EMULATED
__device__ __forceinline__ float bits_to_float(unsigned int bits) {
    float value;
    __builtin_memcpy(&value, &bits, 4);
    return value;
}
__device__ __forceinline__ unsigned int float_to_bits(float value) {
    unsigned int bits;
    __builtin_memcpy(&bits, &value, 4);
    return bits;
}
__device__ __forceinline__ float half_to_float(unsigned short bits) {
    _Float16 value;
    __builtin_memcpy(&value, &bits, 2);
    return (float)value;
}
__device__ __forceinline__ unsigned short float_to_half(float value) {
    _Float16 half = (_Float16)value;
    unsigned short bits;
    __builtin_memcpy(&bits, &half, 2);
    return bits;
}
#else
__device__ __forceinline__ float bits_to_float(unsigned int bits) { return __uint_as_float(bits); }
__device__ __forceinline__ unsigned int float_to_bits(float value) { return __float_as_uint(value); }
__device__ __forceinline__ float half_to_float(unsigned short bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}
__device__ __forceinline__ unsigned short float_to_half(float value) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
#endif

__device__ __forceinline__ float load(const float* x, int i) { return x[i]; }
__device__ __forceinline__ float load(const bfloat16* x, int i) {
    return bits_to_float((unsigned int)x[i].bits << 16);
}
__device__ __forceinline__ float load(const float16* x, int i) { return half_to_float(x[i].bits); }

__device__ __forceinline__ void store(float* y, int i, float value) { y[i] = value; }
__device__ __forceinline__ void store(bfloat16* y, int i, float value) {
    unsigned int bits = float_to_bits(value);
    // To nearest, ties to even; a NaN stays one.
    unsigned int rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    y[i].bits = (unsigned short)(value != value ? (bits >> 16) | 0x40u : rounded);
}
__device__ __forceinline__ void store(float16* y, int i, float value) {
    y[i].bits = float_to_half(value);
}

// Every element of 0 .. n - 1 once, whatever the grid; n may be anything below 2^31.
#define FOR_EACH(i, n) \
    for (unsigned int i = blockIdx.x * blockDim.x + threadIdx.x; i < (unsigned int)(n); \
         i += gridDim.x * blockDim.x)

// Most threads of a block.
#define MAX_THREADS 1024

__device__ __forceinline__ float warp_sum(float value) {
    for (int offset = 16; offset > 0; offset >>= 1)
        value += __shfl_xor_sync(0xffffffffu, value, offset);
    return value;
}
__device__ __forceinline__ float warp_max(float value) {
    for (int offset = 16; offset > 0; offset >>= 1)
        value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, offset));
    return value;
}

// Sum and maximum over a block whose number of threads is a multiple of 32; every thread gets them.
// The order of the additions is fixed, so a run can be repeated bit by bit.
__device__ __forceinline__ float block_sum(float value) {
    __shared__ float parts[32];
    value = warp_sum(value);
    __syncthreads();
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    value = threadIdx.x % 32 < blockDim.x / 32 ? parts[threadIdx.x % 32] : 0.0f;
    return warp_sum(value);
}
__device__ __forceinline__ float block_max(float value) {
    __shared__ float parts[32];
    value = warp_max(value);
    __syncthreads();
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    value = parts[threadIdx.x % 32 < blockDim.x / 32 ? threadIdx.x % 32 : 0];
    return warp_max(value);
}

// Where element i of a tensor lies in memory: (n, c, pixel) in C order or with the channels last.
__device__ __forceinline__ int place(int n, int c, int pixel, int channels, int pixels,
                                     int channels_last) {
    return channels_last ? (n * pixels + pixel) * channels + c : (n * channels + c) * pixels + pixel;
}
