// One run: its state, and tabs.

import { get } from "../api.js";
import { element, fill } from "../dom.js";
import { heading } from "../main.js";
import { t } from "../text.js";
import { showCurves } from "../tabs/curves.js";
import { showFiles } from "../tabs/files.js";

// Name in the address -> title and function of the panel, the run (answer of /api/run) and the
// query. It fills the panel and returns a function that ends what it has begun.
const TABS = {
  curves: ["Curves", showCurves],
  files: ["Files", showFiles],
};

export async function showRun(main, query) {
  const run = await get("run", { run: query.get("run") });
  const current = query.get("tab") in TABS ? query.get("tab") : "curves";
  const panel = element("div", { class: "panel" });
  const links = Object.entries(TABS).map(([name, [title]]) =>
    element("a", { href: `/run?${new URLSearchParams({ run: run.name, tab: name })}`,
      "aria-current": name === current ? "page" : null }, t(title)));
  fill(main, heading(run.name), element("nav", { "aria-label": t("Views of the run") }, links), panel);
  return TABS[current][1](panel, run, query);
}
