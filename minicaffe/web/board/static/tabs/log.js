// The log of a run, which grows while it trains.

import { address, get } from "../api.js";
import { element, fill } from "../dom.js";
import { onSummary } from "../summaries.js";
import { t } from "../text.js";

const PERIOD_MS = 2000;
const MOST_CHARACTERS = 2_000_000;

export async function showLog(panel, run) {
  let state = run.state;
  let isEnded = false;
  let timer = 0;
  let next = null;
  const text = element("pre", { class: "log", tabindex: 0, role: "log", "aria-live": "off", "aria-label": t("Log") });
  const follow = element("input", { type: "checkbox", checked: true });
  fill(panel, element("div", { class: "row toolbar" },
    element("label", {}, follow, " ", t("Follow the end")),
    element("a", { href: address("file", { run: run.name, path: "log.txt" }), target: "_blank" }, t("Whole log"))), text);

  const load = async () => {
    const more = await get("log", { run: run.name, after: next });
    if (next !== null && more.begin > next) text.textContent = "";
    next = more.next;
    if (more.text) {
      text.append(more.text);
      if (text.textContent.length > MOST_CHARACTERS) text.textContent = text.textContent.slice(-MOST_CHARACTERS / 2);
      if (follow.checked) text.scrollTop = text.scrollHeight;
    }
  };
  const again = async () => {
    // Whether it still runs is asked before the text, so that the last lines are not missed.
    const isLast = state !== "running";
    try {
      if (!document.hidden) await load();
    } catch {
      // The stream of the page tells that the server does not answer.
    }
    if (!isEnded && !isLast) timer = setTimeout(again, PERIOD_MS);
  };
  const endSummaries = onSummary((summary) => {
    const wasRunning = state === "running";
    if (summary.name === run.name) state = summary.state;
    if (!wasRunning && state === "running") again();
  });
  await load();
  if (state === "running") timer = setTimeout(again, PERIOD_MS);
  return () => {
    isEnded = true;
    clearTimeout(timer);
    endSummaries();
  };
}
