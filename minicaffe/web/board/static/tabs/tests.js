// Tests of snapshots: confusion matrix, table of the classes, most confident mistakes.

import { get, send } from "../api.js";
import { element, fill } from "../dom.js";
import { confusionView } from "../confusion_view.js";
import { go, tell } from "../main.js";
import { runAddress } from "../run_marks.js";
import { snapshotChoice } from "../snapshot_choice.js";
import { count, date, t } from "../text.js";

const PERIOD_MS = 700;

export async function showTests(panel, run, query) {
  const place = element("div");
  const progress = element("div", { role: "status" });
  let isEnded = false;
  let timer = 0;
  let { results, progress: state, batches } = await get("tests", { run: run.name });
  const choice = run.snapshots.length > 0 && snapshotChoice(run, () => {});
  const number = element("input", { type: "number", min: 1, max: 1000000, value: batches, class: "short" });

  const follow = async () => {
    const before = state?.is_running;
    try {
      ({ results, progress: state } = await get("tests", { run: run.name }));
    } catch {
      // The stream of the page tells that the server does not answer.
    }
    if (isEnded) return;
    if (state?.is_running) timer = setTimeout(follow, PERIOD_MS);
    else if (before && results.some((one) => one.result === state.result) && !state.error) {
      go(runAddress(run.name, { tab: "tests", result: state.result }));
      return;
    }
    showProgress();
  };
  const begin = async (event) => {
    event.preventDefault();
    try {
      state = await send("POST", "tests", { run: run.name, weights: choice.value }, { batches: Number(number.value) });
      showProgress();
      timer = setTimeout(follow, PERIOD_MS);
    } catch (error) {
      tell(error.message, true);
    }
  };
  const cancel = () => send("DELETE", "tests", { run: run.name }).catch((error) => tell(error.message, true));
  const showProgress = () => {
    if (state?.is_running) {
      const text = t("{batch} of {batches} batches", { batch: count(state.batch), batches: count(state.batches) });
      fill(progress, element("div", { class: "row" },
        element("progress", { max: state.batches, value: state.batch, "aria-label": t("Progress of the test") }), text,
        element("button", { type: "button", onclick: cancel }, t("Cancel"))));
    } else fill(progress, state?.error && element("p", { class: "error" }, state.error));
  };

  const shown = results.find((one) => one.result === query.get("result")) ?? results[0];
  const form = choice && element("form", { class: "row toolbar", onsubmit: begin },
    element("label", {}, t("Weights"), " ", choice), element("label", {}, t("Batches"), " ", number),
    element("button", { class: "primary" }, t("Test")));
  const older = results.length > 0 && element("label", {}, t("Result"), " ", element("select", {
    onchange: (event) => go(runAddress(run.name, { tab: "tests", result: event.target.value })) },
  results.map((one) => element("option", { value: one.result, selected: one === shown },
    `${resultName(one.result)} (${date(new Date(one.time * 1000).toISOString())})`))));
  fill(panel,
    form || element("p", { class: "empty" }, t("A snapshot can be tested when the training has written one.")),
    progress, older,
    results.length === 0 && element("p", { class: "empty" },
      t("There is no confusion matrix yet. Test a snapshot here, or with minicaffe test --confusion and a folder in the run.")),
    place);
  showProgress();
  if (state?.is_running) timer = setTimeout(follow, PERIOD_MS);
  if (shown) {
    const found = await get("tests/result", { run: run.name, result: shown.result });
    fill(place, confusionView(found, run.name));
  }
  return () => {
    isEnded = true;
    clearTimeout(timer);
  };
}

function resultName(folder) {
  const found = /^confusion-(\d+)$/.exec(folder);
  return found ? t("iteration {iteration}", { iteration: count(Number(found[1])) }) : folder;
}
