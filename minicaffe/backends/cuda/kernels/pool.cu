// Pooling over 2-D windows (minicaffe/ops/pool.py), in C order or with the channels last.
//
// CHOICE is the type of the index of the selected pixel: byte, or int for windows of more than 256
// pixels.
//
// VARIANTS CHOICE: byte int
//
// Memory-bound: forward reads x once (overlapping windows hit the caches) and writes y and an index
// for each window; backward reads those and writes dx once. Each thread computes one output value, so
// that writes are coalesced (with the channels last also reads) and no atomics are needed.

typedef unsigned char byte;

#define WINDOWS int height, int width, int kernel_h, int kernel_w, int stride_h, int stride_w, \
                int pad_h, int pad_w
#define DIMENSIONS DIVISOR(channels), DIVISOR(rows), DIVISOR(columns), int last

// The part of a window inside the image, and the offsets of its pixels in x.
struct Window { int top, left, begin_row, end_row, begin_column, end_column, base, step; };
__device__ __forceinline__ Window window(Coordinates at, int channels, int last, WINDOWS) {
    Window w;
    w.top = at.row * stride_h - pad_h;
    w.left = at.column * stride_w - pad_w;
    w.begin_row = max(w.top, 0);
    w.begin_column = max(w.left, 0);
    w.end_row = min(w.top + kernel_h, height);
    w.end_column = min(w.left + kernel_w, width);
    int area = height * width;
    w.base = last ? at.n * area * channels + at.c : (at.n * channels + at.c) * area;
    w.step = last ? channels : 1;
    return w;
}
#define WINDOW window(at, channels_by, last, height, width, kernel_h, kernel_w, stride_h, \
                      stride_w, pad_h, pad_w)
#define FOR_EACH_PIXEL(r, q) \
    for (int r = w.begin_row; r < w.end_row; r++) \
        for (int q = w.begin_column; q < w.end_column; q++)
#define VALUE_AT(r, q) load(x, w.base + ((r) * width + (q)) * w.step)
#define TAP(r, q) (((r) - w.top) * kernel_w + (q) - w.left)

// `at` is a value of y. choice_last: whether `choice` has the channels last, independently of x.
#define CHOICE_AT(at, i) choice[choice_last == last ? (int)(i) : \
    offset_of((at).n, (at).c, (at).row * (int)columns_by + (at).column, channels_by, \
          rows_by * columns_by, choice_last)]

// mask, if given, is overwritten with the index of the maximum in its plane.
extern "C" __global__ void forward_max(const VALUE* __restrict__ x, VALUE* __restrict__ y,
                                       CHOICE* __restrict__ choice, float* __restrict__ mask, int n,
                                       DIMENSIONS, WINDOWS, int choice_last) {
    FOR_EACH(i, n) {
        Coordinates at = coordinates_of(i, divisor(channels), divisor(rows), divisor(columns), last);
        Window w = WINDOW;
        float largest = -INFINITE;
        int best_row = w.begin_row, best_column = w.begin_column;
        FOR_EACH_PIXEL(r, q) {
            float value = VALUE_AT(r, q);
            // NaN propagates, so that divergence is detected.
            if (value > largest || value != value) {
                largest = value;
                best_row = r;
                best_column = q;
            }
        }
        store(y, i, largest);
        CHOICE_AT(at, i) = (CHOICE)TAP(best_row, best_column);
        if (mask) mask[i] = (float)(best_row * width + best_column);
    }
}

__device__ __forceinline__ float area_of(int top, int left, WINDOWS) {
    return (float)((min(top + kernel_h, height + pad_h) - top) *
                   (min(left + kernel_w, width + pad_w) - left));
}

extern "C" __global__ void forward_ave(const VALUE* __restrict__ x, VALUE* __restrict__ y, int n,
                                       DIMENSIONS, WINDOWS) {
    FOR_EACH(i, n) {
        Coordinates at = coordinates_of(i, divisor(channels), divisor(rows), divisor(columns), last);
        Window w = WINDOW;
        float sum = 0;
        FOR_EACH_PIXEL(r, q) sum += VALUE_AT(r, q);
        store(y, i, sum / area_of(w.top, w.left, height, width, kernel_h, kernel_w, stride_h,
                                  stride_w, pad_h, pad_w));
    }
}

// Selects the first pixel at which the running sum reaches a random fraction of the total.
extern "C" __global__ void forward_stochastic(const VALUE* __restrict__ x, VALUE* __restrict__ y,
                                              CHOICE* __restrict__ choice,
                                              const unsigned int* __restrict__ stream, int n,
                                              DIMENSIONS, WINDOWS, int choice_last) {
    FOR_EACH(i, n) {
        Coordinates at = coordinates_of(i, divisor(channels), divisor(rows), divisor(columns), last);
        Window w = WINDOW;
        float total = 0;
        FOR_EACH_PIXEL(r, q) total += VALUE_AT(r, q);
        // Indexed in C order, so that the memory order does not change the random numbers.
        int area = rows_by * columns_by;
        int index = offset_of(at.n, at.c, at.row * columns_by + at.column, channels_by, area, 0);
        Words words = random_words(stream, index_in_batch(stream, index, n));
        float threshold = total * ((float)(words.word[0] >> 8) * 0x1p-24f);
        float running = 0, taken = 0;
        int tap = 0, waits = 1;
        FOR_EACH_PIXEL(r, q) {
            float value = VALUE_AT(r, q);
            running += value;
            if (waits && running >= threshold && value > 0) {
                taken = value;
                tap = TAP(r, q);
                waits = 0;
            }
        }
        store(y, i, taken);
        CHOICE_AT(at, i) = (CHOICE)tap;
    }
}

extern "C" __global__ void forward_weighted(const VALUE* __restrict__ x, VALUE* __restrict__ y,
                                            int n, DIMENSIONS, WINDOWS) {
    FOR_EACH(i, n) {
        Coordinates at = coordinates_of(i, divisor(channels), divisor(rows), divisor(columns), last);
        Window w = WINDOW;
        float sum = 0, squares = 0;
        FOR_EACH_PIXEL(r, q) {
            float value = VALUE_AT(r, q);
            sum += value;
            squares += value * value;
        }
        store(y, i, squares / (sum > 0 ? sum : 1.0f));
    }
}

// Backward: `at` is a value of dx; the loop visits the windows that contain it.
#define OUT int out_h, int out_w, DIVISOR(down), DIVISOR(right)
#define BEGIN(position, kernel, stride) \
    (int)quotient(max((position) - (kernel) + (int)(stride).by, 0), stride)
#define END(position, stride, out) min((int)quotient(position, stride) + 1, out)
#define FOR_EACH_WINDOW(r, q) \
    for (int r = BEGIN(at.row + pad_h, kernel_h, divisor(down)), \
             end_r = END(at.row + pad_h, divisor(down), out_h); r < end_r; r++) \
        for (int q = BEGIN(at.column + pad_w, kernel_w, divisor(right)), \
                 end_q = END(at.column + pad_w, divisor(right), out_w); q < end_q; q++)

extern "C" __global__ void backward_chosen(const VALUE* __restrict__ dy,
                                           const CHOICE* __restrict__ choice,
                                           VALUE* __restrict__ dx, int n, DIMENSIONS, WINDOWS, OUT,
                                           int choice_last) {
    int area = out_h * out_w;
    FOR_EACH(i, n) {
        Coordinates at = coordinates_of(i, divisor(channels), divisor(rows), divisor(columns), last);
        float sum = 0;
        FOR_EACH_WINDOW(r, q) {
            int tap = (at.row + pad_h - r * stride_h) * kernel_w + at.column + pad_w - q * stride_w;
            int from = offset_of(at.n, at.c, r * out_w + q, channels_by, area, choice_last);
            if (choice[from] == (CHOICE)tap)
                sum += load(dy, offset_of(at.n, at.c, r * out_w + q, channels_by, area, last));
        }
        store(dx, i, sum);
    }
}

extern "C" __global__ void backward_ave(const VALUE* __restrict__ dy, VALUE* __restrict__ dx, int n,
                                        DIMENSIONS, WINDOWS, OUT) {
    FOR_EACH(i, n) {
        Coordinates at = coordinates_of(i, divisor(channels), divisor(rows), divisor(columns), last);
        float sum = 0;
        FOR_EACH_WINDOW(r, q) {
            float given =
                load(dy, offset_of(at.n, at.c, r * out_w + q, channels_by, out_h * out_w, last));
            sum += given / area_of(r * stride_h - pad_h, q * stride_w - pad_w, height, width,
                                   kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w);
        }
        store(dx, i, sum);
    }
}
