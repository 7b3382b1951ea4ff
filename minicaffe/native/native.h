// What all C sources share: exported functions, vectors, loops on all threads.
//
// The sources are compiled once for each instruction set (see build.py). A function that Python
// calls is declared with EXPORT, returns nothing, and takes pointers, int64_t, int, float and
// double only; build.py reads these declarations, so Python needs no second list of them.

#ifndef MINICAFFE_NATIVE_H
#define MINICAFFE_NATIVE_H

#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define ALWAYS_INLINE static inline __attribute__((always_inline))

// An argument in a record of a call; build.py writes functions that call with such arguments.
typedef union {
    const void *p;
    int64_t n;
    int i;
    float f;
    double d;
} Slot;

// LANES floats in a vector register, which is also the block of channels in oneDNN's layouts.
#ifdef __AVX512F__
#define LANES 16
#else
#define LANES 8
#endif

// Without alignment: arithmetic operators work on all lanes.
typedef float vec __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

static inline vec load(const float *from) { return *(const vec *)from; }

static inline void store(float *to, vec values) { *(vec *)to = values; }

// Store past the caches: reading the line before writing it would take as long again, and values
// that do not fit in the cache would only displace others. `to` is aligned to a vector. A thread
// calls end_stream before others read the values.
static inline void stream(float *to, vec values)
{
#ifdef __AVX512F__
    _mm512_stream_ps(to, (__m512)values);
#else
    _mm256_stream_ps(to, (__m256)values);
#endif
}

static inline void end_stream(void) { _mm_sfence(); }

static inline vec fill(float value) { return value - (vec){0}; }

// ReLU: NaN stays NaN, because a comparison with it is false, and -infinity becomes NaN, as 0 times it
// in the formula of the op.
static inline vec rectify(vec value)
{
    const ivec is_negative = value < 0;
    const vec cut = value * 0 + 0; // + 0, so that it is not -0
    return (vec)(((ivec)cut & is_negative) | ((ivec)value & ~is_negative));
}

static inline float rectify_one(float value) { return value < 0 ? value * 0 + 0 : value; }

#define STRINGIFY(text) #text
// Run the following for loop on `threads` threads, in as many consecutive parts.
#define PARALLEL_FOR(threads) \
    _Pragma(STRINGIFY(omp parallel for schedule(static) num_threads(threads) if ((threads) > 1)))

#endif
