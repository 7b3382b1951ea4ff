// How a run was started, and the solver and the nets that it used.

import { get } from "../api.js";
import { element, fill, table } from "../dom.js";
import { count, date, t } from "../text.js";

export async function showSettings(panel, run) {
  const facts = [
    [t("Command"), element("code", {}, ["minicaffe", ...run.command].join(" "))],
    [t("Working directory"), element("code", {}, run.folder)],
    run.overrides.length > 0 && [t("Changed by flags"), element("code", {}, run.overrides.join(" "))],
    [t("Random seed"), String(run.seed)],
    run.images_per_iteration && [t("Images per iteration"), count(run.images_per_iteration)],
    [t("Computer"), [run.machine.host, run.machine.cpu].filter(Boolean).join(", ")],
    [t("Computed with"), run.machine.computes_with ?? ""],
    [t("Versions"), Object.entries(run.versions).map((pair) => pair.join(" ")).join(", ")],
    [t("Started"), date(run.started)],
    run.ended && [t("Ended"), date(run.ended)],
  ].filter(Boolean);
  const texts = run.files.map((file) => file.path).filter((path) => /^[^/]+\.prototxt$/.test(path))
    .sort((a, b) => b.startsWith("solver") - a.startsWith("solver"));
  fill(panel, table(t("How it was started"), null, facts),
    texts.map((path, k) => prototxt(run.name, path, k === 0)));
}

function prototxt(run, path, isOpen) {
  const text = element("pre", { tabindex: 0, "aria-label": path });
  const load = async () => {
    if (!text.textContent) text.textContent = await get("file", { run, path });
  };
  return element("details", { open: isOpen, class: "card", ontoggle: load }, element("summary", {}, path), text);
}
