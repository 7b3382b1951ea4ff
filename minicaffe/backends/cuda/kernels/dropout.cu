// Dropout (minicaffe/ops/dropout.py). Nothing is kept: backward draws the same numbers again.
// Bound by reading x and writing y once; drawing costs about 25 instructions a value.

// Value i is kept if word i % 4 of draw i / 4 is not below the threshold. y may be x.
extern "C" __global__ void dropout(const VALUE* x, VALUE* y, const unsigned int* __restrict__ stream,
                                   int n, int threshold, float scale) {
    FOR_EACH_PACK(i, n) {
        Pack pack = load_pack(x, i, n);
        Words words;
        FOR_EACH_IN_PACK(k) {
            if (k % 4 == 0) words = random_words(stream, (i + k) / 4);
            bool is_kept = words.word[k % 4] >= (unsigned int)threshold;
            pack.at[k] = is_kept ? pack.at[k] * scale : 0.0f;
        }
        store_pack(y, i, n, pack);
    }
}
