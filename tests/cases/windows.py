from cases.case import Case, distinct, normal, positive


def im2col(name, settings, *shape, **options):
    return Case(name, f"convolution_param {{ {settings} }}", {"x": normal(*shape)}, **options)


def spp(name, settings, values, **options):
    return Case(name, f"spp_param {{ {settings} }}", {"x": values}, **options)


CASES = {
    "Im2col": [
        im2col(
            "padded, stride 2",
            "kernel_size: 3 stride: 2 pad: 1",
            2,
            3,
            6,
            7,
            reshapes=({"x": (3, 3, 9, 5)}, {"x": (1, 2, 4, 6)}),
        ),
        im2col(
            "rectangular, dilated",
            "kernel_h: 2 kernel_w: 3 stride_h: 1 stride_w: 2 pad_h: 1 pad_w: 0 dilation: 2",
            2,
            3,
            5,
            9,
        ),
        im2col("lines", "kernel_size: 3", 2, 3, 7),
        im2col("volumes", "kernel_size: 2 stride: 1 stride: 2 stride: 1", 2, 1, 3, 4, 5),
        im2col("larger than the image", "kernel_size: 4 stride: 2", 2, 3, 3, 7),
        im2col("larger, padded", "kernel_size: 5 stride: 3 stride: 1 pad: 1", 2, 3, 2, 5),
        im2col("axis 2", "axis: 2 kernel_size: 2", 2, 3, 2, 4, 5),
    ],
    "SPP": [
        spp("max", "pyramid_height: 3", distinct(2, 3, 9, 11), reshapes=({"x": (3, 2, 12, 10)},)),
        spp("ave", "pool: AVE pyramid_height: 3", normal(2, 3, 9, 11)),
        spp("no padding", "pool: MAX pyramid_height: 2", distinct(2, 3, 6, 10)),
        spp("one level keeps images", "pyramid_height: 1", distinct(2, 3, 5, 7)),
        spp(
            "stochastic while testing",
            "pool: STOCHASTIC pyramid_height: 2",
            positive(2, 3, 6, 10),
            phase="TEST",
            gradients=(),
        ),
        spp(
            "stochastic while training",
            "pool: STOCHASTIC pyramid_height: 2",
            positive(2, 3, 6, 10),
            is_stochastic=True,
        ),
    ],
}
