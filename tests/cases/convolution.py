from cases.case import Case, normal


def conv(name, settings, *shape, **options):
    return Case(name, f"convolution_param {{ {settings} }}", {"x": normal(*shape)}, **options)


CASES = {
    "Convolution": [
        conv("1x1", "num_output: 5 kernel_size: 1", 2, 3, 4, 7),
        conv(
            "pad and stride",
            "num_output: 5 kernel_size: 3 pad: 1 stride: 2",
            *(2, 3, 6, 7),
            reshapes=({"x": (4, 3, 9, 11)}, {"x": (1, 3, 4, 5)}),
        ),
        conv(
            "rectangular",
            "num_output: 4 kernel_h: 3 kernel_w: 2 pad_h: 2 pad_w: 1 stride_h: 1 stride_w: 3",
            *(2, 3, 5, 7),
        ),
        conv("three groups", "num_output: 6 group: 3 kernel_size: 2", 2, 9, 5, 4),
        conv("depthwise", "num_output: 5 group: 5 kernel_size: 3 pad: 1", 2, 5, 4, 6),
        conv("dilation", "num_output: 4 kernel_size: 3 dilation: 2 pad: 2", 2, 3, 7, 6),
        conv("no bias", "num_output: 4 kernel_size: 3 bias_term: false", 2, 3, 5, 6),
        conv("1-D", "num_output: 4 kernel_size: 3 pad: 1 stride: 2", 3, 5, 7),
        conv("3-D", "num_output: 3 kernel_size: 2 stride: 2 stride: 1 stride: 1", 2, 5, 4, 6, 3),
        conv("channel axis 2", "axis: 2 num_output: 3 kernel_size: 2", 2, 3, 5, 4, 6),
        conv("larger than the image", "num_output: 5 kernel_size: 4 stride: 2", 2, 3, 3, 7),
        conv(
            "larger than the padded image",
            "num_output: 4 group: 2 kernel_size: 3 stride: 3 stride: 4 pad: 0 pad: 1 dilation: 3",
            *(2, 6, 5, 4),
            reshapes=({"x": (1, 6, 9, 7)}, {"x": (3, 6, 6, 2)}),
        ),
        conv("1-D, larger than the line", "num_output: 4 kernel_size: 6 stride: 3", 3, 5, 4),
        Case(
            "two bottoms",
            "convolution_param { num_output: 5 kernel_size: 3 }",
            {"x": normal(2, 3, 6, 7), "z": normal(2, 3, 6, 7)},
            tops=("y", "v"),
        ),
    ],
    "ConvolutionDepthwise": [
        conv("group implied", "num_output: 5 kernel_size: 3 pad: 1 stride: 2", 2, 5, 7, 6),
        conv("dilation", "num_output: 19 kernel_size: 3 pad: 2 dilation: 2", 2, 19, 5, 4),
    ],
    "DepthwiseConvolution": [
        conv("group implied", "num_output: 6 kernel_size: 3 bias_term: false", 2, 3, 5, 6),
        conv("group given", "num_output: 6 group: 2 kernel_size: 3 pad: 1", 2, 4, 5, 3),
    ],
    "Deconvolution": [
        conv("enlarging", "num_output: 3 kernel_size: 4 stride: 2 pad: 1", 2, 5, 3, 4),
        conv(
            "two groups",
            "num_output: 6 group: 2 kernel_size: 3 stride: 2",
            *(2, 4, 3, 5),
            reshapes=({"x": (3, 4, 5, 6)}, {"x": (1, 4, 2, 3)}),
        ),
        conv("no bias", "num_output: 4 kernel_h: 3 kernel_w: 2 bias_term: false", 2, 3, 5, 6),
        conv("dilation", "num_output: 2 kernel_size: 3 dilation: 2 pad: 1", 2, 3, 4, 5),
        conv("3-D", "num_output: 2 kernel_size: 2 stride: 2", 2, 3, 4, 2, 5),
    ],
}
