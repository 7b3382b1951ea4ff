"""Operations: the interface between layers and backends. They define what is computed, not how.

`backend` contains the protocols that every backend implements. Each other file contains the
contract of one family of ops: a frozen dataclass with plain numbers (Caffe's defaults and
alternative fields are resolved by the layer) and the protocol of the kernel that a backend plans.
"""
