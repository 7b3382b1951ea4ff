from cases.case import Case, normal


def ip(name, settings, *shape, **options):
    return Case(name, f"inner_product_param {{ {settings} }}", {"x": normal(*shape)}, **options)


CASES = {
    "InnerProduct": [
        ip("images", "num_output: 5", 2, 3, 4, 7),
        ip("no bias", "num_output: 5 bias_term: false", 3, 7),
        ip("transpose", "num_output: 6 transpose: true", 3, 5, 2),
        ip("axis 2", "num_output: 5 axis: 2", 2, 3, 7, reshapes=({"x": (4, 5, 7)},)),
        ip("axis -1", "num_output: 3 axis: -1", 2, 5, 7),
        # Forward scales the weights, so that their gradient is no derivative.
        ip("unit vectors", "num_output: 4 normalize: true", 3, 7, params_without_gradient=(0,)),
        ip(
            *("transposed unit vectors", "num_output: 4 normalize: true transpose: true", 3, 7),
            params_without_gradient=(0,),
        ),
    ]
}
