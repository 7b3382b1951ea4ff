"""Operations: the interface between layers and backends. They define what is computed, not how.

`backend` contains the protocols that every backend implements. Each other file contains the
contract of one family of ops: a frozen dataclass with plain numbers (Caffe's defaults and
alternative fields are resolved by the layer) and the protocol of the kernel that a backend plans.

Values that are not finite
--------------------------
NaN in, NaN out: every value that depends on a NaN is NaN, and infinity follows the formula in IEEE
arithmetic, with fused kernels too. This is what the loops of Caffe's CPU code compute, except in
max pooling, Eltwise MAX, Clip and HingeLoss, whose comparisons drop NaN there. In particular:

* A ReLU is max(x, 0) + slope * min(x, 0), so it maps -infinity to NaN if the slope is 0; so does a
  PReLU, whose slope makes all values of its channel NaN if it is not finite.
* A maximum (pooling, Eltwise) with NaN is NaN; which of several NaN gets the gradient is undefined.
* A row of a softmax with NaN or +infinity is NaN.
* A value that no result depends on has no effect: ignored labels, `Power` with power * scale 0.
* A gradient that is chosen by a comparison (ReLU, Abs, Clip) is finite at NaN, as in Caffe. One
  that was not chosen is 0 whatever dy is, in a maximum always, in a ReLU if BatchNorm fuses it.
* Convolutions may skip the products with padding, which are NaN if a filter is not finite; and
  those of Winograd's algorithm may be NaN at all pixels of a tile with one NaN.

Tensors without values
----------------------
An axis may have size 0. An op on such tensors computes what its formula gives: empty outputs, sums
of 0 (a bias remains), parameter gradients and running statistics that do not change. A loss of no
samples is 0. The reference kernels compute these ops for all backends.
"""
