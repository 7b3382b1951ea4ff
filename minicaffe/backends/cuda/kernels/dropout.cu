// Dropout (minicaffe/ops/dropout.py). The mask is not stored: backward generates it again.
// Bound by reading x and writing y once; the generator takes about 25 instructions per value.

// A value is kept if its word (words_of_values) is at least the threshold. y may be x.
extern "C" __global__ void dropout(const VALUE* x, VALUE* y, const unsigned int* __restrict__ stream,
                                   int n, int threshold, float scale) {
    FOR_EACH_PACK(i, n) {
        Pack pack = load_pack(x, i, n);
        Words words;
        FOR_EACH_IN_PACK(k) {
            if (k % 4 == 0) words = words_of_values(stream, i + k, n);
            bool is_kept = words.word[k % 4] >= (unsigned int)threshold;
            pack.at[k] = is_kept ? pack.at[k] * scale : 0.0f;
        }
        store_pack(y, i, n, pack);
    }
}
