"""The vocabulary between layers and backends: what must be computed, never how.

`backend` holds the protocols that every backend fulfils. Each other file holds the contracts of one
family: a frozen op with plain numbers (all of Caffe's defaults and either/or fields are resolved by
then) and the protocol of the kernel that a backend plans for it.
"""
