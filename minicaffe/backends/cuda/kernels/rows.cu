// Row lookup: Embed and BatchReindex (minicaffe/ops/embed.py, rows.py). A row is `length` contiguous
// values. Forward is bound by writing y once. Backward sums the gradients of each row in a fixed
// order: the row numbers are sorted, so that equal numbers are adjacent.

// y[i] = table[numbers[i]] + terms, which may be null. For an invalid number, an error is stored and
// its row of y is NaN.
template <class T>
__device__ __forceinline__ void look_up(const float* numbers, const T* table, const float* terms,
                                        VALUE* y, int* label_error, int n, int n_rows,
                                        int per_item, Divisor length) {
    FOR_EACH(i, n) {
        unsigned int at = quotient(i, length), k = i - at * length.by;
        int row = class_of(numbers[at], n_rows, at / per_item, label_error);
        float value = row < 0 ? NOT_A_NUMBER : load(table, row * length.by + k);
        store(y, i, terms ? value + terms[k] : value);
    }
}

#define NUMBERS int n, int n_rows, int per_item, DIVISOR(length)

extern "C" __global__ void embed(const float* __restrict__ numbers, const float* __restrict__ w,
                                 const float* __restrict__ terms, VALUE* __restrict__ y,
                                 int* label_error, NUMBERS) {
    look_up(numbers, w, terms, y, label_error, n, n_rows, per_item, divisor(length));
}

extern "C" __global__ void take(const float* __restrict__ numbers, const VALUE* __restrict__ x,
                                VALUE* __restrict__ y, int* label_error, NUMBERS) {
    look_up(numbers, x, (const float*)0, y, label_error, n, n_rows, per_item, divisor(length));
}

// sorted: the numbers in ascending order, -1 for invalid ones; positions: their original positions
// (a stable sort). Each thread counts the numbers that precede its own.
extern "C" __global__ void sort(const float* __restrict__ numbers, int* __restrict__ sorted,
                                int* __restrict__ positions, int n, int n_rows) {
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
    positions[rank] = i;
}

// Blocks of THREADS threads: one for each position in the sorted numbers and each
// `columns_per_block` columns. The block of the first position of a number sums over all its
// occurrences, THREADS / columns_per_block in parallel; the first `columns_per_block` threads get the
// sums, the others a row of -1.
struct Sum { int row, column; float value; };
__device__ __forceinline__ Sum sum_of_row(const VALUE* dy, const int* sorted, const int* positions,
                                          int n, int length, int columns_per_block) {
    __shared__ float parts[THREADS];
    int across = (length + columns_per_block - 1) / columns_per_block;
    int position = blockIdx.x / across, row = sorted[position];
    int column = blockIdx.x % across * columns_per_block + threadIdx.x % columns_per_block;
    if (row < 0 || (position > 0 && sorted[position - 1] == row)) return Sum{-1, 0, 0.0f};
    float sum = 0;
    if (column < length)
        for (int p = position + threadIdx.x / columns_per_block; p < n && sorted[p] == row;
             p += THREADS / columns_per_block)
            sum += load(dy, positions[p] * length + column);
    parts[threadIdx.x] = sum;
    BLOCK_REDUCE(half, columns_per_block) parts[threadIdx.x] += parts[threadIdx.x + half];
    bool has_sum = threadIdx.x < columns_per_block && column < length;
    return Sum{has_sum ? row : -1, column, parts[threadIdx.x]};
}

#define SUMS \
    const VALUE *__restrict__ dy, const int *__restrict__ sorted, const int *__restrict__ positions, \
        int n, int length, int columns_per_block

// dw += sums; inverse: address of 1 / loss scale of dy, or null.
extern "C" __global__ void add_rows(SUMS, float* dw, const float* inverse) {
    Sum sum = sum_of_row(dy, sorted, positions, n, length, columns_per_block);
    if (sum.row < 0) return;
    dw[sum.row * length + sum.column] += sum.value * (inverse ? *inverse : 1.0f);
}

// dx = sums, in the rows that forward read.
extern "C" __global__ void put_rows(SUMS, VALUE* __restrict__ dx) {
    Sum sum = sum_of_row(dy, sorted, positions, n, length, columns_per_block);
    if (sum.row >= 0) store(dx, sum.row * length + sum.column, sum.value);
}
