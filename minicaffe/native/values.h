// Values in memory that are float32 or bfloat16; all arithmetic is that of float32.
//
// Only the library for AVX-512 with bfloat16 has code for bfloat16. Its values are the upper halves of
// float32 values; a sum or product is rounded to the nearest, and NaN stays NaN.

#ifndef MINICAFFE_VALUES_H
#define MINICAFFE_VALUES_H

#include "native.h"

// `ValueType` of precision.py. Values to be rounded are float32 that are read with the precision of
// bfloat16, as those of a convolution with bfloat16 operands.
enum { FLOAT32, ROUNDED_TO_BFLOAT16, BFLOAT16 };

#ifdef __AVX512BF16__
#define HAS_BFLOAT16 1
#else
#define HAS_BFLOAT16 0
#endif

// The address of a value.
ALWAYS_INLINE const void *value_at(const void *values, int64_t offset, int type)
{
    return (const char *)values + offset * (type == BFLOAT16 ? 2 : 4);
}

ALWAYS_INLINE void *value_to_write(void *values, int64_t offset, int type)
{
    return (char *)values + offset * (type == BFLOAT16 ? 2 : 4);
}

ALWAYS_INLINE vec load_values(const void *from, int type)
{
#if HAS_BFLOAT16
    if (type != FLOAT32) {
        const __m256i halves = type == BFLOAT16
            ? _mm256_loadu_si256((const __m256i *)from)
            : (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from));
        return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
    }
#endif
    (void)type;
    return load(from);
}

// `streams`: past the cache, which then need not load the memory before it is overwritten.
ALWAYS_INLINE void store_values(void *to, vec values, int type, int streams)
{
#if HAS_BFLOAT16
    if (type == BFLOAT16) {
        const __m256i halves = (__m256i)_mm512_cvtneps_pbh((__m512)values);
        if (streams)
            _mm256_stream_si256((__m256i *)to, halves);
        else
            _mm256_storeu_si256((__m256i *)to, halves);
        return;
    }
#endif
    (void)type;
    if (streams)
        stream(to, values);
    else
        store(to, values);
}

#endif
