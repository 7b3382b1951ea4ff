// One run: its state, live, and tabs.

import { address, get, listen } from "../api.js";
import { element, fill } from "../dom.js";
import { heading } from "../main.js";
import { stateMark, timeText } from "../run_marks.js";
import { onSummary, tellSummary } from "../summaries.js";
import { count, date, number, t } from "../text.js";
import { showCurves } from "../tabs/curves.js";
import { showData } from "../tabs/data.js";
import { showFiles } from "../tabs/files.js";
import { showLog } from "../tabs/log.js";
import { showNet } from "../tabs/net.js";
import { showSettings } from "../tabs/settings.js";
import { showTests } from "../tabs/tests.js";
import { showTry } from "../tabs/try.js";

// Name in the address -> title and function of the panel, the run (answer of /api/run) and the
// query. It fills the panel and returns a function that ends what it has begun.
const TABS = {
  curves: ["Curves", showCurves],
  net: ["Net", showNet],
  tests: ["Tests", showTests],
  try: ["Try", showTry],
  data: ["Data", showData],
  settings: ["Settings", showSettings],
  files: ["Files", showFiles],
  log: ["Log", showLog],
};

export async function showRun(main, query) {
  const run = await get("run", { run: query.get("run") });
  const current = query.get("tab") in TABS ? query.get("tab") : "curves";
  const panel = element("div", { class: "panel" });
  const facts = element("dl", { class: "facts" });
  const state = element("span");
  const links = Object.entries(TABS).map(([name, [title]]) =>
    element("a", { href: `/run?${new URLSearchParams({ run: run.name, tab: name })}`,
      "aria-current": name === current ? "page" : null }, t(title)));
  const show = (summary) => {
    fill(state, stateMark(summary));
    fill(facts, shownFacts(summary));
  };
  fill(main,
    element("div", { class: "row title" }, heading(run.name), state,
      run.snapshots.length > 0 && element("a", { class: "button", href: address("archive", { run: run.name }), download: true },
        t("Download net and weights"))),
    element("p", { class: "error", hidden: !run.error }, run.error),
    facts,
    element("nav", { class: "tabs", "aria-label": t("Views of the run") }, links),
    panel);
  show(run);
  const endSummaries = onSummary((summary) => summary.name === run.name && show(summary));
  // The tab of curves has a stream, which brings the summaries too.
  const endStream = current === "curves" ? () => {} : follow(run);
  let endTab = () => {};
  try {
    endTab = (await TABS[current][1](panel, run, query)) ?? endTab;
  } catch (error) {
    fill(panel, element("p", { class: "error" }, error.message));
  }
  return () => {
    endSummaries();
    endStream();
    endTab();
  };
}

function follow(run) {
  return listen("metrics/events", { run: run.name, after: run.next }, { summary: tellSummary });
}

function shownFacts(run) {
  const { score } = run;
  const at = (one) => one && element("span", { class: "small" }, t("at {iteration}", { iteration: count(one.iteration) }));
  const bar = element("progress", { max: Math.max(run.max_iter, 1), value: Math.min(run.iteration, run.max_iter),
    "aria-label": t("Progress of {name}", { name: run.name }) });
  const facts = [
    [t("Iterations"), [`${count(run.iteration)} / ${count(run.max_iter)}`, bar]],
    score && [t("Best {output}", score), [number(score.best?.value), at(score.best)]],
    score && [t("Last {output}", score), [number(score.last?.value), at(score.last)]],
    [t("Time"), [timeText(run)]],
    [t("Images/s"), [run.images_per_s ? count(Math.round(run.images_per_s)) : "–"]],
    [t("Started"), [element("span", { class: "plain" }, date(run.started)), element("span", { class: "small" }, run.host)]],
  ];
  return facts.filter(Boolean).map(([title, values]) =>
    element("div", {}, element("dt", {}, title),
      element("dd", {}, values.map((value) => (value instanceof Node ? value : element("span", { class: "value" }, value))))));
}
