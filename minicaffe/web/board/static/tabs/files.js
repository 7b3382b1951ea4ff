// The weights that a run has written, and the files of its folder.

import { address } from "../api.js";
import { element, fill, table } from "../dom.js";
import { bytes, count, number, t } from "../text.js";

export async function showFiles(panel, run) {
  const output = run.score?.output ?? t("Score");
  const kinds = { best: t("best"), last: t("last"), snapshot: "" };
  const weights = run.snapshots.map((one) => [one.weights, kinds[one.kind], count(one.iteration),
    number(one.score), bytes(one.bytes)]);
  const archive = (kind, text) => element("a", { class: "button", download: true,
    href: address("archive", { run: run.name, weights: kind }) }, text);
  const has = (kind) => run.snapshots.some((one) => one.weights.includes(`${kind}.caffemodel`) || one.kind === kind);
  fill(panel,
    run.snapshots.length > 0
      ? table(t("Weights"), [t("File"), t("Kind"), t("Iteration"), output, t("Size")], weights, { 2: "number", 3: "number", 4: "number" })
      : element("p", { class: "empty" }, t("No weights have been written yet below the folder of this board.")),
    element("p", { class: "row" }, has("best") && archive("best", t("Archive with the best weights")),
      has("last") && archive("last", t("Archive with the last weights"))),
    element("p", { class: "small" }, t("An archive has the net to deploy, the weights, the mean and the names of the classes.")),
    table(t("Files of the run"), [t("File"), t("Size")], run.files.map((file) => [
      element("a", { href: address("file", { run: run.name, path: file.path }), target: "_blank" }, file.path),
      bytes(file.bytes)]), { 1: "number" }));
  highlightBest(panel, run.snapshots);
}

function highlightBest(panel, snapshots) {
  const rows = panel.querySelectorAll("table")[0].tBodies[0].rows;
  snapshots.forEach((one, k) => one.kind === "best" && rows[k].classList.add("best"));
}
