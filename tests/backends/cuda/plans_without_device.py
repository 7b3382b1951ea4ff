"""Asks cuDNN for plans on an H100 that is not there: python plans_without_device.py FOLDER CC.

cuDNN's heuristics need the properties of a device, which the package takes as JSON, and its engines
a driver library, for which one that does nothing stands in. So it is proved that graphs are valid
and that plans exist and build, not that they compute.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from minicaffe.backends.cuda.driver.cudnn_frontend import Frontend
from minicaffe.backends.cuda.driver.plans import ConvolutionProblem, PlanLimits
from minicaffe.errors import Unsupported

H100 = {
    "maxGridSize": [2147483647, 65535, 65535],
    "maxBlockSize": [1024, 1024, 64],
    "regsPerBlock": 65536,
    "multiProcessorCount": 132,
    "smCountOrigin": 0,
    "warpSize": 32,
    "maxSharedMemoryPerBlock": 49152,
    "maxSharedMemoryPerBlockOptin": 232448,
    "oversizedSharedMemoryPerBlock": 232448,
    "reservedSharedMemoryPerBlock": 1024,
    "maxRegistersPerSM": 65536,
    "maxCtasPerSM": 32,
    "maxThreadsPerBlock": 1024,
    "maxThreadsPerSM": 2048,
    "pciDeviceId": 0,
    "isTccDriver": 0,
    "supportCoopLaunch": 1,
    "totalGlobalMem": 85_000_000_000,
    "smClockRateKHz": 1980000,
    "memClockRateKHz": 2619000,
    "memoryBusWidth": 5120,
    "l2CacheSize": 52428800,
    "cudaDeviceId": 0,
    "deviceVer": 900,
    "driverVer": 13000,
    "deviceName": "NVIDIA H100 80GB HBM3",
}
NOTHING = [
    "cuGetErrorString",
    "cuGetErrorName",
    "cuModuleUnload",
    "cuTensorMapEncodeIm2col",
    "cuTensorMapEncodeTiled",
    "cuCtxGetLimit",
    "cuCtxPopCurrent",
    "cuCtxPushCurrent",
    "cuStreamGetCtx",
    "cuLinkCreate",
    "cuLinkAddData",
    "cuLinkComplete",
    "cuLinkDestroy",
    "cuLaunchKernel",
    "cuLaunchCooperativeKernel",
    "cuLaunchKernelEx",
    "cuLibraryLoadFromFile",
    "cuLibraryUnload",
    "cuKernelSetAttribute",
]
# These give a pointer, or a number, by their first argument.
POINTER = [
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuLibraryLoadData",
    "cuLibraryGetKernel",
    "cuKernelGetFunction",
    "cuCtxGetCurrent",
]
NUMBER = [
    "cuKernelGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuOccupancyMaxPotentialClusterSize",
    "cuDriverGetVersion",
]
SOURCE = "\n".join(
    [
        *(f"int {name}(void) {{ return 0; }}" for name in NOTHING),
        *(f"int {name}(void **p) {{ *p = (void *)1; return 0; }}" for name in POINTER),
        *(f"int {name}(int *p) {{ *p = 1; return 0; }}" for name in NUMBER),
    ]
)

# Name: x; filters, kernel, stride, pad, dilation, group.
LAYERS = {
    "LeNet conv1": ((64, 1, 28, 28), 20, 5, 1, 0, 1, 1),
    "LeNet conv2": ((64, 20, 12, 12), 50, 5, 1, 0, 1, 1),
    "AlexNet conv1": ((256, 3, 227, 227), 96, 11, 4, 0, 1, 1),
    "AlexNet conv2": ((256, 96, 27, 27), 256, 5, 1, 2, 1, 2),
    "VGG-16 conv1_1": ((64, 3, 224, 224), 64, 3, 1, 1, 1, 1),
    "VGG-16 conv3_1": ((64, 128, 56, 56), 256, 3, 1, 1, 1, 1),
    "GoogLeNet conv1": ((128, 3, 224, 224), 64, 7, 2, 3, 1, 1),
    "GoogLeNet 3a 5x5": ((128, 16, 28, 28), 32, 5, 1, 2, 1, 1),
    "ResNet-50 res3a_1": ((128, 256, 56, 56), 512, 1, 2, 0, 1, 1),
    "ResNet-50 res4b_2b": ((128, 256, 14, 14), 256, 3, 1, 1, 1, 1),
    "dilated": ((4, 64, 33, 33), 64, 3, 1, 2, 2, 1),
    "in one dimension": ((8, 16, 100), 32, 3, 1, 1, 1, 1),
    "in three": ((2, 8, 12, 14, 16), 16, 3, 1, 1, 1, 1),
}
DIRECTIONS = (
    {"direction": "forward"},
    {"direction": "forward", "bias": True},
    {"direction": "forward", "bias": True, "relu": True},
    {"direction": "data"},
    {"direction": "weights"},
)
PRECISIONS = (("float32", "fp32"), ("float32", "tf32"), ("bfloat16", "tf32"), ("float16", "tf32"))


def convolutions():
    """Every layer in every direction, precision and order."""
    for layer, way, (dtype, math), channels_last in itertools.product(
        LAYERS.values(), DIRECTIONS, PRECISIONS, (False, True)
    ):
        x, filters, kernel, stride, pad, dilation, group = layer
        sizes = ((s + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1 for s in x[2:])
        n = len(x) - 2
        yield ConvolutionProblem(
            x=x,
            w=(filters, x[1] // group, *(kernel,) * n),
            y=(x[0], filters, *sizes),
            stride=(stride,) * n,
            pad=(pad,) * n,
            dilation=(dilation,) * n,
            group=group,
            channels_last=channels_last,
            dtype=dtype,
            math=math,
            **way,
        )


def why_not(frontend, what):
    """Return None if a plan builds, else the last reason."""
    try:
        plans = frontend.plans(what)
    except Unsupported as reason:
        return str(reason)
    reason = None
    for plan in plans:
        try:
            plan.prepare()
        except Unsupported as error:
            reason = error
        else:
            return None
    return f"{what}: {reason}"


def main(folder, compiler):
    library = Path(folder) / "libcuda.so.1"
    source = library.with_suffix(".c")
    source.write_text(SOURCE)
    name = f"-Wl,-soname,{library.name}"
    subprocess.run([compiler, "-w", "-shared", "-fPIC", name, "-o", library, source], check=True)
    ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
    package = Frontend.package()
    where = {"device_property": package.create_device_properties(json.dumps(H100))}
    reasons, n = [], 0
    for is_deterministic in (False, True):
        frontend = Frontend(package, where, PlanLimits(is_deterministic))
        for what in convolutions():
            n += 1
            if reason := why_not(frontend, what):
                reasons.append(f"{frontend.version}: {reason}")
    print("\n".join(reasons) or f"{n}: every description has a plan")
    return len(reasons) > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
