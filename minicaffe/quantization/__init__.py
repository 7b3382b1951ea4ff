"""Quantisation of trained nets: simulation of small numbers, bits against accuracy, search, files.

| task | module |
|---|---|
| read a net's batches once, score nets on them | `batches`, `score`, `trials` |
| fold normalisation, find the layers to quantise | `float_net` |
| choose the grid of a layer's weights | `weight_grids` |
| measure the ranges of activations | `ranges`, `calibration` |
| try numbers of bits, search the smallest net | `study` |
| write the net and calibration tables | `quantized_net`, `tables` |
| print the results | `report` |

Layers of Ristretto's types compute with the numbers that this package chooses; see
`minicaffe.layers.ristretto`.
"""
