// Settings and scores of several runs, and their curves together.

import { get } from "../api.js";
import { showCurvePanel } from "../curve_panel.js";
import { element, fill } from "../dom.js";
import { go, heading } from "../main.js";
import { runList, runMarks } from "../run_choice.js";
import { stateText } from "../run_marks.js";
import { refreshAfterSummaries } from "../summaries.js";
import { t } from "../text.js";

export async function showCompare(main, query) {
  const { runs } = await get("runs");
  const known = new Map(runs.map((run) => [run.name, run]));
  const names = [...new Set(query.getAll("run"))];
  const title = heading(t("Comparison"));
  const choice = element("div", { class: "row others" }, runMarks(names, show), runList(names, runs, show));
  if (names.length < 2) {
    fill(main, title, element("p", { class: "empty" }, t("Choose at least two runs.")), choice);
    return undefined;
  }
  const tables = element("div", { class: "comparison" });
  const place = element("div");
  const showTables = async () => fill(tables, comparison((await get("compare", { run: names })).rows));
  await showTables();
  fill(main, title, choice, tables, place);
  const scores = Object.fromEntries(names.map((name) => [name, known.get(name).score]));
  const endCurves = await showCurvePanel(place, names, scores);
  const endTables = refreshAfterSummaries(showTables);
  return () => {
    endTables();
    endCurves();
  };
}

function show(names) {
  go(`/compare?${new URLSearchParams(names.map((name) => ["run", name]))}`);
}

// The settings that differ come first, then the results.
function comparison([head, ...rows]) {
  const firstResult = rows.findIndex(([name]) => name === "state");
  const settings = rows.slice(0, firstResult);
  const results = rows.slice(firstResult).map(([name, ...values]) =>
    [resultText(name), ...values.map((value) => (name === "state" ? stateText(value) : value))]);
  return [comparisonTable(t("Results"), head, results),
    settings.length > 0
      ? comparisonTable(t("Settings that differ"), head, settings)
      : element("p", { class: "small" }, t("The settings do not differ."))];
}

/** Return the text of a row of results, which has the name that `minicaffe runs` prints. */
function resultText(name) {
  const texts = { state: t("State"), iterations: t("Iterations"), time: t("Time"), "images/s": t("Images/s") };
  const [, kind, output, isPlace] = /^(best|last) (.*?)( at iteration)?$/.exec(name) ?? [];
  if (isPlace) return t("Iteration of the best {output}", { output });
  if (kind) return kind === "best" ? t("Best {output}", { output }) : t("Last {output}", { output });
  return texts[name] ?? name;
}

function comparisonTable(title, head, rows) {
  return element("div", { class: "wide", tabindex: 0, role: "region", "aria-label": title },
    element("table", { class: "compare" }, element("caption", {}, title),
      element("thead", {}, element("tr", {}, element("td"), head.slice(1).map((name, k) =>
        element("th", { scope: "col", class: `run c${k % 6}` }, name)))),
      element("tbody", {}, rows.map(([name, ...values]) =>
        element("tr", {}, element("th", { scope: "row" }, name), values.map((value) => element("td", {}, value)))))));
}
