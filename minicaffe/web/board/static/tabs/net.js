// The net of a run as a drawing; a click on a layer shows it beside.

import { get } from "../api.js";
import { element, fill } from "../dom.js";
import { showLayer } from "../layer_panel.js";
import { go } from "../main.js";
import { panZoom } from "../pan_zoom.js";
import { runAddress } from "../run_marks.js";
import { count, t } from "../text.js";

export async function showNet(panel, run, query) {
  const net = await get("net", { run: run.name, net: query.get("net") });
  const drawing = document.importNode(
    new DOMParser().parseFromString(net.svg, "image/svg+xml").documentElement, true);
  drawing.classList.add("net");
  const { frame, tools, show } = panZoom(drawing);
  const side = element("section", { class: "layer", "aria-live": "polite", "aria-label": t("Layer") });
  const names = net.nodes.flat();
  const choice = element("select", { "aria-label": t("Layer"), onchange: () => open(choice.value, true) },
    names.map((name) => element("option", { value: name }, name)));
  const groups = [...drawing.querySelectorAll("[data-node]")];

  const open = (name, isShown) => {
    const number = net.nodes.findIndex((node) => node.includes(name));
    groups.forEach((group, k) => {
      group.classList.toggle("chosen", k === number);
      group.setAttribute("tabindex", k === number ? 0 : -1);
      group.setAttribute("aria-pressed", k === number);
    });
    choice.value = name;
    if (isShown) show(groups[number]);
    showLayer(side, { run: run.name, net: net.net, layer: name }, net.nodes[number], (other) => open(other, false));
  };
  groups.forEach((group, k) => prepare(group, net.nodes[k], () => open(net.nodes[k][0], false), (step) => {
    const next = groups[Math.min(Math.max(k + step, 0), groups.length - 1)];
    next.focus({ preventScroll: true });
    show(next);
  }));
  fill(panel,
    element("div", { class: "row toolbar" },
      net.nets.length > 1 && element("label", {}, t("Net"), " ", element("select", {
        onchange: (event) => go(runAddress(run.name, { tab: "net", net: event.target.value })) },
      net.nets.map((name) => element("option", { value: name, selected: name === net.net }, name)))),
      element("label", {}, t("Layer"), " ", choice),
      element("span", { class: "small" }, t("{n} parameters, {m} multiply-adds for each of {batch} samples", {
        n: count(net.parameters), m: count(Math.round(net.multiply_adds / net.batch)), batch: count(net.batch) }))),
    net.notes.map((note) => element("p", { class: "small" }, note)),
    element("div", { class: "net" },
      element("div", { class: "drawing" }, element("div", { class: "row" }, tools,
        element("span", { class: "small hint" }, t("Drag to move, Ctrl and wheel to zoom"))), frame),
      side));
  if (names.length > 0) open(names.find((name) => name === query.get("layer")) ?? names[0], false);
}

/** Make a group of the drawing a button: arrow keys go to its neighbours. */
function prepare(group, names, choose, step) {
  group.setAttribute("role", "button");
  group.setAttribute("aria-label", names.join(", "));
  group.addEventListener("click", choose);
  group.addEventListener("keydown", (event) => {
    const actions = { Enter: choose, " ": choose, ArrowDown: () => step(1), ArrowRight: () => step(1),
      ArrowUp: () => step(-1), ArrowLeft: () => step(-1) };
    if (!(event.key in actions)) return;
    actions[event.key]();
    event.preventDefault();
  });
}
