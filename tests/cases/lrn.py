from cases.case import Case, normal


def lrn(name, settings, *shape, **options):
    return Case(name, f"lrn_param {{ {settings} }}", {"x": normal(*shape)}, **options)


WITHIN = "norm_region: WITHIN_CHANNEL"

CASES = {
    "LRN": [
        lrn("across 5", "", 2, 7, 3, 5, reshapes=({"x": (3, 9, 5, 4)}, {"x": (1, 6, 2, 3)})),
        lrn("across 3, own numbers", "local_size: 3 alpha: 0.5 beta: 0.25 k: 2", 2, 6, 3, 5),
        lrn("wider than the channels", "local_size: 9", 2, 3, 4, 5),
        lrn(
            "within 3",
            f"{WITHIN} local_size: 3 alpha: 0.5",
            *(2, 3, 5, 7),
            reshapes=({"x": (3, 2, 9, 6)}, {"x": (1, 2, 4, 3)}),
        ),
        lrn("within, k is not read", f"{WITHIN} local_size: 5 k: 3", 2, 3, 6, 4),
    ]
}
