// All runs of the folder.

import { get } from "../api.js";
import { element, fill, table } from "../dom.js";
import { heading } from "../main.js";
import { date, duration, t } from "../text.js";

export async function showRuns(main) {
  const { folder, runs } = await get("runs");
  const rows = runs.map((run) => [
    element("a", { href: `/run?${new URLSearchParams({ run: run.name })}` }, run.name),
    t(run.state), `${run.iteration}/${run.max_iter}`, duration(run.seconds), date(run.started)]);
  fill(main, heading(t("Runs")), table(folder,
    [t("Name"), t("State"), t("Iterations"), t("Time"), t("Started")], rows, { 2: "number", 3: "number" }));
}
