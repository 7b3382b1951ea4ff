// The curves of a run, and of others beside it.

import { get } from "../api.js";
import { showCurvePanel } from "../curve_panel.js";
import { element, fill } from "../dom.js";
import { go } from "../main.js";
import { runList, runMarks } from "../run_choice.js";
import { t } from "../text.js";

export async function showCurves(panel, run, query) {
  const others = [...new Set(query.getAll("with"))].filter((name) => name !== run.name);
  const names = [run.name, ...others];
  const show = ([, ...chosen]) =>
    go(`/run?${new URLSearchParams([["run", run.name], ["tab", "curves"], ...chosen.map((name) => ["with", name])])}`);
  const comparison = `/compare?${new URLSearchParams(names.map((name) => ["run", name]))}`;
  const place = element("div");
  fill(panel, others.length > 0 && element("div", { class: "row others" }, runMarks(names, show, 1),
    element("a", { href: comparison }, t("Compare settings"))), place);
  const list = element("span");
  const known = get("runs").then(({ runs }) => {
    fill(list, runList(names, runs, show));
    return runs;
  });
  known.catch(() => {}); // the stream tells that the server does not answer
  // Scores of other runs are in the list, which curves of this run alone need not wait for.
  const summaries = others.length > 0 ? await known : [run];
  const scores = Object.fromEntries(summaries.map((one) => [one.name, one.score]));
  return showCurvePanel(place, names, scores, [list]);
}
