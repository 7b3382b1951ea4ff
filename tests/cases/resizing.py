import numpy as np

from cases.case import Case, Values, normal


def interp(name, settings, *shape, **options):
    return Case(name, f"interp_param {{ {settings} }}", {"x": normal(*shape)}, **options)


def positions(*shape, below):
    """Different positions in each plane, below the number of its pixels."""

    def draw(rng, s):
        planes = [rng.permutation(below)[: s[2] * s[3]] for _ in range(s[0] * s[1])]
        return np.array(planes, float).reshape(s)

    return Values(shape, draw)


def unpooling(name, settings, *shape, below):
    bottoms = {"x": normal(*shape), "mask": positions(*shape, below=below)}
    return Case(name, f"upsample_param {{ {settings} }}", bottoms)


def upsampling(name, settings, *shape, **options):
    return Case(name, settings, {"x": normal(*shape)}, **options)


CASES = {
    "Interp": [
        interp("larger", "height: 9 width: 11", 2, 3, 5, 7, reshapes=({"x": (3, 3, 4, 6)},)),
        interp("smaller", "height: 4 width: 3", 2, 3, 7, 5),
        interp("same size", "height: 5 width: 7", 2, 3, 5, 7),
        interp("one pixel", "height: 4 width: 3", 2, 3, 1, 1),
        interp("to one pixel", "height: 1 width: 1", 2, 3, 5, 4),
        interp("zoom", "zoom_factor: 3", 2, 3, 4, 5, reshapes=({"x": (1, 4, 6, 3)},)),
        interp("shrink", "shrink_factor: 2", 2, 3, 7, 6),
        interp("shrink and zoom", "shrink_factor: 3 zoom_factor: 2", 2, 3, 10, 7),
        interp("cropped", "height: 6 width: 9 pad_beg: -1 pad_end: -2", 2, 3, 7, 6),
        Case(
            "size of another",
            "interp_param { use_blob_size: true }",
            {"x": normal(2, 3, 5, 4), "z": normal(2, 5, 7, 9)},
            reshapes=({"x": (2, 3, 4, 3), "z": (1, 2, 3, 11)},),
        ),
    ],
    "Upsample": [
        upsampling("by 2", "upsample_param { scale: 2 }", 2, 3, 5, 7),
        upsampling("not at all", "", 2, 3, 4, 5),
        upsampling("by 2 and 3", "upsample_param { scale_h: 2 scale_w: 3 }", 2, 19, 4, 3),
        unpooling("unpooling", "", 2, 3, 5, 4, below=80),
        unpooling("unpooling by 3", "scale: 3", 2, 3, 2, 5, below=90),
        unpooling("unpooling, odd", "scale: 2 pad_out_h: true", 2, 3, 3, 5, below=50),
        unpooling("unpooling to a size", "upsample_h: 5 upsample_w: 7", 2, 3, 3, 4, below=35),
    ],
}
