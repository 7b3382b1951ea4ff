"""Data loading: databases, records, image decoding, transformation, batches, prefetching.

`db` opens databases, `datum` parses their records, `image` decodes images as OpenCV does,
`records` reads samples in a deterministic order, `transformer` applies ``transform_param``,
`batches` makes batches of both, and `prefetch` does it ahead of time in a thread.
"""
