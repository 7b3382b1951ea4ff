// Rows by their numbers: Embed and BatchReindex (minicaffe/ops/embed.py, rows.py). A row is `length`
// values that lie together. Forward is bound by writing y once. Backward adds up what was taken from
// one row in a fixed order: the numbers are sorted, so that what belongs to a row stands together.

// y[i] = table[numbers[i]] + terms, which may be null. A number that is none of a row is noted, and
// its row of y is NaN.
template <class T>
__device__ __forceinline__ void look_up(const float* numbers, const T* table, const float* terms,
                                        VALUE* y, int* label_error, int n, int n_rows, int per_item,
                                        Divisor length) {
    FOR_EACH(i, n) {
        unsigned int at = quotient(i, length), k = i - at * length.by;
        int row = class_of(numbers[at], n_rows, at / per_item, label_error);
        float value = row < 0 ? NOT_A_NUMBER : load(table, row * length.by + k);
        store(y, i, terms ? value + terms[k] : value);
    }
}

#define NUMBERS int n, int n_rows, int per_item, DIVISOR(length)

extern "C" __global__ void embed(const float* __restrict__ numbers, const float* __restrict__ w,
                                 const float* __restrict__ terms, VALUE* __restrict__ y, int* label_error,
                                 NUMBERS) {
    look_up(numbers, w, terms, y, label_error, n, n_rows, per_item, divisor(length));
}

extern "C" __global__ void take(const float* __restrict__ numbers, const VALUE* __restrict__ x,
                                VALUE* __restrict__ y, int* label_error, NUMBERS) {
    look_up(numbers, x, (const float*)0, y, label_error, n, n_rows, per_item, divisor(length));
}

// sorted: the numbers in ascending order, -1 for those that are none of a row; places: where they
// stood, in order where numbers are equal. Each thread counts those that come before its own.
extern "C" __global__ void sort(const float* __restrict__ numbers, int* __restrict__ sorted,
                                int* __restrict__ places, int n, int n_rows) {
    __shared__ int others[THREADS];
    int i = blockIdx.x * THREADS + threadIdx.x, rank = 0;
    int own = i < n ? whole_below(n_rows, numbers[i]) : 0;
    for (int first = 0; first < n; first += THREADS) {
        __syncthreads();
        int j = first + threadIdx.x;
        others[threadIdx.x] = j < n ? whole_below(n_rows, numbers[j]) : n_rows;
        __syncthreads();
        for (int k = 0; k < THREADS; k++)
            rank += others[k] < own || (others[k] == own && first + k < i);
    }
    if (i >= n) return;
    sorted[rank] = own;
    places[rank] = i;
}

// Blocks of THREADS threads: one for every place in the sorted numbers and every `lanes` columns.
// The first place of each number sums for all of them, THREADS / lanes at once; the first `lanes`
// threads get the sums, and the others a row of -1.
struct Sum { int row, column; float value; };
__device__ __forceinline__ Sum sum_of_row(const VALUE* dy, const int* sorted, const int* places,
                                          int n, int length, int lanes) {
    __shared__ float parts[THREADS];
    int across = (length + lanes - 1) / lanes;
    int place = blockIdx.x / across, row = sorted[place];
    int column = blockIdx.x % across * lanes + threadIdx.x % lanes;
    if (row < 0 || (place > 0 && sorted[place - 1] == row)) return Sum{-1, 0, 0.0f};
    float sum = 0;
    if (column < length)
        for (int p = place + threadIdx.x / lanes; p < n && sorted[p] == row; p += THREADS / lanes)
            sum += load(dy, places[p] * length + column);
    parts[threadIdx.x] = sum;
    FOLD(half, lanes) parts[threadIdx.x] += parts[threadIdx.x + half];
    bool has_sum = threadIdx.x < lanes && column < length;
    return Sum{has_sum ? row : -1, column, parts[threadIdx.x]};
}

#define SUMS \
    const VALUE *__restrict__ dy, const int *__restrict__ sorted, const int *__restrict__ places, \
        int n, int length, int lanes

// dw += sums; inverse: of the scale of dy, or null.
extern "C" __global__ void add_rows(SUMS, float* dw, const float* inverse) {
    Sum sum = sum_of_row(dy, sorted, places, n, length, lanes);
    if (sum.row < 0) return;
    dw[sum.row * length + sum.column] += sum.value * (inverse ? *inverse : 1.0f);
}

// dx = sums, in the rows that were taken.
extern "C" __global__ void put_rows(SUMS, VALUE* __restrict__ dx) {
    Sum sum = sum_of_row(dy, sorted, places, n, length, lanes);
    if (sum.row >= 0) store(dx, sum.row * length + sum.column, sum.value);
}
