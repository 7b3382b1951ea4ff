from cases.case import Case, Values, normal

T, N, K, D = 4, 3, 5, 2
LONGER = {"x": (6, N, K), "cont": (6, N)}
WIDER = {"x": (T, 5, K), "cont": (T, 5)}


def begins(*shape):
    """0 or 1, all 0 at the first step: the states before do not matter."""

    def draw(rng, s):
        values = rng.integers(0, 2, s).astype(float)
        values[0] = 0
        return values

    return Values(shape, draw)


def zero_or_one(*shape):
    return Values(shape, lambda rng, s: rng.integers(0, 2, s).astype(float))


def recurrent(name, states="", **options):
    """A case without exposed states unless they are named."""
    exposed = "expose_hidden: true" if states else ""
    settings = f"recurrent_param {{ num_output: {D} {exposed} }}"
    options = {"tops": ("y", *(f"{s}_end" for s in states)), "reshapes": (LONGER, WIDER), **options}
    return Case(name, settings, **options)


def states(names):
    return {f"{s}_start": normal(1, N, D) for s in names}


def cases(names):
    streams = {"x": normal(T, N, K), "cont": begins(T, N)}
    going_on = {"x": normal(T, N, K), "cont": zero_or_one(T, N)}
    wider = WIDER | {f"{s}_start": (1, 5, D) for s in names}
    return [
        recurrent("streams", bottoms=streams),
        recurrent(
            "steps of several axes",
            bottoms={"x": normal(T, N, 2, 3), "cont": begins(T, N)},
            reshapes=({"x": (2, N, 2, 3), "cont": (2, N)},),
        ),
        recurrent(
            "static input",
            bottoms={**streams, "static": normal(N, 7)},
            reshapes=(LONGER, {**WIDER, "static": (5, 7)}),
        ),
        recurrent(
            "exposed states", names, bottoms=going_on | states(names), reshapes=(LONGER, wider)
        ),
        recurrent(
            "exposed states and static input",
            names,
            bottoms={**going_on, "static": normal(N, 2, 3), **states(names)},
            reshapes=(LONGER,),
        ),
    ]


CASES = {
    "LSTM": cases("hc"),
    "RNN": cases("h"),
    "LSTMUnit": [
        Case(
            "one step",
            "",
            {"c": normal(1, N, D), "a": normal(1, N, 4 * D), "cont": zero_or_one(1, N)},
            tops=("c_new", "h_new"),
            reshapes=({"c": (1, 5, D), "a": (1, 5, 4 * D), "cont": (1, 5)},),
        )
    ],
}
