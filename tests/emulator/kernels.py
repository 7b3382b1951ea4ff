"""Kernels of CUDA sources, compiled for the CPU and launched as on a GPU.

A source is preprocessed after cuda_on_cpu.h, its kernels are extracted, an adapter that unpacks the
arguments from bytes is generated for each, and all of it is compiled to a shared library.
"""

import ctypes
import functools
import hashlib
import itertools
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from emulator.memory import DeviceFault
from minicaffe.backends.cuda.driver.device import Address

FOLDER = Path(__file__).parent
COMPILE = ("g++", "-std=c++17", "-O2", "-fPIC", "-U_FORTIFY_SOURCE")
# Casts between pointers as NVRTC allows them; every product rounded, as on every CPU.
KERNEL_OPTIONS = ("-w", "-fno-strict-aliasing", "-ffp-contract=off")
MAX_THREADS = 1024
MAX_GRID = (2**31 - 1, 65535, 65535)
MAX_SHARED_BYTES = 48 << 10

_KERNEL = re.compile(
    r'extern\s+"C"\s+__attribute__\(\(cuda_kernel\)\)\s+'
    r"(?:__attribute__\(\(cuda_launch_bounds\((?P<before>[^)]*)\)\)\)\s*)?void\s+"
    r"(?:__attribute__\(\(cuda_launch_bounds\((?P<after>[^)]*)\)\)\)\s*)?"
    r"(?P<name>\w+)\s*\((?P<parameters>[^)]*)\)"
)
_DYNAMIC_SHARED = re.compile(
    r'extern\s+static\s+__attribute__\(\(section\("cuda_shared"\)\)\)\s+'
    r"(?P<type>[\w\s]+?(?:__attribute__\(\(aligned\(\d+\)\)\)\s*)?[\w\s]*?)\s*(?P<name>\w+)\s*\[\s*\]\s*;"
)
# Memory layout of a parameter: eight bytes each.
_LAYOUT = {Address: "Q", int: "i4x", float: "f4x"}
_Three = ctypes.c_uint * 3


def reason_to_skip():
    """Return why kernels cannot be compiled here, or an empty string."""
    if not sys.platform.startswith("linux"):
        return "CUDA kernels are emulated on Linux only"
    return "" if shutil.which("g++") else "CUDA kernels are compiled by g++ here, which is missing"


@dataclass(frozen=True)
class Launch:
    """A kernel launch: name, grid, block and arguments."""

    name: str
    grid: tuple
    block: tuple
    args: tuple
    shared_bytes: int = 0

    @property
    def addresses(self):
        """The pointers among the arguments that are not null."""
        return [arg for arg in self.args if type(arg) is Address and arg]


@dataclass(frozen=True)
class Signature:
    """Name of a kernel, the types of its arguments, the most threads its block may have.

    Parameters
    ----------
    name : str
    kinds : tuple of type
    max_threads : int
    apart : tuple of (int, int)
        Arguments that must not be equal: one of them is `__restrict__`, and one is written. The
        compiler may read constant memory through a cache that is not coherent with writes.
    """

    name: str
    kinds: tuple
    max_threads: int
    apart: tuple = ()

    @property
    def layout(self):
        """Memory layout of the arguments."""
        return struct.Struct("=" + "".join(_LAYOUT[kind] for kind in self.kinds))

    @property
    def adapter(self):
        """The C++ function that takes the arguments from memory."""
        args = ", ".join(f"Argument{{args + {8 * i}}}" for i in range(len(self.kinds)))
        return (
            f'extern "C" void run_{self.name}(const char* args) '
            f"{{ using cuda_on_cpu::Argument; kernel_{self.name}({args}); }}\n"
        )


def signatures(preprocessed):
    """Return the signatures of all kernels in a preprocessed source."""
    found = {}
    for match in _KERNEL.finditer(preprocessed):
        name = match["name"]
        parameters = [p.strip() for p in match["parameters"].split(",") if p.strip()]
        kinds = tuple(_kind(name, parameter) for parameter in parameters)
        bounds = match["before"] or match["after"] or MAX_THREADS
        found[name] = Signature(name, kinds, int(bounds), _apart(parameters))
    return found


def _apart(parameters):
    pointers = [(i, p) for i, p in enumerate(parameters) if "*" in p]
    return tuple(
        (i, j)
        for (i, one), (j, other) in itertools.combinations(pointers, 2)
        if "__restrict__" in one + other and not all(_is_read_only(p) for p in (one, other))
    )


def _is_read_only(parameter):
    return "const" in parameter.partition("*")[0].split()


def _kind(kernel, parameter):
    if "*" in parameter:
        return Address
    words = [word for word in parameter.split() if word != "const"]
    if len(words) == 2 and words[0] in ("int", "float"):
        return {"int": int, "float": float}[words[0]]
    raise DeviceFault(f"{kernel}: parameter {parameter!r}; kernels take pointers, int and float")


class Compiler:
    """Compiles sources, each once.

    Parameters
    ----------
    folder : Path
        Cache of the libraries.
    """

    def __init__(self, folder):
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._tag = _tag(*(file.read_bytes() for file in sorted(FOLDER.glob("cuda_on_cpu.*"))))
        self._libraries = {}

    @functools.cached_property
    def runtime(self):
        """The function that launches."""
        library = ctypes.PyDLL(str(self._runtime_path()))
        launch = library.cuda_on_cpu_launch
        pointer = ctypes.c_void_p
        launch.argtypes = (pointer, ctypes.c_char_p, _Three, _Three, ctypes.c_uint)
        launch.argtypes += (pointer, pointer, ctypes.c_int)
        launch.restype = ctypes.c_char_p
        return launch

    def library(self, source, options):
        """Return the compiled library of a source and the signatures of its kernels."""
        key = source, options
        if key not in self._libraries:
            self._libraries[key] = self._compile(source, options)
        return self._libraries[key]

    def _compile(self, source, options):
        wrong = [option for option in options if not option.startswith("-D")]
        if wrong:
            raise DeviceFault(f"options {wrong}: only -D is understood")
        name = _tag(self._tag, source, *options)
        listing, path = self._folder / f"{name}.ii", self._folder / f"{name}.so"
        if not path.exists():
            text = self._preprocess(source, options)
            with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
                scratch = Path(scratch)
                (scratch / "kernels.ii").write_text(_KERNEL.sub(_rename, text))
                runtime = self._runtime_path()
                links = ("-shared", runtime, f"-Wl,-rpath,{self._folder.resolve()}")
                output = ("-o", scratch / "kernels.so")
                _run(*COMPILE, *KERNEL_OPTIONS, scratch / "kernels.ii", *output, *links)
                listing.write_text(text)
                (scratch / "kernels.so").replace(path)
        return ctypes.CDLL(str(path)), signatures(listing.read_text())

    def _preprocess(self, source, options):
        text = (
            f'#include "cuda_on_cpu.h"\nnamespace {{\n#line 1 "kernels.cu"\n{source}\n}}\n'
            '#line 1 "adapters"\n'
        )
        command = (*COMPILE, "-w", "-DEMULATED", *options, "-I", FOLDER, "-x", "c++", "-E", "-")
        text = _DYNAMIC_SHARED.sub(_declare_dynamic_shared, _run(*command, text=text))
        return (
            text + "".join(kernel.adapter for kernel in signatures(text).values()) + _SHARED_LIMITS
        )

    def _runtime_path(self):
        path = self._folder / f"libcuda_on_cpu-{self._tag}.so"
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
                built = Path(scratch) / path.name
                options = ("-shared", f"-Wl,-soname,{path.name}", "-o", built)
                _run(*COMPILE, FOLDER / "cuda_on_cpu.cpp", *options)
                built.replace(path)
        return path


# Begin and end of the static shared memory of the library's kernels.
_SHARED_LIMITS = (
    'extern "C" char* shared_begin() { return __start_cuda_shared; }\n'
    'extern "C" char* shared_end() { return __stop_cuda_shared; }\n'
)


def _rename(match):
    # Renamed, because a kernel could have the name of a function of the C library.
    return f"void kernel_{match['name']}({match['parameters']})"


def _declare_dynamic_shared(match):
    kind, name = match["type"], match["name"]
    kind = re.sub(r"__attribute__\(\(aligned\(\d+\)\)\)", "", kind).strip()
    return f"{kind}* const {name} = reinterpret_cast<{kind}*>(cuda_on_cpu::dynamic_shared);"


def _tag(*parts):
    encoded = (part if isinstance(part, bytes) else part.encode() for part in parts)
    return hashlib.sha256(b"\0".join(encoded)).hexdigest()[:24]


def _run(*command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise DeviceFault(f"g++ refuses a kernel source:\n{done.stderr}")
    return done.stdout


class Kernel:
    """A compiled kernel of a device; call it to launch it.

    Parameters
    ----------
    device : EmulatedDevice
    name : str
    library, signatures
        What `Compiler.library` returned.
    """

    def __init__(self, device, name, library, signatures):
        if name not in signatures:
            raise DeviceFault(f"no kernel {name!r} in the source, only {sorted(signatures)}")
        self._device = device
        self._signature = signatures[name]
        self._layout = self._signature.layout
        self._entry = ctypes.cast(getattr(library, f"run_{name}"), ctypes.c_void_p)
        self._shared = [_limit(library.shared_begin), _limit(library.shared_end)]

    def __call__(self, grid, block, *args, shared_bytes=0):
        """Launch, or capture the launch."""
        launch = Launch(self._signature.name, _three(grid), _three(block), args, shared_bytes)
        self._check(launch)
        self._check_arguments(args)
        packed = self._layout.pack(*args)
        self._device.submit(launch, lambda: self._run(launch, packed))

    def _run(self, launch, packed):
        device = self._device
        message = device.compiler.runtime(
            self._entry,
            packed,
            _Three(*launch.grid),
            _Three(*launch.block),
            launch.shared_bytes,
            *self._shared,
            device.is_backwards,
        )
        if message:
            raise DeviceFault(f"{launch.name}: {message.decode()}")

    def _check(self, launch):
        name, threads = launch.name, launch.block[0] * launch.block[1] * launch.block[2]
        if not 1 <= threads <= self._signature.max_threads:
            limit = self._signature.max_threads
            raise DeviceFault(
                f"{name}: a block of {threads} threads; from 1 to {limit} are allowed"
            )
        if not all(1 <= n <= most for n, most in zip(launch.grid, MAX_GRID, strict=True)):
            raise DeviceFault(
                f"{name}: a grid of {launch.grid} blocks; 1 to {MAX_GRID} are allowed"
            )
        if not 0 <= launch.shared_bytes <= MAX_SHARED_BYTES:
            raise DeviceFault(f"{name}: {launch.shared_bytes} bytes of shared memory")

    def _check_arguments(self, args):
        name, kinds = self._signature.name, self._signature.kinds
        if len(args) != len(kinds):
            raise DeviceFault(f"{name}: {len(args)} arguments for {len(kinds)} parameters")
        for i, (arg, kind) in enumerate(zip(args, kinds, strict=True)):
            if type(arg) is not kind:
                found = type(arg).__name__
                raise DeviceFault(f"{name}: argument {i} is {arg!r} ({found}), not {kind.__name__}")
            if kind is int and not -(2**31) <= arg < 2**31:
                raise DeviceFault(f"{name}: argument {i} is {arg}, too much for an int of 32 bits")
        for i, j in self._signature.apart:
            if args[i] == args[j] != 0:
                raise DeviceFault(
                    f"{name}: arguments {i} and {j} are one address in spite of __restrict__"
                )


def _limit(function):
    function.restype = ctypes.c_void_p
    return function()


def _three(sizes):
    if isinstance(sizes, int):
        return sizes, 1, 1
    return (*sizes, 1, 1)[:3]
