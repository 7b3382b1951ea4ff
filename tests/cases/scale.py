from cases.case import Case, normal

IMAGES = {"x": normal(2, 3, 5, 7)}
LARGER = ({"x": (4, 3, 6, 9)},)


def cases(field, *more):
    """Return what Scale and Bias have in common."""
    return [
        Case("channels", "", IMAGES, reshapes=LARGER),
        Case("two axes", f"{field} {{ axis: 0 num_axes: 2 }}", IMAGES, reshapes=()),
        Case("all axes from the last two", f"{field} {{ axis: -2 num_axes: -1 }}", IMAGES),
        Case("one number", f"{field} {{ num_axes: 0 }}", IMAGES, reshapes=LARGER),
        Case(
            "two bottoms",
            f"{field} {{ axis: 1 }}",
            {**IMAGES, "s": normal(3, 5)},
            reshapes=({"x": (4, 2, 6, 9), "s": (2, 6)},),
        ),
        Case("of one shape", f"{field} {{ axis: 0 }}", {**IMAGES, "s": normal(2, 3, 5, 7)}),
        *more,
    ]


def factors(*shape):
    return {"a": normal(*shape), "x": IMAGES["x"], "z": IMAGES["x"]}


CASES = {
    "Axpy": [
        Case("images", "", factors(2, 3, 1, 1), reshapes=()),
        Case("factors of two axes", "", factors(2, 3), reshapes=()),
        Case(
            "many channels",
            "",
            {"a": normal(2, 19), "x": normal(2, 19, 5), "z": normal(2, 19, 5)},
        ),
    ],
    "ChannelScale": [
        Case("rows", "", {"x": normal(3, 5), "s": normal(3, 1)}),
        Case("pixels", "", {**IMAGES, "s": normal(2, 1, 5, 7)}),
        Case(
            "a copy",
            "channel_scale_param { do_forward: false do_backward_scale: false "
            "do_backward_feature: false }",
            {**IMAGES, "s": normal(2, 1, 5, 7)},
        ),
    ],
    "Scale": cases(
        "scale_param",
        Case("with bias", "scale_param { bias_term: true }", IMAGES, reshapes=LARGER),
        Case(
            "two bottoms with bias",
            "scale_param { bias_term: true axis: 2 }",
            {**IMAGES, "s": normal(5)},
            reshapes=({"x": (4, 2, 5, 9), "s": (5,)},),
        ),
    ),
    "Bias": cases("bias_param"),
}
