"""Memory of nets: what passes need, blobs that share it, values that are computed again."""
