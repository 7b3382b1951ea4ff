// What a CUDA kernel finds when g++ compiles it: CUDA's words, meaning the same on one CPU thread.
//
// Only what NVRTC offers without any header is here, so that a kernel which compiles here by luck
// is rare. cuda_on_cpu.cpp runs the threads of a block; see there for what happens at a barrier.
#pragma once

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
struct int2 { int x, y; };
struct alignas(8) float2 { float x, y; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline int2 make_int2(int x, int y) { return {x, y}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace cuda_on_cpu {

// The runtime's part. `line` identifies a barrier.
extern unsigned char dynamic_shared[];
void meet_block(int line);
void meet_warp(unsigned mask, unsigned long long value, int line);
unsigned met_lanes();
unsigned long long met_value(int lane);
int own_lane();
[[noreturn]] void fail(const char* what, int line);

template <class T> unsigned long long to_bits(T value) {
    static_assert(sizeof(T) <= 8, "warps exchange values of up to 8 bytes");
    unsigned long long bits = 0;
    memcpy(&bits, &value, sizeof value);
    return bits;
}

// Exchange among the segments of `width` lanes; `source` is a lane, or outside the own segment.
template <class T> T exchange(int line, unsigned mask, T value, int source, int width) {
    const int first = own_lane() / width * width;
    if (source < first || source >= first + width) source = own_lane();
    meet_warp(mask, to_bits(value), line);
    const unsigned long long bits = met_value(source);
    T result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

template <class T> T shfl(int line, unsigned mask, T value, int source, int width = warpSize) {
    const int first = own_lane() / width * width;
    return exchange(line, mask, value, first + (source & (width - 1)), width);
}

template <class T>
T shfl_up(int line, unsigned mask, T value, unsigned distance, int width = warpSize) {
    return exchange(line, mask, value, own_lane() - int(distance), width);
}

template <class T>
T shfl_down(int line, unsigned mask, T value, unsigned distance, int width = warpSize) {
    return exchange(line, mask, value, own_lane() + int(distance), width);
}

template <class T> T shfl_xor(int line, unsigned mask, T value, int bits, int width = warpSize) {
    return exchange(line, mask, value, own_lane() ^ bits, width);
}

inline unsigned ballot(int line, unsigned mask, int predicate) {
    meet_warp(mask, predicate != 0, line);
    unsigned votes = 0;
    for (int lane = 0; lane < warpSize; lane++)
        if ((met_lanes() >> lane & 1) && met_value(lane)) votes |= 1u << lane;
    return votes;
}

inline bool all(int line, unsigned mask, int predicate) {
    return ballot(line, mask, predicate) == met_lanes();
}

inline void meet_warp_only(int line, unsigned mask = 0xffffffffu) { meet_warp(mask, 0, line); }

template <class To, class From> To reinterpret(From value) {
    static_assert(sizeof(To) == sizeof(From), "the same number of bits");
    To result;
    memcpy(&result, &value, sizeof result);
    return result;
}

// An argument of a launch, which becomes what the kernel's parameter is.
struct Argument {
    const char* place;
    template <class T> operator T() const {
        T value;
        memcpy(&value, place, sizeof value);
        return value;
    }
};

}  // namespace cuda_on_cpu

// g++ ignores the two attributes; kernels.py finds kernels by them.
#define __global__ __attribute__((cuda_kernel))
#define __launch_bounds__(threads, ...) __attribute__((cuda_launch_bounds(threads)))
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
// One copy serves all blocks, which run one after another; the section is how it is found and
// filled with garbage before each of them.
#define __shared__ static __attribute__((section("cuda_shared")))
extern "C" {
extern char __start_cuda_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_cuda_shared[] __attribute__((weak, visibility("hidden")));
}

#define __syncthreads() cuda_on_cpu::meet_block(__LINE__)
#define __syncwarp(...) cuda_on_cpu::meet_warp_only(__LINE__ __VA_OPT__(,) __VA_ARGS__)
#define __shfl_sync(...) cuda_on_cpu::shfl(__LINE__, __VA_ARGS__)
#define __shfl_up_sync(...) cuda_on_cpu::shfl_up(__LINE__, __VA_ARGS__)
#define __shfl_down_sync(...) cuda_on_cpu::shfl_down(__LINE__, __VA_ARGS__)
#define __shfl_xor_sync(...) cuda_on_cpu::shfl_xor(__LINE__, __VA_ARGS__)
#define __ballot_sync(...) cuda_on_cpu::ballot(__LINE__, __VA_ARGS__)
#define __any_sync(...) (cuda_on_cpu::ballot(__LINE__, __VA_ARGS__) != 0)
#define __all_sync(...) cuda_on_cpu::all(__LINE__, __VA_ARGS__)
#define __trap() cuda_on_cpu::fail("__trap() was called", __LINE__)
inline void __threadfence() {}
inline void __threadfence_block() {}

// Atomics: nothing interrupts a thread between two barriers.
#define CUDA_ON_CPU_ATOMIC(name, T, result)                 \
    inline T name(T* address, T value) {                    \
        const T old = *address;                             \
        *address = result;                                  \
        return old;                                         \
    }
#define CUDA_ON_CPU_ATOMICS(T)                                         \
    CUDA_ON_CPU_ATOMIC(atomicMax, T, old > value ? old : value)        \
    CUDA_ON_CPU_ATOMIC(atomicMin, T, old < value ? old : value)        \
    CUDA_ON_CPU_ATOMIC(atomicAnd, T, old& value)                       \
    CUDA_ON_CPU_ATOMIC(atomicOr, T, old | value)                       \
    CUDA_ON_CPU_ATOMIC(atomicXor, T, old ^ value)                      \
    CUDA_ON_CPU_ATOMIC(atomicAdd, T, old + value)                      \
    CUDA_ON_CPU_ATOMIC(atomicExch, T, value)                           \
    inline T atomicCAS(T* address, T expected, T value) {              \
        const T old = *address;                                        \
        if (old == expected) *address = value;                         \
        return old;                                                    \
    }
CUDA_ON_CPU_ATOMICS(int)
CUDA_ON_CPU_ATOMICS(unsigned)
CUDA_ON_CPU_ATOMICS(unsigned long long)
CUDA_ON_CPU_ATOMIC(atomicAdd, float, old + value)
CUDA_ON_CPU_ATOMIC(atomicAdd, double, old + value)
CUDA_ON_CPU_ATOMIC(atomicExch, float, value)
CUDA_ON_CPU_ATOMIC(atomicSub, int, old - value)
CUDA_ON_CPU_ATOMIC(atomicSub, unsigned, old - value)
#undef CUDA_ON_CPU_ATOMIC
#undef CUDA_ON_CPU_ATOMICS

// min and max: CUDA's overloads and no others, so that what is ambiguous there is so here.
#define CUDA_ON_CPU_MIN_MAX(A, B, T)                                            \
    inline T min(A a, B b) { const T x = a, y = b; return x < y ? x : y; }      \
    inline T max(A a, B b) { const T x = a, y = b; return x > y ? x : y; }
CUDA_ON_CPU_MIN_MAX(int, int, int)
CUDA_ON_CPU_MIN_MAX(unsigned, unsigned, unsigned)
CUDA_ON_CPU_MIN_MAX(int, unsigned, unsigned)
CUDA_ON_CPU_MIN_MAX(unsigned, int, unsigned)
CUDA_ON_CPU_MIN_MAX(long, long, long)
CUDA_ON_CPU_MIN_MAX(long long, long long, long long)
CUDA_ON_CPU_MIN_MAX(unsigned long, unsigned long, unsigned long)
CUDA_ON_CPU_MIN_MAX(unsigned long long, unsigned long long, unsigned long long)
#undef CUDA_ON_CPU_MIN_MAX
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
inline double min(float a, double b) { return fmin(a, b); }
inline double max(float a, double b) { return fmax(a, b); }
inline double min(double a, float b) { return fmin(a, b); }
inline double max(double a, float b) { return fmax(a, b); }

// Functions that C's library lacks, and the fast ones, which are exact here.
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __log10f(float x) { return log10f(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __tanf(float x) { return tanf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __saturatef(float x) { return fminf(fmaxf(x, 0.0f), 1.0f); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return 1.0f / sqrtf(x); }
inline int __float2int_rn(float x) { return int(rintf(x)); }
inline int __float2int_rz(float x) { return int(x); }
inline int __float2int_rd(float x) { return int(floorf(x)); }
inline int __float2int_ru(float x) { return int(ceilf(x)); }
inline float __int2float_rn(int x) { return float(x); }
inline float __uint2float_rn(unsigned x) { return float(x); }
inline int __float_as_int(float x) { return cuda_on_cpu::reinterpret<int>(x); }
inline unsigned __float_as_uint(float x) { return cuda_on_cpu::reinterpret<unsigned>(x); }
inline float __int_as_float(int x) { return cuda_on_cpu::reinterpret<float>(x); }
inline float __uint_as_float(unsigned x) { return cuda_on_cpu::reinterpret<float>(x); }
inline int __mulhi(int x, int y) { return int((long long)(x)*y >> 32); }
inline unsigned __umulhi(unsigned x, unsigned y) { return (unsigned long long)(x)*y >> 32; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
template <class T> T __ldg(const T* address) { return *address; }
