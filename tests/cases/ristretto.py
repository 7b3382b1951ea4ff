from cases.case import Case, normal

QUANTIZED = "quantization_param { bw_layer_in: 8 bw_layer_out: 8 bw_params: 8 fl_params: 7 }"

CASES = {
    "ConvolutionRistretto": [
        Case(
            "3x3",
            f"convolution_param {{ num_output: 5 kernel_size: 3 pad: 1 }} {QUANTIZED}",
            {"x": normal(2, 3, 6, 7)},
        )
    ],
    "DeconvolutionRistretto": [
        Case(
            "4x4",
            f"convolution_param {{ num_output: 3 kernel_size: 4 stride: 2 }} {QUANTIZED}",
            {"x": normal(2, 5, 3, 4)},
        )
    ],
    "FcRistretto": [
        Case(
            "images", f"inner_product_param {{ num_output: 5 }} {QUANTIZED}", {"x": normal(2, 3, 7)}
        )
    ],
    "LRNRistretto": [Case("channels", QUANTIZED, {"x": normal(2, 7, 3, 4)})],
}
