from cases.case import Case, distinct, normal, positive


def pool(name, settings, values, **options):
    return Case(name, f"pooling_param {{ {settings} }}", {"x": values}, **options)


LARGER_THEN_SMALLER = ({"x": (3, 3, 9, 11)}, {"x": (1, 3, 6, 5)})

CASES = {
    "Pooling": [
        pool("max 2 stride 2", "pool: MAX kernel_size: 2 stride: 2", distinct(2, 3, 6, 9)),
        pool(
            "max overlapping, last window cut",
            "pool: MAX kernel_size: 3 stride: 2",
            distinct(2, 3, 6, 10),
            reshapes=LARGER_THEN_SMALLER,
        ),
        pool("max padded", "pool: MAX kernel_size: 3 stride: 2 pad: 1", distinct(2, 3, 7, 6)),
        pool(
            "max floor",
            "pool: MAX kernel_size: 3 stride: 2 round_mode: FLOOR",
            distinct(2, 3, 6, 10),
        ),
        pool(
            "ave floor, as forks write it",
            "pool: AVE kernel_size: 3 stride: 2 ceil_mode: false",
            normal(2, 3, 6, 10),
        ),
        pool(
            "max window larger than the image",
            "pool: MAX kernel_size: 3 stride: 2",
            distinct(2, 3, 2, 5),
        ),
        pool(
            "ave window larger than the image",
            "pool: AVE kernel_size: 3 stride: 3",
            normal(2, 3, 1, 5),
        ),
        pool(
            "ave padded window larger than the image",
            "pool: AVE kernel_size: 5 stride: 4 pad: 1",
            normal(2, 3, 1, 7),
        ),
        pool(
            "max with mask",
            "pool: MAX kernel_h: 2 kernel_w: 3 stride_h: 1 stride_w: 2 pad_h: 1 pad_w: 0",
            distinct(2, 3, 5, 7),
            tops=("y", "mask"),
            tops_without_gradient=("mask",),
        ),
        pool("ave", "pool: AVE kernel_size: 3 stride: 2", normal(2, 3, 6, 10)),
        pool(
            "ave padded",
            "pool: AVE kernel_size: 3 stride: 2 pad: 1",
            normal(2, 3, 6, 7),
            reshapes=LARGER_THEN_SMALLER,
        ),
        pool("ave global", "pool: AVE global_pooling: true", normal(2, 3, 5, 7)),
        pool(
            "max global",
            "pool: MAX global_pooling: true",
            distinct(2, 3, 5, 7),
            reshapes=LARGER_THEN_SMALLER,
        ),
        pool("max of clips", "pool: MAX kernel_size: 2 stride: 2", distinct(2, 3, 5, 4, 7)),
        pool(
            "max of clips with mask",
            "pool: MAX kernel_size: 3 stride: 2 pad: 1",
            distinct(1, 2, 5, 4, 7),
            tops=("y", "mask"),
            tops_without_gradient=("mask",),
        ),
        pool("ave of clips", "pool: AVE kernel_size: 3 stride: 2 pad: 1", normal(2, 3, 6, 5, 7)),
        pool("ave of clips, cut", "pool: AVE kernel_size: 3 stride: 2", normal(1, 2, 6, 5, 4)),
        pool("ave of rows", "pool: AVE kernel_size: 3 stride: 2", normal(2, 3, 10)),
        pool("max of clips, global", "pool: MAX global_pooling: true", distinct(2, 3, 4, 5, 6)),
        pool(
            "stochastic while testing",
            "pool: STOCHASTIC kernel_size: 3 stride: 2",
            positive(2, 3, 6, 7),
            phase="TEST",
            gradients=(),
        ),
        pool(
            "stochastic while training",
            "pool: STOCHASTIC kernel_size: 3 stride: 2",
            positive(2, 3, 6, 7),
            is_stochastic=True,
        ),
    ]
}
