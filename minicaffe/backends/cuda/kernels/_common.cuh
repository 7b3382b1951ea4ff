// Shared by all kernels: types of values, grid-stride loops, reductions over a block.
//
// VALUE is the type of activations in memory: float, bfloat16 or float16. Arithmetic is in float.
// No headers are included, because the run-time compiler (NVRTC) has none.

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
    // To nearest, ties to even; NaN stays NaN.
    unsigned int rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    y[i].bits = (unsigned short)(value != value ? (bits >> 16) | 0x40u : rounded);
}
__device__ __forceinline__ void store(float16* y, int i, float value) {
    y[i].bits = float_to_half(value);
}

// Grid-stride loop over 0 .. n - 1 for any grid; n < 2^31.
#define FOR_EACH(i, n) \
    for (unsigned int i = blockIdx.x * blockDim.x + threadIdx.x; i < (unsigned int)(n); \
         i += gridDim.x * blockDim.x)

// Maximum number of threads of a block.
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

// Sum and maximum over a block whose number of threads is a multiple of 32; every thread gets the
// result. The order of the additions is fixed, so runs are bitwise reproducible.
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

// Offset in memory of element (n, c, pixel), in C order or with the channels last.
__device__ __forceinline__ int offset_of(int n, int c, int pixel, int channels, int pixels,
                                     int channels_last) {
    return channels_last ? (n * pixels + pixel) * channels + c : (n * channels + c) * pixels + pixel;
}

#define INFINITE bits_to_float(0x7f800000u)

// 1 / (1 + exp(-x)), computed without overflow.
// ReLU as Caffe's loops compute it, max(x, 0) + 0 * min(x, 0): NaN for NaN and for -infinity.
__device__ __forceinline__ float rectified(float x) { return x > 0 ? x : 0.0f * x + 0.0f; }

__device__ __forceinline__ float sigmoid_of(float x) { return 0.5f * tanhf(0.5f * x) + 0.5f; }

// Division of numbers below 2^31 by an invariant integer, as a multiplication: integer division takes
// about twenty instructions on a GPU. _divisor.py computes the magic numbers (Granlund and
// Montgomery, "Division by invariant integers using multiplication", 1994, figure 4.1).
struct Divisor { unsigned int by, factor, shift; };
#define DIVISOR(name) int name##_by, int name##_factor, int name##_shift
#define divisor(name) \
    Divisor{(unsigned int)name##_by, (unsigned int)name##_factor, (unsigned int)name##_shift}

__device__ __forceinline__ unsigned int quotient(unsigned int n, Divisor d) {
    return (__umulhi(n, d.factor) + n) >> d.shift;
}

// Coordinates of the value at offset i of a tensor (N, C, H, W), in C order or channels last.
struct Coordinates { int n, c, row, column; };
__device__ __forceinline__ Coordinates coordinates_of(unsigned int i, Divisor channels, Divisor rows,
                                     Divisor columns, int channels_last) {
    unsigned int c = 0, rest = i;
    if (channels_last) {
        rest = quotient(i, channels);
        c = i - rest * channels.by;
    }
    unsigned int line = quotient(rest, columns), column = rest - line * columns.by;
    unsigned int plane = quotient(line, rows), row = line - plane * rows.by;
    unsigned int n = plane;
    if (!channels_last) {
        n = quotient(plane, channels);
        c = plane - n * channels.by;
    }
    return Coordinates{(int)n, (int)c, (int)row, (int)column};
}

// Four words of 32 random bits, a function of `stream` (two words of a key, two of a step) and
// `index` alone: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
// 2011).
struct Words { unsigned int word[4]; };
__device__ __forceinline__ Words random_words(const unsigned int* stream, unsigned long long index) {
    unsigned int key_0 = stream[0], key_1 = stream[1];
    unsigned int a = (unsigned int)index, b = (unsigned int)(index >> 32);
    unsigned int c = stream[2], d = stream[3];
    for (int round = 0; round < 10; round++) {
        unsigned int high_a = __umulhi(0xd2511f53u, a), low_a = 0xd2511f53u * a;
        unsigned int high_c = __umulhi(0xcd9e8d57u, c), low_c = 0xcd9e8d57u * c;
        a = high_c ^ b ^ key_0;
        b = low_c;
        c = high_a ^ d ^ key_1;
        d = low_a;
        key_0 += 0x9e3779b9u;
        key_1 += 0xbb67ae85u;
    }
    return Words{{a, b, c, d}};
}
// The index in the whole batch of value i of a part of it that has n values; the fifth word of
// `stream` is the part.
__device__ __forceinline__ unsigned long long index_in_batch(const unsigned int* stream, int i, int n) {
    return (unsigned long long)stream[4] * (unsigned int)n + (unsigned int)i;
}
// A word for each of the values i to i + 3 of a part: in the batch, value v has word v % 4 of
// random_words(v / 4).
__device__ __forceinline__ Words words_of_values(const unsigned int* stream, int i, int n) {
    unsigned long long first = index_in_batch(stream, i, n);
    int shift = (int)(first % 4);
    Words words = random_words(stream, first / 4);
    if (shift == 0) return words;
    Words next = random_words(stream, first / 4 + 1);
    Words shifted;
    for (int k = 0; k < 4; k++)
        shifted.word[k] = k + shift < 4 ? words.word[(k + shift) % 4] : next.word[(k + shift) % 4];
    return shifted;
}

// Loss scale of float16 gradients. next: for gradients converted to float16 from now on; inverse: of
// the scale of the present ones; n_good: finite updates in a row. See loss_scale.py.
struct LossScale { float next, inverse; int n_good, is_bad; };
// Returns the scale for a kernel that converts gradients to float16, and makes it the present one.
__device__ __forceinline__ float next_scale(LossScale* scale) {
    float next = scale->next;
    if (blockIdx.x + blockIdx.y + blockIdx.z + threadIdx.x + threadIdx.y == 0)
        scale->inverse = 1.0f / next;
    return next;
}

// The integer from 0 to n - 1 that a float holds; -1 for any other value.
__device__ __forceinline__ int whole_below(int n, float number) {
    bool is_one = number >= 0 && number < (float)n && truncf(number) == number;
    return is_one ? (int)number : -1;
}
// The class of a label. An invalid label is stored for the host (label_errors.py) and returns -1.
__device__ __forceinline__ int class_of(float label, int classes, int item, int* label_error) {
    int found = whole_below(classes, label);
    if (found >= 0) return found;
    if (atomicCAS(label_error, 0, 1) == 0) {
        label_error[1] = item;
        label_error[2] = (int)float_to_bits(label);
        label_error[3] = classes;
    }
    return -1;
}
#define NOT_A_NUMBER bits_to_float(0x7fc00000u)

// Sums two numbers over the block; writes one pair for each block.
__device__ __forceinline__ void write_sums(float first, float second, float* block_sums) {
    first = block_sum(first);
    second = block_sum(second);
    if (threadIdx.x == 0) {
        block_sums[2 * blockIdx.x] = first;
        block_sums[2 * blockIdx.x + 1] = second;
    }
}

// Loop over the values of each channel of a tensor (outer, channels, inner), or of several such
// images in sequence, each with channels of its own: blocks of THREADS threads in a grid of
// (channels of all images / channels_per_block, splits). If inner is 1, a block has 32 adjacent
// channels, so that reads are coalesced; also if channels are short, so that all threads have work.
// Otherwise a block has one channel, whose values are distributed over its threads.
#define THREADS 256
// Channels of a block that adds up the partial sums of the splits: 32 threads for each.
#define FINAL_CHANNELS 8
struct ChannelLoop {
    int channel;               // index over all images
    unsigned int first, step;  // the thread's values of the channel: index and stride
    unsigned int begin, line;  // offset of the channel, and stride of its lines
};
__device__ __forceinline__ ChannelLoop channel_loop(int channels_per_block, int channels, int total,
                                                    unsigned int inner) {
    int rows = THREADS / channels_per_block;
    int channel = blockIdx.x * channels_per_block + threadIdx.x % channels_per_block;
    unsigned int image = channel / max(channels, 1), own = channel - image * channels;
    unsigned int first = blockIdx.y * rows + threadIdx.x / channels_per_block;
    return ChannelLoop{channel, first, gridDim.y * rows,
                image * channels * total + own * inner, channels * inner};
}
// Offset of value j of the channel.
__device__ __forceinline__ unsigned int offset_in_channel(ChannelLoop w, unsigned int j,
                                                          Divisor inner) {
    unsigned int outer = quotient(j, inner);
    return w.begin + outer * w.line + (j - outer * inner.by);
}
#define CHANNEL_LOOP \
    int channels_per_block, int channels, int all_channels, int total, DIVISOR(inner)
#define CHANNEL_LOOP_HERE channel_loop(channels_per_block, channels, total, inner_by)

// The channel of value i of a tensor (outer, channels, inner); `next` advances by one value.
#define CHANNEL DIVISOR(inner), DIVISOR(channels)
#define CHANNEL_AT(i) channel_at(i, divisor(inner), divisor(channels))
struct ChannelAt {
    unsigned int pixel, channel, inner, channels;
    __device__ __forceinline__ void next() {
        if (++pixel < inner) return;
        pixel = 0;
        channel = channel + 1 < channels ? channel + 1 : 0;
    }
};
__device__ __forceinline__ ChannelAt channel_at(unsigned int i, Divisor inner, Divisor channels) {
    unsigned int row = quotient(i, inner);
    return ChannelAt{i - row * inner.by, row - quotient(row, channels) * channels.by, inner.by,
                     channels.by};
}

// The same for channels that hold the trailing axes: `image` values each, with a stride of `width`.
#define TRAILING DIVISOR(image), DIVISOR(width)
#define TRAILING_AT(i) trailing_at(i, divisor(image), divisor(width))
__device__ __forceinline__ unsigned int trailing_at(unsigned int i, Divisor image, Divisor width) {
    return quotient(i, image) * width.by + (i - quotient(i, width) * width.by);
}

#ifdef VALUE
// Vectorised access: 16 bytes, the largest load of a thread. With one 16-bit value for each thread,
// too few bytes would be in flight to saturate the memory bandwidth.
#define PACK (16 / (int)sizeof(VALUE))
struct Pack { float at[PACK]; };
#define FOR_EACH_PACK(i, n) \
    for (unsigned int i = PACK * (blockIdx.x * blockDim.x + threadIdx.x); i < (unsigned int)(n); \
         i += PACK * gridDim.x * blockDim.x)
#define FOR_EACH_IN_PACK(k) _Pragma("unroll") for (int k = 0; k < PACK; k++)

__device__ __forceinline__ float unpacked(const float*, unsigned int word, int) {
    return bits_to_float(word);
}
__device__ __forceinline__ float unpacked(const bfloat16*, unsigned int word, int k) {
    return bits_to_float(k % 2 ? word & 0xffff0000u : word << 16);
}
__device__ __forceinline__ float unpacked(const float16*, unsigned int word, int k) {
    return half_to_float((unsigned short)(k % 2 ? word >> 16 : word));
}
// The words of a pack. Two 16-bit values share one; GPUs from sm_80 on convert both at once.
__device__ __forceinline__ void pack_words(const float*, Pack pack, unsigned int* words) {
    FOR_EACH_IN_PACK(k) words[k] = float_to_bits(pack.at[k]);
}
#if !defined(EMULATED) && __CUDA_ARCH__ >= 800
__device__ __forceinline__ unsigned int pair_of(const bfloat16*, float low, float high) {
    unsigned int pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}
__device__ __forceinline__ unsigned int pair_of(const float16*, float low, float high) {
    unsigned int pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}
#else
template <class T> __device__ __forceinline__ unsigned int pair_of(const T*, float low, float high) {
    T pair[2];
    store(pair, 0, low);
    store(pair, 1, high);
    return (unsigned int)pair[0].bits | (unsigned int)pair[1].bits << 16;
}
#endif
template <class T>
__device__ __forceinline__ void pack_words(const T* type, Pack pack, unsigned int* words) {
#pragma unroll
    for (int k = 0; k < PACK; k += 2)
        words[k / 2] = pair_of(type, pack.at[k], pack.at[k + 1]);
}

// Values i to i + PACK - 1, up to n; i is a multiple of PACK, and so is n with FIXED_CHANNELS.
#ifndef FIXED_CHANNELS
#define FIXED_CHANNELS 0
#endif
#define IS_WHOLE_PACK(i, n) (FIXED_CHANNELS || i + PACK <= (unsigned int)(n))
__device__ __forceinline__ Pack load_pack(const VALUE* x, unsigned int i, int n) {
    Pack pack;
    if (IS_WHOLE_PACK(i, n)) {
        uint4 bits = *(const uint4*)(x + i);
        unsigned int words[4] = {bits.x, bits.y, bits.z, bits.w};
        FOR_EACH_IN_PACK(k) pack.at[k] = unpacked(x, words[k * 4 / PACK], k);
    } else {
        FOR_EACH_IN_PACK(k) pack.at[k] = i + k < (unsigned int)n ? load(x, i + k) : 0.0f;
    }
    return pack;
}
__device__ __forceinline__ void store_pack(VALUE* y, unsigned int i, int n, Pack pack) {
    if (IS_WHOLE_PACK(i, n)) {
        unsigned int words[4];
        pack_words(y, pack, words);
        *(uint4*)(y + i) = make_uint4(words[0], words[1], words[2], words[3]);
    } else {
        FOR_EACH_IN_PACK(k) if (i + k < (unsigned int)n) store(y, i + k, pack.at[k]);
    }
}

// What there is for each channel, such as a factor, in a loop over packs of a tensor (outer, channels,
// inner), whose arguments include CHANNEL:
//
//   CHANNELS_OF_THREAD
//   PER_CHANNEL(factor, factors, 1.0f)      1.0f if the pointer is null
//   FOR_EACH_PACK(i, n) {
//       CHANNELS_OF_PACK(i)
//       FOR_EACH_IN_PACK(k) { pack.at[k] *= OF_CHANNEL(factor); NEXT_CHANNEL }
//   }
//
// FIXED_CHANNELS: the channels are last, and a thread has the same PACK of them in each turn of the
// loop, because _channel_packs.py chooses the grid so. Then it reads once, into registers; otherwise
// for each value, which costs more instructions than the values themselves.
#if FIXED_CHANNELS
__device__ __forceinline__ Pack per_channel(const float* given, unsigned int first, float missing) {
    Pack found;
    FOR_EACH_IN_PACK(k) found.at[k] = missing;
    if (!given) return found;
#pragma unroll
    for (int k = 0; k < PACK; k += 4) {
        uint4 bits = *(const uint4*)(given + first + k);
        found.at[k] = bits_to_float(bits.x);
        found.at[k + 1] = bits_to_float(bits.y);
        found.at[k + 2] = bits_to_float(bits.z);
        found.at[k + 3] = bits_to_float(bits.w);
    }
    return found;
}
#define CHANNELS_OF_THREAD \
    const unsigned int first_channel = \
        channel_at(PACK * (blockIdx.x * blockDim.x + threadIdx.x), divisor(inner), divisor(channels)) \
            .channel;
#define PER_CHANNEL(name, given, missing) \
    const Pack name##_of_channel = per_channel(given, first_channel, missing);
#define CHANNELS_OF_PACK(i)
#define OF_CHANNEL(name) name##_of_channel.at[k]
#define NEXT_CHANNEL
#else
#define CHANNELS_OF_THREAD
#define PER_CHANNEL(name, given, missing) \
    const float* const name##_of_channel = given; \
    const float name##_missing = missing;
#define CHANNELS_OF_PACK(i) ChannelAt at = CHANNEL_AT(i);
#define OF_CHANNEL(name) (name##_of_channel ? name##_of_channel[at.channel] : name##_missing)
#define NEXT_CHANNEL at.next();
#endif
#endif

// Tree reduction in shared memory into the first `n_results` threads: the body combines the values of
// threads threadIdx.x and threadIdx.x + half.
#define BLOCK_REDUCE(half, n_results) \
    for (int half = (__syncthreads(), THREADS / 2); half >= (n_results); half /= 2, __syncthreads()) \
        if (threadIdx.x < half)

#ifdef TEAM
// Loop over rows of a tensor (outer, classes, inner): a row is one (outer, inner), its classes have
// a stride of `inner`. TEAM threads cooperate on a row: with inner = 1 (vectors, or channels last) a
// warp, or a block if rows are long; with a large inner one thread, so that reads are coalesced.
#if TEAM == 1
#define TEAM_SUM(value) (value)
#define TEAM_MAX(value) (value)
#elif TEAM == 32
#define TEAM_SUM(value) warp_sum(value)
#define TEAM_MAX(value) warp_max(value)
#else
#define TEAM_SUM(value) block_sum(value)
#define TEAM_MAX(value) block_max(value)
#endif

#define RANK (threadIdx.x % TEAM)
// All threads of a team process the same rows.
#define FOR_EACH_ROW(row, rows) \
    for (unsigned int row = (blockIdx.x * THREADS + threadIdx.x) / TEAM; row < (unsigned int)(rows); \
         row += gridDim.x * (THREADS / TEAM))
#define FOR_EACH_CLASS(k, classes) for (int k = RANK; k < (classes); k += TEAM)
#define ROWS int rows, int classes, int inner
#define FIRST_OF(row) (int)(row / inner * inner * classes + row % inner)
#endif
