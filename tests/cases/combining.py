from cases.case import Case, distinct, normal, off_zero, positive

TWO = {"x": normal(2, 3, 5), "z": normal(2, 3, 5)}
THREE = {**TWO, "w": normal(2, 3, 5)}
SIX = {f"x{i}": normal(2, 3, 5) for i in range(6)}


def reduction(name, settings, values):
    return Case(name, f"reduction_param {{ {settings} }}", {"x": values})


def arg_max(name, settings, *shape, **options):
    return Case(name, f"argmax_param {{ {settings} }}", {"x": distinct(*shape)}, **options)


CASES = {
    "Eltwise": [
        Case("sum", "", TWO),
        Case("sum of three", "eltwise_param { operation: SUM }", THREE),
        Case("weighted", "eltwise_param { coeff: 0.5 coeff: -2 coeff: 1 }", THREE),
        Case(
            "sum of six",
            "eltwise_param { coeff: 1 coeff: -.5 coeff: 2 coeff: .25 coeff: -1 coeff: 3 }",
            SIX,
        ),
        Case("product", "eltwise_param { operation: PROD }", TWO),
        Case("product of three", "eltwise_param { operation: PROD }", THREE),
        Case(
            "product by division",
            "eltwise_param { operation: PROD stable_prod_grad: false }",
            {"x": positive(2, 3, 5), "z": positive(2, 3, 5), "w": positive(2, 3, 5)},
        ),
        Case("maximum", "eltwise_param { operation: MAX }", TWO),
        Case("maximum of three", "eltwise_param { operation: MAX }", THREE),
    ],
    "Reduction": [
        reduction("sum", "", normal(3, 5, 2)),
        reduction("sum of rows", "axis: 1 coeff: 2.5", normal(3, 5, 2)),
        reduction("mean", "operation: MEAN axis: -1", normal(3, 5, 2)),
        reduction("mean of all", "operation: MEAN coeff: -0.5", normal(3, 5)),
        reduction("magnitudes", "operation: ASUM axis: 2", off_zero(3, 5, 2, 4)),
        reduction("squares", "operation: SUMSQ axis: 1 coeff: 0.5", normal(3, 5, 2)),
    ],
    "ArgMax": [
        arg_max("samples", "", 3, 5, 4),
        arg_max("rows", "", 3, 5),
        arg_max("top 3", "top_k: 3", 3, 5, 2, 3),
        arg_max("places and values", "top_k: 2 out_max_val: true", 3, 5, 2, 1, 2),
        arg_max("axis", "axis: 1", 3, 5, 4, reshapes=({"x": (2, 7, 3)},)),
        arg_max("top 2 along the last axis", "axis: -1 top_k: 2", 3, 5, 4),
        arg_max("values along an axis", "axis: 1 top_k: 3 out_max_val: true", 3, 5, 4),
    ],
}
