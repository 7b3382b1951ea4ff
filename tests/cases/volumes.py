from cases.case import Case, distinct, labels, normal


def conv(name, settings, *shape, **options):
    return Case(name, f"convolution3d_param {{ {settings} }}", {"x": normal(*shape)}, **options)


def pool(name, settings, values, **options):
    return Case(name, f"pooling3d_param {{ {settings} }}", {"x": values}, **options)


CASES = {
    "VoxelSoftmax": [Case("voxels", "", {"x": normal(2, 3, 2, 4, 5)})],
    "VoxelSoftmaxLoss": [
        Case(
            "voxels",
            "",
            {"x": normal(2, 3, 2, 4, 5), "labels": labels(2, 1, 2, 4, 5, below=3)},
            tops=("loss",),
            in_place=False,
        )
    ],
    "Convolution3D": [
        conv(
            "sizes of frames and images differ",
            "num_output: 4 kernel_depth: 2 kernel_size: 3 temporal_stride: 2 pad: 1",
            *(2, 3, 5, 4, 6),
            reshapes=({"x": (1, 3, 4, 5, 7)},),
        ),
        conv(
            "groups, no bias",
            "num_output: 6 group: 2 kernel_depth: 3 kernel_size: 1 temporal_pad: 1 stride: 2"
            " bias_term: false",
            *(1, 4, 3, 5, 6),
        ),
    ],
    "Deconvolution3D": [
        conv(
            "enlarging",
            "num_output: 3 kernel_depth: 3 kernel_size: 4 temporal_stride: 1 stride: 2 pad: 1",
            *(2, 5, 3, 2, 4),
        ),
        conv(
            "groups, no bias",
            "num_output: 4 group: 2 kernel_depth: 2 kernel_size: 3 temporal_stride: 2"
            " bias_term: false",
            *(1, 6, 2, 3, 4),
        ),
    ],
    "Pooling3D": [
        pool("frames stay", "kernel_depth: 1 kernel_size: 2 stride: 2", distinct(2, 3, 4, 6, 7)),
        pool(
            "last window cut",
            "kernel_depth: 2 kernel_size: 3 temporal_stride: 2 stride: 2",
            distinct(1, 3, 5, 6, 4),
            reshapes=({"x": (2, 3, 4, 5, 7)},),
        ),
        pool(
            "ave padded",
            "pool: AVE kernel_depth: 3 kernel_size: 3 temporal_stride: 2 stride: 2 pad: 1",
            normal(2, 3, 5, 6, 7),
        ),
    ],
}
