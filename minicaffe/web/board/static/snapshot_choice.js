// A choice of one of the snapshots of a run; the best, or else the last, is chosen first.

import { element } from "./dom.js";
import { count, number, t } from "./text.js";

/** Return a select element whose values are paths of weights. */
export function snapshotChoice(run, onchange, chosen = null) {
  const kinds = { best: t("best"), last: t("last"), snapshot: "" };
  const best = run.snapshots.find((one) => one.kind === "best") ?? run.snapshots[run.snapshots.length - 1];
  const text = (one) => [
    one.iteration === null ? one.weights : t("iteration {iteration}", { iteration: count(one.iteration) }),
    kinds[one.kind], one.score !== null && `${run.score?.output ?? t("Score")} ${number(one.score)}`]
    .filter(Boolean).join(", ");
  return element("select", { onchange }, [...run.snapshots].reverse().map((one) =>
    element("option", { value: one.weights, selected: one.weights === (chosen ?? best.weights) }, text(one))));
}
