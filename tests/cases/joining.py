from cases.case import Case, normal

THREE = {"x": normal(2, 3, 5, 4), "z": normal(2, 6, 5, 4), "w": normal(2, 1, 5, 4)}


def reshape(name, settings, *shape, **options):
    settings = f"reshape_param {{ {settings} }}"
    return Case(name, settings, {"x": normal(*shape)}, shares_diff=True, **options)


CASES = {
    "Concat": [
        Case("channels", "", THREE),
        Case("one", "", {"x": normal(2, 3, 5)}),
        Case(
            "batches",
            "concat_param { axis: 0 }",
            {"x": normal(2, 3, 5), "z": normal(4, 3, 5)},
            reshapes=({"x": (5, 3, 5)}, {"z": (1, 3, 5)}),
        ),
        Case("from the end", "concat_param { axis: -3 }", THREE),
        Case("concat_dim", "concat_param { concat_dim: 1 }", THREE),
        Case("last axis", "concat_param { axis: 1 }", {"x": normal(3, 5), "z": normal(3, 2)}),
    ],
    "Slice": [
        Case("equal", "", {"x": normal(2, 6, 5)}, tops=("u", "v", "w")),
        Case("one", "", {"x": normal(2, 6, 5)}),
        Case(
            "points",
            "slice_param { slice_point: 2 slice_point: 3 }",
            {"x": normal(2, 7, 5, 3)},
            tops=("u", "v", "w"),
            reshapes=({"x": (3, 9, 2, 4)}, {"x": (1, 4, 5, 3)}),
        ),
        Case(
            "batches",
            "slice_param { axis: 0 slice_point: 1 }",
            {"x": normal(4, 3)},
            tops=("u", "v"),
        ),
        Case(
            "slice_dim",
            "slice_param { slice_dim: 2 slice_point: 4 }",
            {"x": normal(2, 3, 5)},
            tops=("u", "v"),
        ),
        Case("from the end", "slice_param { axis: -1 }", {"x": normal(2, 3, 6)}, tops=("u", "v")),
    ],
    "Tile": [
        Case("channels", "tile_param { tiles: 3 }", {"x": normal(2, 5, 3, 4)}),
        Case("last axis", "tile_param { axis: -1 tiles: 2 }", {"x": normal(2, 5, 3)}),
        Case("batches", "tile_param { axis: 0 tiles: 4 }", {"x": normal(3, 2)}),
        Case("once", "tile_param { tiles: 1 }", {"x": normal(3, 2)}),
    ],
    "Crop": [
        Case(
            "images",
            "crop_param { offset: 1 offset: 2 }",
            {"x": normal(2, 3, 6, 7), "ref": normal(2, 3, 4, 5)},
            reshapes=(
                {"x": (3, 2, 9, 11), "ref": (3, 2, 6, 7)},
                {"x": (1, 3, 5, 6), "ref": (1, 3, 4, 2)},
            ),
        ),
        Case(
            "no offset",
            "",
            {"x": normal(2, 3, 6, 7), "ref": normal(1, 4, 4, 7)},
            reshapes=({"x": (3, 3, 6, 7)},),
        ),
        Case(
            "one offset for three axes",
            "crop_param { axis: 1 offset: 1 }",
            {"x": normal(2, 5, 6, 7), "ref": normal(2, 3, 4, 5)},
        ),
        Case(
            "last axis",
            "crop_param { axis: -1 offset: 3 }",
            {"x": normal(4, 9), "ref": normal(4, 5)},
        ),
    ],
    "Reshape": [
        reshape("keep and infer", "shape { dim: 0 dim: -1 dim: 7 }", 2, 3, 5, 7),
        reshape("in the middle", "shape { dim: 2 dim: 3 } axis: 2 num_axes: 1", 2, 3, 6, 7),
        reshape(
            "infer in the middle",
            "shape { dim: -1 } axis: 1 num_axes: 2",
            2,
            3,
            5,
            7,
            reshapes=({"x": (3, 2, 6, 7)}, {"x": (1, 4, 4, 2)}),
        ),
        reshape("keep behind axis", "shape { dim: 0 dim: 1 dim: -1 } axis: -3", 2, 3, 5),
        reshape("insert", "shape { dim: 1 } axis: 1 num_axes: 0", 2, 3, 5),
        reshape("append", "shape { dim: 1 dim: 1 } axis: -1", 2, 3),
    ],
}
