"""Roundings have no derivative, so only what they do not touch is compared with differences.

tests/layers/test_quantized.py has the gradients that pass straight through.
"""

from cases.case import Case, normal

CONV = "convolution_param { num_output: 5 kernel_size: 3 pad: 1 }"
DECONV = "convolution_param { num_output: 3 kernel_size: 4 stride: 2 }"
FC = "inner_product_param { num_output: 5 }"
BOTH = (0, 1)


def fixed_point(bits):
    """Round everything, to grids that values of about 1 fill."""
    fields = "".join(
        f"bw_{name}: {bits} fl_{name}: {bits - less} "
        for name, less in (("layer_in", 3), ("layer_out", 5), ("params", 3))
    )
    return f"quantization_param {{ {fields}}}"


def scales(*values):
    return f"quantization_param {{ bw_params: 4 scale_params: {list(values)} }}"


MINIFLOAT = "quantization_param { precision: MINIFLOAT mant_bits: 3 exp_bits: 3 }"
POWERS = "quantization_param { precision: INTEGER_POWER_OF_2_WEIGHTS exp_min: -4 exp_max: 0 }"


def nearest(name, settings, bottoms, gradients=None, params=BOTH):
    """Return a case whose roundings are to nearest, and whose parameters have no derivative."""
    return Case(
        name, settings, bottoms, phase="TEST", gradients=gradients, params_without_gradient=params
    )


X = {"x": normal(2, 3, 6, 7)}
CASES = {
    "ConvolutionRistretto": [
        nearest("6 bits", f"{CONV}\n{fixed_point(6)}", X, ()),
        nearest("scale of a channel", f"{CONV}\n{scales(1.5, 2, 3, 5.7, 9)}", X, None, (0,)),
        nearest("one scale", f"{CONV}\n{scales(3.3)}", X, None, (0,)),
        nearest("minifloat", f"{CONV}\n{MINIFLOAT}", X, ()),
        nearest("powers of two", f"{CONV}\n{POWERS}", X, None, (0,)),
        Case(
            "stochastic",
            f"{CONV}\nquantization_param {{ bw_params: 5 fl_params: 3 }}",
            X,
            params_without_gradient=BOTH,
            is_stochastic=True,
        ),
    ],
    "DeconvolutionRistretto": [
        nearest("6 bits", f"{DECONV}\n{fixed_point(6)}", {"x": normal(2, 5, 3, 4)}, ()),
        nearest(
            "scale of a channel",
            f"{DECONV}\n{scales(1.5, 3, 7)}",
            {"x": normal(2, 5, 3, 4)},
            None,
            (0,),
        ),
        nearest(
            "scale of a group",
            f"convolution_param {{ num_output: 3 group: 3 kernel_size: 2 }}\n{scales(1.5, 3, 7)}",
            {"x": normal(2, 3, 3, 4)},
            None,
            (0,),
        ),
    ],
    "FcRistretto": [
        nearest("5 bits", f"{FC}\n{fixed_point(5)}", {"x": normal(2, 3, 7)}, ()),
        nearest(
            "scale of a row",
            f"{FC}\n{scales(1.5, 2, 3, 5.7, 9)}",
            {"x": normal(2, 3, 7)},
            None,
            (0,),
        ),
        nearest(
            "scale of a column",
            "inner_product_param { num_output: 5 transpose: true }\n" + scales(1.5, 2, 3, 5.7, 9),
            {"x": normal(2, 3, 7)},
            None,
            (0,),
        ),
        Case(
            "stochastic minifloat",
            f"{FC}\n{MINIFLOAT}",
            {"x": normal(2, 3, 7)},
            params_without_gradient=BOTH,
            is_stochastic=True,
        ),
    ],
    "LRNRistretto": [
        nearest("minifloat", MINIFLOAT, {"x": normal(2, 7, 3, 4)}, (), ()),
        nearest(
            "6 bits",
            fixed_point(6).replace("bw_params: 6 fl_params: 3 ", ""),
            {"x": normal(2, 7, 3, 4)},
            (),
            (),
        ),
    ],
}
