// The weights that a run has written, and the files of its folder.

import { address, get } from "../api.js";
import { element, fill, table } from "../dom.js";
import { refreshAfterSummaries } from "../summaries.js";
import { bytes, count, number, t } from "../text.js";

export async function showFiles(panel, run) {
  const archives = element("div");
  const weights = element("div");
  const files = element("div");
  fill(panel, weights, archives, files);
  show(run, weights, archives, files);
  return refreshAfterSummaries(async () => show(await get("run", { run: run.name }), weights, archives, files));
}

function show(run, weights, archives, files) {
  fill(weights, run.snapshots.length > 0 ? weightsTable(run)
    : element("p", { class: "empty" }, t("No weights have been written yet below the folder of this board.")));
  const kinds = ["best", "last"].filter((kind) => run.files.some((file) => file.path.startsWith(`${kind}.caffemodel`)));
  if (archives.dataset.kinds !== kinds.join()) showArchives(archives, run.name, kinds);
  fill(files, table(t("Files of the run"), [t("File"), t("Size")], run.files.map((file) => [
    element("a", { href: address("file", { run: run.name, path: file.path }), target: "_blank" }, file.path),
    bytes(file.bytes)]), { 1: "number" }));
}

function weightsTable(run) {
  const kinds = { best: t("best"), last: t("last"), snapshot: "" };
  const rows = run.snapshots.map((one) => [one.weights, kinds[one.kind], count(one.iteration),
    number(one.score), bytes(one.bytes)]);
  const output = run.score?.output ?? t("Score");
  const made = table(t("Weights"), [t("File"), t("Kind"), t("Iteration"), output, t("Size")], rows,
    { 1: "nowrap", 2: "number", 3: "number", 4: "number" });
  const shown = made.querySelector("tbody").rows;
  run.snapshots.forEach((one, k) => one.kind === "best" && shown[k].classList.add("best"));
  return made;
}

function showArchives(place, name, kinds) {
  const texts = { best: t("Archive with the best weights"), last: t("Archive with the last weights") };
  place.dataset.kinds = kinds.join();
  fill(place, element("p", { class: "row" }, kinds.map((kind) => element("a", { class: "button", download: true,
    href: address("archive", { run: name, weights: kind }) }, texts[kind]))),
    kinds.length > 0 && element("p", { class: "small" },
      t("An archive has the net to deploy, the weights, the mean and the names of the classes.")));
}
