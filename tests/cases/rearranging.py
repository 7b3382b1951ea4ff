from cases.case import Case, normal


def case(name, settings, *shape, **options):
    return Case(name, settings, {"x": normal(*shape)}, **options)


CASES = {
    "Flip": [
        case("columns", "", 2, 3, 5, 7),
        case("both", "flip_param { flip_height: true }", 2, 3, 5, 7),
        case("rows", "flip_param { flip_height: true flip_width: false }", 2, 3, 5, 4),
        case("neither", "flip_param { flip_width: false }", 2, 3, 5, 4),
    ],
    "Permute": [
        case(
            "channels last",
            "permute_param { order: 0 order: 2 order: 3 order: 1 }",
            *(2, 3, 5, 7),
            reshapes=({"x": (3, 4, 6, 9)}, {"x": (1, 2, 3, 5)}),
        ),
        case("first two", "permute_param { order: 1 order: 0 order: 2 }", 3, 5, 7),
        case("the others follow", "permute_param { order: 2 }", 2, 3, 5, 7),
        case("no change", "", 2, 3, 5),
        case("many channels", "permute_param { order: 0 order: 2 order: 3 order: 1 }", 2, 19, 5, 3),
    ],
    "Reorg": [
        case("stride 2", "reorg_param { stride: 2 }", 2, 12, 6, 10),
        case("stride 3", "reorg_param { stride: 3 }", 2, 9, 6, 3),
        case("reverse", "reorg_param { stride: 2 reverse: true }", 2, 12, 5, 3),
    ],
    "Reverse": [
        case("first axis", "", 5, 3, 7),
        case("middle axis", "reverse_param { axis: 1 }", 2, 3, 5, 7),
        case("last axis", "reverse_param { axis: -1 }", 3, 5),
    ],
    "ShuffleChannel": [
        case("two groups", "shuffle_channel_param { group: 2 }", 2, 6, 5, 3),
        case("five groups", "shuffle_channel_param { group: 5 }", 3, 15, 2),
        case("one group", "", 2, 3, 5),
    ],
}
