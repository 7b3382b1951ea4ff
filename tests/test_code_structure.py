"""Structure of the code base: unique names, file names, folder sizes, import cycles, lengths.

``python tests/test_code_structure.py`` prints every exception.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minicaffe"

# A layer type and its op have the same class name, in packages of the same name below these.
FAMILIES = ("minicaffe.layers", "minicaffe.ops")
# pycaffe's classes keep Caffe's names, which the classes behind the facade have too.
FACADES = ("Layer", "Net", "Solver")
# Every command has these functions; every backend has a decorator that registers kernels.
COMMON_FUNCTIONS = {"add_arguments", "run", "kernel"}
# The constructors of caffe.Classifier and caffe.Detector have Caffe's arguments.
CAFFES_ARGUMENTS = {
    "minicaffe.pycaffe.classifier.Classifier.__init__",
    "minicaffe.pycaffe.detector.Detector.__init__",
}
# Method names that public classes of several packages have, with their one meaning.
SHARED_METHODS = {
    "add": "append or accumulate a value",
    "backward": "compute gradients",
    "close": "release files, threads and handles; may be called again",
    "count": "the number of values or records",
    "create": "return a new object that this one manages",
    "error": "raise an error for a place in the input",
    "format": "as in the library whose class is extended, or the layout of a tensor",
    "forward": "compute outputs",
    "fuse": "fuse ops into the kernel before them",
    "infer": "compute outputs of arrays with a trained net",
    "is_done": "whether a future's result is there",
    "label": "the class of an image",
    "layout": "the layout in memory",
    "map": "apply a function to items on worker threads, as concurrent.futures does",
    "mean": "the arithmetic mean, or the mean image",
    "name": "the name in messages",
    "of": "make an object from another one",
    "of_json": "make an object from JSON",
    "offset": "the distance from the beginning",
    "position": "where reading continues, or a position in a text",
    "prepare": "make ready for the next run",
    "put": "store under a key",
    "raise_if_any": "raise the errors collected so far",
    "read": "return the values",
    "require": "raise an error unless a condition holds",
    "reshape": "change the shape",
    "restore": "restore what `state` or `position` returned, or a snapshot",
    "result": "wait for a future and return its value",
    "run": "do the work once",
    "shape": "sizes of the axes",
    "skip_batches": "advance as forward passes do, without computing",
    "state": "what exact resuming needs",
    "take": "take objects out of a pool, or records from a source",
    "update": "change values or parameters in place",
    "values": "the values, in order",
    "where": "file and line, as messages begin",
    "write": "overwrite or store values",
}
# Folders with one file per entry.
REGISTRIES = ("layers", "ops", "cli/commands", "backends/*/kernels")

MAX_FILES = 20
MAX_MODULE_LINES = 399
MAX_LAYER_LINES = 149
MAX_FUNCTION_LINES = 40
MAX_ARGUMENTS = 6


@cache
def modules() -> dict[str, ast.Module]:
    """Return the syntax tree of each module by its full name, generated modules excluded."""
    trees = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if not name.endswith("_pb2"):
            trees[name] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


def path_of(module: str) -> Path:
    """Return the file of a module."""
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def package_of(module: str) -> str:
    """Return the package that contains a module; a package contains its own __init__."""
    return module if path_of(module).name == "__init__.py" else module.rpartition(".")[0]


def is_registry(folder: Path) -> bool:
    """Return whether a folder has one file per entry."""
    return any(folder.relative_to(PACKAGE).match(pattern) for pattern in REGISTRIES)


def is_decorated(node: ast.stmt, decorator: str) -> bool:
    """Return whether a class or function has a decorator that is a call of this name."""
    return any(ast.unparse(d).startswith(f"{decorator}(") for d in node.decorator_list)


def definitions(kind: type[ast.stmt]) -> dict[str, list[str]]:
    """Return the modules that define each public top-level name of a kind.

    Functions with the decorator `kernel` are excluded, because no other module uses their names;
    so are overloads, which describe one function.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for module, tree in modules().items():
        for node in tree.body:
            if not isinstance(node, kind) or node.name[0] == "_":
                continue
            is_overload = any(ast.unparse(d) == "overload" for d in node.decorator_list)
            if not is_overload and not is_decorated(node, "kernel"):
                found[node.name].append(module)
    return found


def is_type_and_op(where: list[str]) -> bool:
    """Return whether two modules are those of a layer type and its op."""
    below = [package_of(module).partition(f"{FAMILIES[i]}") for i, module in enumerate(where[:2])]
    return len(where) == 2 and below[0][0] == below[1][0] == "" and below[0][2] == below[1][2]


def class_collisions() -> Iterator[str]:
    """Yield the public classes that several modules define, families and facades excluded."""
    for name, where in definitions(ast.ClassDef).items():
        if name in FACADES:
            where = [module for module in where if not module.startswith("minicaffe.pycaffe.")]
        if len(where) > 1 and not is_type_and_op(where):
            yield f"class {name}: {', '.join(where)}"


def function_collisions() -> Iterator[str]:
    """Yield the public functions that several modules define at top level."""
    for name, where in definitions(ast.FunctionDef).items():
        if len(where) > 1 and name not in COMMON_FUNCTIONS:
            yield f"def {name}: {', '.join(where)}"


def method_collisions() -> Iterator[str]:
    """Yield the public methods that classes of several packages define, if not `SHARED_METHODS`."""
    packages = defaultdict(set)
    for module, tree in modules().items():
        package = [*module.split("."), ""][1]
        if package in ("layers", "ops", "pycaffe") or ".kernels" in module or ".emitters" in module:
            continue
        if package == "onnx_export":
            package = "backends"  # it is one more
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                for child in node.body:
                    if isinstance(child, ast.FunctionDef) and not child.name.startswith("_"):
                        packages[child.name].add(package)
    for name, where in packages.items():
        if len(where) > 1 and name not in SHARED_METHODS:
            yield f"def {name}: methods in {', '.join(sorted(where))}"


def kernels_without_op() -> Iterator[str]:
    """Yield the public files of kernels folders that are not named like a file of ops."""
    ops = {
        path.relative_to(PACKAGE / "ops").with_suffix("") for path in PACKAGE.rglob("ops/**/*.py")
    }
    for kernels in sorted(PACKAGE.glob("backends/*/kernels")):
        for path in sorted(p for p in kernels.rglob("*.*") if p.suffix in (".py", ".cu", ".cuh")):
            op = path.relative_to(kernels).with_suffix("")
            if not op.stem.startswith("_") and op not in ops:
                yield str(path.relative_to(PACKAGE))


def large_folders() -> Iterator[str]:
    """Yield the folders with too many files; registries and generated files do not count."""
    for folder in sorted({path.parent for path in PACKAGE.rglob("*.py")}):
        files = [path for path in folder.iterdir() if path.suffix in (".py", ".cu", ".cuh")]
        files = [path for path in files if not path.stem.endswith("_pb2")]
        if len(files) > MAX_FILES and not is_registry(folder):
            yield f"{folder.relative_to(ROOT)}: {len(files)} files"


def imports(module: str) -> set[str]:
    """Return the modules that a module imports, also in functions and under TYPE_CHECKING."""
    found = set()
    for node in ast.walk(modules()[module]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule in modules() else str(node.module))
    return (found & set(modules())) - {module}


def import_cycles() -> Iterator[str]:
    """Yield the sets of modules that import each other (strongly connected components)."""
    graph = {module: imports(module) for module in modules()}
    reachable = {module: _reachable(graph, module) for module in graph}
    cycles = {
        tuple(m for m in sorted(reachable[module]) if module in reachable[m])
        for module in graph
        if module in reachable[module]
    }
    yield from sorted(" <-> ".join(cycle) for cycle in cycles)


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """Return the modules that a module imports directly or indirectly."""
    found: set[str] = set()
    frontier = [start]
    while frontier:
        new = graph[frontier.pop()] - found
        found |= new
        frontier += new
    return found


def long_modules() -> Iterator[str]:
    """Yield the modules that are too long; modules that register a layer have a lower limit."""
    for module, tree in modules().items():
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        is_layer = any(is_decorated(node, "register") for node in classes)
        lines = len(path_of(module).read_text(encoding="utf-8").splitlines())
        if lines > (MAX_LAYER_LINES if is_layer else MAX_MODULE_LINES):
            yield f"{module}: {lines} lines"


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield every function and method with its full name."""
    for module, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.Module):
                owner = node.name if isinstance(node, ast.ClassDef) else ""
                for child in node.body:
                    if isinstance(child, ast.FunctionDef):
                        yield ".".join(filter(None, (module, owner, child.name))), child


def long_functions() -> Iterator[str]:
    """Yield the functions that are too long, without decorators and docstring."""
    for name, node in functions():
        lines = node.end_lineno - node.lineno + 1
        if ast.get_docstring(node) is not None:
            lines -= node.body[0].end_lineno - node.body[0].lineno + 1
        if lines > MAX_FUNCTION_LINES:
            yield f"{name}: {lines} lines"


def functions_with_many_arguments() -> Iterator[str]:
    """Yield the functions with too many arguments, without self and cls."""
    for name, node in functions():
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        n = sum(argument.arg not in ("self", "cls") for argument in arguments)
        if n > MAX_ARGUMENTS and name not in CAFFES_ARGUMENTS:
            yield f"{name}: {n} arguments"


CHECKS = {
    class_collisions: "A public class name occurs once; rename the class in one module",
    function_collisions: "A public function name occurs once; rename the function in one module",
    method_collisions: "A method name has one meaning; rename it, or describe it in SHARED_METHODS",
    kernels_without_op: "A kernel file has the name of its op's file; begin helpers with _",
    large_folders: f"A folder has at most {MAX_FILES} files; divide it into packages",
    import_cycles: "Modules must not import each other; move the shared part to a module below",
    long_modules: f"A module has at most {MAX_MODULE_LINES} lines, a layer {MAX_LAYER_LINES}",
    long_functions: f"A function has at most {MAX_FUNCTION_LINES} lines; extract a function",
    functions_with_many_arguments: f"A function has at most {MAX_ARGUMENTS} arguments; make a "
    "frozen record of them",
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_structure(check):
    found = list(check())
    assert not found, "\n    ".join([f"{CHECKS[check]}:", *found])


@pytest.fixture
def bad_package(tmp_path, monkeypatch):
    """A package with an exception to every rule."""
    arguments = ", ".join("abcdefg")
    lines = "    pass\n" * MAX_FUNCTION_LINES
    files = {
        "net/net.py": "from minicaffe.data import source\ndef make(): ...\n"
        "class Thing:\n    def go(self): ...\n",
        "data/source.py": "def make():\n    import minicaffe.net.net\n"
        "class Thing:\n    def go(self): ...\n",
        "ops/pool.py": "class Pool: ...\n",
        "ops/family/box.py": "class Box: ...\n",
        "layers/family/box.py": "class Box: ...\n",
        "backends/cuda/kernels/family/box.py": "",
        "layers/pooling.py": "@register('Pooling')\nclass Pool: ...\n" + MAX_LAYER_LINES * "#\n",
        "backends/cuda/kernels/pol.py": f"def long({arguments}):\n{lines}",
        **{f"solver/f{number}.py": "" for number in range(MAX_FILES + 1)},
    }
    for name, text in files.items():
        path = tmp_path / "minicaffe" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path / "minicaffe")
    modules.cache_clear()
    yield
    modules.cache_clear()


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (class_collisions, "class Thing: minicaffe.data.source, minicaffe.net.net"),
        (function_collisions, "def make: minicaffe.data.source, minicaffe.net.net"),
        (method_collisions, "def go: methods in data, net"),
        (kernels_without_op, "backends/cuda/kernels/pol.py"),
        (large_folders, "minicaffe/solver: 21 files"),
        (import_cycles, "minicaffe.data.source <-> minicaffe.net.net"),
        (long_modules, "minicaffe.layers.pooling: 151 lines"),
        (long_functions, "minicaffe.backends.cuda.kernels.pol.long: 41 lines"),
        (functions_with_many_arguments, "minicaffe.backends.cuda.kernels.pol.long: 7 arguments"),
    ],
)
def test_each_check_finds_its_exception(bad_package, check, expected):
    assert list(check()) == [expected]


if __name__ == "__main__":
    for check, rule in CHECKS.items():
        print("\n    ".join([rule, *check()]))
