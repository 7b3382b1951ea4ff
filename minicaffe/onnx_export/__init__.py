"""Export of nets to ONNX.

The exporter is a backend: a net is built on `backend.TraceBackend` and run forward once, and the
kernels add nodes to a graph (`graph.OnnxGraph`). Layers need no code for it. Normalisations are
folded into convolutions before (`minicaffe.weights.fuse`), and a training net becomes the net to
deploy (`minicaffe.net.deployment.inference_net`).

    pixel_transform  puts mean, scale and order of colours in front of the net
    drawn_inputs     says what inputs hold that are not any numbers
    parameters       reads the trained parameters, which all traces share
    trace            builds and runs the net, and names the values
    free_sizes       makes the number of samples or rows free, by comparing two traces
    model_file       writes the graph as an ONNX file
    check            compares the file in onnxruntime with the net in minicaffe

Package `onnx` is imported by the last two only.
"""

from minicaffe.onnx_export.export import ExportSettings, export_net

__all__ = ["ExportSettings", "export_net"]
