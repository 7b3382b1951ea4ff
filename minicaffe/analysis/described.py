"""A layer's settings in a few words, for tables and pictures."""

from __future__ import annotations

from typing import Any

from minicaffe.schema import LayerParameter


def settings_text(layer: LayerParameter) -> str:
    """Return what tells a layer from others of its type: "96 x 11x11 / 4 + 2" for a convolution.

    Windows are written kernel / stride + pad, with what is left at its default left out.
    """
    if layer.type in ("Convolution", "Deconvolution"):
        proto: Any = layer.convolution_param
        group = f", group {proto.group}" if proto.group > 1 else ""
        dilation = ", ".join(map(str, proto.dilation))
        dilated = f", dilation {dilation}" if dilation not in ("", "1") else ""
        return f"{proto.num_output} x {_window(proto)}{group}{dilated}"
    if layer.type == "Pooling":
        proto = layer.pooling_param
        kind = type(proto).PoolMethod.Name(proto.pool)
        return f"{kind} {'global' if proto.global_pooling else _window(proto)}"
    return _one_setting(layer)


def _one_setting(layer: LayerParameter) -> str:
    """Return the one setting that matters for the types that have such a one."""
    kind = layer.type
    if kind == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    if kind == "LRN":
        region = type(layer.lrn_param).NormRegion.Name(layer.lrn_param.norm_region)
        return f"{layer.lrn_param.local_size} {region.lower().replace('_', ' ')}"
    if kind == "Dropout":
        return f"{layer.dropout_param.dropout_ratio:g}"
    if kind == "Eltwise":
        return type(layer.eltwise_param).EltwiseOp.Name(layer.eltwise_param.operation)
    if kind == "Concat":
        return f"axis {layer.concat_param.axis}"
    if kind in ("LSTM", "RNN"):
        return str(layer.recurrent_param.num_output)
    if kind == "Accuracy" and layer.accuracy_param.top_k > 1:
        return f"top {layer.accuracy_param.top_k}"
    return ""


def _window(proto: Any) -> str:
    kernel = _sizes(proto, "kernel_size", "kernel")
    stride, pad = _sizes(proto, "stride", "stride"), _sizes(proto, "pad", "pad")
    return (
        "x".join(map(str, kernel if len(kernel) > 1 else kernel * 2))
        + ("" if set(stride) <= {1} else f" / {_joined(stride)}")
        + ("" if set(pad) <= {0} else f" + {_joined(pad)}")
    )


def _sizes(proto: Any, both: str, each: str) -> list[int]:
    """Return a size as given: once, for each axis, or as _h and _w; nothing if not at all."""
    if proto.HasField(f"{each}_h") or proto.HasField(f"{each}_w"):
        return [getattr(proto, f"{each}_h"), getattr(proto, f"{each}_w")]
    value = getattr(proto, both)
    return [value] if isinstance(value, int) else list(value)


def _joined(sizes: list[int]) -> str:
    return "x".join(map(str, sizes if len(set(sizes)) > 1 else sizes[:1]))
