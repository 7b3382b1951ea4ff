import numpy as np

from cases.case import Case, Values, exactly, normal, off_zero

# Neither near a pixel's centre, where the gradient has a kink, nor near the border.
FLOW = Values((2, 2, 4, 5), lambda rng, s: rng.integers(-3, 3, s) + rng.uniform(0.1, 0.9, s))
SMALL = Values((1, 2, 3, 6), lambda rng, s: rng.uniform(0.1, 0.9, s))


def with_nan(*shape):
    """Return normal values, of which every fifth is NaN."""

    def draw(rng, s):
        values = rng.standard_normal(s)
        values.reshape(-1)[::5] = np.nan
        return values

    return Values(shape, draw)


def loss(name, settings, bottoms, **options):
    return Case(name, settings, bottoms, tops=("loss",), in_place=False, **options)


CASES = {
    "Accum": [
        Case(
            "reference",
            "accum_param { have_reference: true }",
            {"x": normal(2, 3, 4, 5), "reference": normal(2, 1, 7, 9)},
            in_place=False,
        ),
        Case("size", "accum_param { top_height: 6 top_width: 7 }", {"x": normal(1, 2, 3, 7)}),
    ],
    "FlowWarp": [
        Case("far", "", {"x": normal(2, 3, 4, 5), "flow": FLOW}),
        Case(
            "near",
            "flow_warp_param { fill_value: ZERO }",
            {"x": normal(1, 2, 3, 6), "flow": SMALL},
            reshapes=({"x": (1, 3, 5, 4), "flow": (1, 2, 5, 4)},),
        ),
    ],
    "ChannelNorm": [
        Case("images", "", {"x": normal(2, 3, 4, 5)}, in_place=False),
        Case("vectors", "", {"x": normal(7, 3)}, in_place=False),
    ],
    "Mean": [
        Case(
            "subtract",
            "mean_param { operation: SUBTRACT value: 1.5 value: -0.3 value: 2 input_scale: 0.5"
            " output_scale: 3 }",
            {"x": normal(2, 3, 4, 5)},
        ),
        Case(
            "add",
            "mean_param { operation: ADD value: 1.5 value: -0.3 mean_scale: 2 }",
            {"x": normal(3, 2, 5, 4)},
        ),
    ],
    "L1Loss": [
        loss("entries", "", {"a": normal(5, 3), "b": normal(5, 3)}),
        loss("one bottom", "", {"a": off_zero(2, 3, 4, 5)}),
        loss(
            "pixels",
            "l1_loss_param { l2_per_location: true }",
            {"a": normal(2, 3, 4, 5), "b": normal(2, 3, 4, 5)},
        ),
        loss(
            "prescaled, with a plateau",
            "loss_weight: 0.5 l1_loss_param { l2_per_location: true l2_prescale_by_channels: true"
            " epsilon: 0.1 plateau: 1 }",
            {"a": normal(2, 3, 4, 5), "b": normal(2, 3, 4, 5)},
        ),
        loss(
            "entries, with a plateau",
            "l1_loss_param { plateau: 0.5 }",
            {"a": off_zero(2, 3, 4, kinks=(-0.5, 0.0, 0.5)), "b": exactly(np.zeros((2, 3, 4)))},
            reshapes=(),
        ),
        loss(
            "unknown flow",
            "l1_loss_param { l2_per_location: true normalize_by_num_entries: true }",
            {"a": normal(2, 3, 4, 5), "b": with_nan(2, 3, 4, 5)},
            gradients=("a",),
        ),
    ],
}
