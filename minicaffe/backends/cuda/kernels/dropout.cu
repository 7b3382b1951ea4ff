// Dropout (minicaffe/ops/dropout.py). Nothing is kept: backward draws the same numbers again.
// Bound by reading x and writing y once; drawing costs about 25 instructions a value.
//
// Each thread draws four words, for the values i, i + quarter, i + 2 quarter, i + 3 quarter: threads
// side by side then read side by side. y may be x.
extern "C" __global__ void dropout(const VALUE* x, VALUE* y, const unsigned int* __restrict__ stream,
                                   int n, int threshold, float scale) {
    int quarter = n / 4 + (n % 4 != 0);
    FOR_EACH(i, quarter) {
        Words words = random_words(stream, i);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            unsigned int j = i + k * (unsigned int)quarter;
            if (j < (unsigned int)n)
                store(y, j, words.word[k] >= (unsigned int)threshold ? load(x, j) * scale : 0.0f);
        }
    }
}
