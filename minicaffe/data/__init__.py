"""From files to batches: databases, records, pictures, transformation, prefetching.

`db` opens databases, `datum` turns records into arrays, `image` reads pictures as OpenCV does,
`transformer` applies ``transform_param``, `batches` puts them together and `prefetch` does all of
it in the background.
"""
