"""Table of a predicted training on several nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from minicaffe.analysis.iteration_times import measure_iterations, profile_of
from minicaffe.analysis.scaling import IterationProfile, predict
from minicaffe.cli.options.nodes import Nodes
from minicaffe.errors import NetError
from minicaffe.log import log_result, logger
from minicaffe.net import Net

# Iterations of a node that does nothing else vary by a few percent at most.
_LARGE_SPREAD = 0.1
_ASSUMPTIONS = (
    "Assumed: n nodes sum S bytes in 2 ceil(log2 n) alpha + 2 (n-1)/n S/beta.",
    "Assumed: buckets are summed one after the other, by a thread that keeps a core busy.",
    "Assumed: the slowest node is late by the standard deviation times the expected maximum of n "
    "normal numbers.",
    "Assumed: data is always ready.",
)


def log_scaling(net: Net, nodes: Nodes, iterations: int, layer_backward_s: Sequence[float]) -> None:
    """Measure whole iterations, and log what they are predicted to take on several nodes.

    Parameters
    ----------
    net : Net
    nodes : Nodes
    iterations : int
        Number of iterations to measure.
    layer_backward_s : sequence of float
        Time of the backward pass of each step of the net.
    """
    logger.info(f"Measuring {iterations} whole iterations.")
    measured = profile_of(net, measure_iterations(net, iterations), layer_backward_s)
    if not measured.buckets:
        raise NetError(
            f"{net.name or 'the net'}: --nodes: no gradient of a parameter is computed, so there "
            "is nothing to sum. Give a training net with a loss"
        )
    profile = measured.on_faster_nodes(nodes.speed).with_gradients_of(nodes.gradient_share)
    if nodes.spread is not None:
        profile = replace(profile, deviation_s=nodes.spread * profile.iteration_s)
    elif profile.deviation_s > _LARGE_SPREAD * profile.iteration_s:
        logger.warning(
            f"Iterations vary by {100 * profile.deviation_s / profile.iteration_s:.2g} %, as if "
            "the machine did other work; the prediction assumes that of all nodes. Measure again, "
            "or set --spread, such as --spread=1"
        )
    log_result("*** Prediction begins ***")
    log_result(_description(profile, nodes))
    log_result(f"Link: {nodes.link_text}.")
    for line in (*_ASSUMPTIONS, *scaling_lines(profile, nodes)):
        log_result(line)
    log_result("*** Prediction ends ***")


def _description(profile: IterationProfile, nodes: Nodes) -> str:
    what = "Measured" if nodes.speed == 1 else f"Measured, at {nodes.speed:g} times the speed"
    size_mb = sum(bucket.size_bytes for bucket in profile.buckets) / 1e6
    n = len(profile.buckets)
    is_given = nodes.spread is not None
    return (
        f"{what}: forward {profile.forward_s * 1e3:.4g} ms, "
        f"backward {profile.backward_s * 1e3:.4g} ms, "
        f"update {profile.update_s * 1e3:.4g} ms, standard deviation "
        f"{100 * profile.deviation_s / profile.iteration_s:.2g} %{' (given)' if is_given else ''}; "
        f"backward at {100 * profile.shared_speed:.0f} % of its speed beside a busy thread; "
        f"{profile.images} images a node; {size_mb:.4g} MB of gradients in {n} "
        f"bucket{'s' if n > 1 else ''}."
    )


def scaling_lines(profile: IterationProfile, nodes: Nodes) -> list[str]:
    """Return the lines of the table, its head first."""
    lines = [
        f"{'nodes':>6} {'iteration':>12} {'images/s':>10} {'communication':>14} {'hidden':>7} "
        f"{'stragglers':>12} {'efficiency':>10}"
    ]
    for n in nodes.counts:
        found = predict(profile, nodes.link, n)
        hidden = f"{100 * found.hidden_share:.0f} %" if found.communication_s else "-"
        lines.append(
            f"{n:>6} {found.iteration_s * 1e3:>9.2f} ms {found.images_per_s:>10.1f} "
            f"{found.communication_s * 1e3:>11.2f} ms {hidden:>7} "
            f"{found.stragglers_s * 1e3:>9.2f} ms {100 * found.efficiency:>8.1f} %"
        )
    return lines
