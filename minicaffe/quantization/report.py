"""The results of a study as text of up to 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

from minicaffe.quantization.findings import Study
from minicaffe.quantization.float_net import FloatNet
from minicaffe.text_width import padded

_COLUMNS = 6  # numbers of bits side by side
_LONGEST_NAME = 28
_NUMBER = 8  # columns of a score


def study_report(study: Study, net: FloatNet) -> Iterator[str]:
    """Yield the lines of all tables."""
    yield from _uniform(study)
    yield ""
    yield from _alone(study, net)
    yield ""
    yield from _found(study, net)


def _uniform(study: Study) -> Iterator[str]:
    has_activations = study.uniform[0].activations is not None
    columns = ("weights", "activations", "both") if has_activations else ("weights",)
    yield f"All layers: {study.score.name} with these numbers in small bits"
    yield f"{'bits':>8}" + "".join(f"{name:>13}" for name in columns) + f"{'bytes':>15}"
    unquantised = "".join(f"{_number(study.float_score):>13}" for _ in columns[:1])
    blank = 13 * (len(columns) - 1)
    yield f"{'floats':>8}{unquantised}{'':{blank}}{study.float_bytes:>15,}"
    for row in study.uniform:
        scores = (row.weights, row.activations, row.both)
        text = "".join(f"{_number(x):>13}" for x in scores if x is not None)
        yield f"{row.bits:>8}{text}{row.size_bytes:>15,}"


def _alone(study: Study, net: FloatNet) -> Iterator[str]:
    yield f"One layer alone: {study.score.name} with its weights in small bits, the rest in floats"
    bits = [row.bits for row in study.uniform]
    names = {name: _short(name) for name in net.products}
    width = max(len("layer"), *map(len, names.values()))
    for first in range(0, len(bits), _COLUMNS):
        shown = bits[first : first + _COLUMNS]
        yield f"{'layer':{width}}" + "".join(f"{f'{n} bits':>{_NUMBER}}" for n in shown)
        for name, short in names.items():
            cells = (f"{_number(study.alone[name, n]):>{_NUMBER}}" for n in shown)
            yield padded(short, width) + "".join(cells)


def _found(study: Study, net: FloatNet) -> Iterator[str]:
    found, floats = study.found, _number(study.float_score)
    points = "point" if study.margin == 1 else "points"
    unit = "%" if study.score.lower_is_better else points
    margin = f"within {study.margin:g} {unit} of {floats}"
    yield f"Smallest net found {margin}:" if found.is_within else f"No net is {margin}. Most bits:"
    names = {key: _short(key) for key in net.products}
    width = max(len("layer"), *map(len, names.values()))
    yield f"{'layer':{width}}{'bits':>8}{'weights':>15}"
    for key, product in net.products.items():
        bits = found.assignment[key].weights
        yield f"{padded(names[key], width)}{bits:>8}{product.weights.size:>15,}"
    share = study.float_bytes / found.size_bytes
    yield (
        f"{study.score.name} = {_number(found.score)} ({floats} in floats), "
        f"{found.size_bytes:,} bytes, {share:.1f} times smaller"
    )


def _number(value: float) -> str:
    """Return a score in up to 7 columns, more for those that are tiny."""
    return f"{value:.4f}" if value == 0 or 0.01 <= abs(value) < 100 else f"{value:.3g}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"...{name[3 - _LONGEST_NAME :]}"
