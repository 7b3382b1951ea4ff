// The curves of a run, and of others beside it.

import { get } from "../api.js";
import { showCurvePanel } from "../curve_panel.js";
import { element, fill } from "../dom.js";
import { go } from "../main.js";
import { runChoice } from "../run_choice.js";
import { t } from "../text.js";

export async function showCurves(panel, run, query) {
  const { runs } = await get("runs");
  const known = new Map(runs.map((one) => [one.name, one]));
  const others = query.getAll("with").filter((name) => known.has(name) && name !== run.name);
  const names = [run.name, ...others];
  const show = ([, ...chosen]) =>
    go(`/run?${new URLSearchParams([["run", run.name], ["tab", "curves"], ...chosen.map((name) => ["with", name])])}`);
  const { chips, list } = runChoice(names, [...known.keys()], show, 1);
  const place = element("div");
  const comparison = `/compare?${new URLSearchParams(names.map((name) => ["run", name]))}`;
  fill(panel, others.length > 0 && element("div", { class: "row others" }, chips,
    element("a", { href: comparison }, t("Compare settings"))), place);
  const scores = Object.fromEntries(names.map((name) => [name, known.get(name)?.score]));
  return showCurvePanel(place, names, scores, list);
}
