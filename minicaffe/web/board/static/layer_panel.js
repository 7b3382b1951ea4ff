// A layer of a net: shapes, settings, and its weights over the snapshots.

import { address, get } from "./api.js";
import { element, fill, shape, table } from "./dom.js";
import { bytes, count, number, t } from "./text.js";

const [WIDTH, ROW, HEIGHT] = [360, 26, 60]; // of a histogram: width, distance, height

/**
 * Show a layer.
 * @param {Element} side  is filled
 * @param {{run, net, layer}} query
 * @param {Array<string>} names  the layer and those that change its tops in place
 * @param {function(string)} choose  called with the name of another of them
 */
export async function showLayer(side, query, names, choose) {
  side.dataset.layer = query.layer;
  const isCurrent = () => side.dataset.layer === query.layer;
  const weights = element("div");
  try {
    const layer = await get("net/layer", query);
    if (!isCurrent()) return;
    fill(side,
      element("h2", {}, layer.name),
      names.length > 1 && element("div", { class: "row" }, names.map((name) =>
        element("button", { type: "button", class: "toggle", "aria-pressed": String(name === layer.name),
          onclick: () => choose(name) }, name))),
      facts(layer),
      layer.settings && element("details", { class: "card", open: true }, element("summary", {}, t("Settings")),
        element("pre", { tabindex: 0, "aria-label": t("Settings of {name}", { name: layer.name }) }, layer.settings)),
      weights);
    await showWeights(weights, query, layer, isCurrent);
  } catch (error) {
    if (isCurrent()) side.append(element("p", { class: "error" }, error.message));
  }
}

function facts(layer) {
  const blobs = (list) => list.map((blob) =>
    element("div", {}, blob.name, " ", element("span", { class: "small" }, blob.shape ? shapeText(blob.shape) : t("shape not known"))));
  return table(null, null, [
    [t("Type"), layer.type],
    layer.bottoms.length > 0 && [t("Input"), blobs(layer.bottoms)],
    layer.tops.length > 0 && [t("Output"), blobs(layer.tops)],
    layer.parameters > 0 && [t("Parameters"), count(layer.parameters)],
    layer.multiply_adds > 0 && [t("Multiply-adds for a sample"), count(layer.multiply_adds)],
    layer.memory_bytes > 0 && [t("Memory of the output"), bytes(layer.memory_bytes)],
  ].filter(Boolean));
}

function shapeText(sizes) {
  return sizes.length > 0 ? sizes.join(" × ") : t("one number");
}

async function showWeights(place, query, layer, isCurrent) {
  if (!layer.parameters) return;
  fill(place, element("p", { class: "small" }, t("Loading…")));
  const found = await get("weights/histogram", { run: query.run, layer: query.layer });
  if (!isCurrent()) return;
  const last = found.snapshots[found.snapshots.length - 1];
  if (!last || last.blobs.length === 0) {
    fill(place, element("p", { class: "empty" }, t("There are no weights of this layer yet: they are shown after the first snapshot.")));
    return;
  }
  const shown = found.snapshots.length;
  fill(place,
    element("h3", {}, t("Weights")),
    element("p", { class: "small" }, t("{shown} of {all} snapshots, from the first (behind) to the last", { shown, all: found.n_snapshots })),
    last.blobs.map((blob, k) => parameter(found.snapshots, k)),
    found.has_filters && filters(query, found.snapshots));
}

/** Return the histograms of a parameter behind each other, and its statistics as a table. */
function parameter(snapshots, k) {
  const rows = snapshots.filter((one) => one.blobs[k]).map((one) => ({ iteration: one.iteration, ...one.blobs[k] }));
  const title = t("Parameter {k}: {shape}", { k, shape: shapeText(rows[rows.length - 1].shape) });
  const cells = rows.map((row) => [count(row.iteration ?? ""), number(row.low, 3), number(row.high, 3), number(row.average, 3),
    number(row.deviation, 3), count(row.n_zero), count(row.n_not_finite)]);
  return element("div", { class: "parameter" }, element("h4", {}, title), ridges(rows),
    element("details", {}, element("summary", {}, t("Values")),
      table(title, [t("Iteration"), t("Least"), t("Largest"), t("Mean"), t("Deviation"), t("Zeros"), t("Not finite")], cells,
        Object.fromEntries([...Array(7).keys()].map((n) => [n, "number"])))));
}

function ridges(rows) {
  const drawn = rows.filter((row) => row.counts.length > 0);
  if (drawn.length === 0) return "";
  const low = Math.min(...drawn.map((row) => row.low));
  const high = Math.max(...drawn.map((row) => row.high));
  const x = (value) => ((value - low) / (high - low || 1)) * WIDTH;
  const bottom = HEIGHT + (drawn.length - 1) * ROW;
  const curves = drawn.map((row, n) => {
    const base = HEIGHT + n * ROW;
    // Density, so that a narrow distribution is high.
    const width = (row.high - row.low) / row.counts.length || 1;
    const most = Math.max(...row.counts) / width;
    const points = row.counts.map((amount, bin) => [x(row.low + (bin + 0.5) * width), base - (amount / width / most) * (HEIGHT - 6)]);
    const outline = [[x(row.low), base], ...points, [x(row.high), base]];
    return [shape("polygon", { class: "ridge", points: outline.map((at) => at.map((v) => v.toFixed(1)).join(",")).join(" ") }),
      shape("text", { x: WIDTH + 8, y: base, class: "tick" }, row.iteration === null ? "" : count(row.iteration))];
  });
  const ends = [[0, low, "start"], [WIDTH, high, "end"]].map(([at, value, anchor]) =>
    shape("text", { x: at, y: bottom + 16, class: "tick", "text-anchor": anchor }, number(value, 3)));
  const zero = low < 0 && high > 0 && shape("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: bottom });
  return shape("svg", { class: "ridges", viewBox: `0 0 ${WIDTH + 60} ${bottom + 22}`, "aria-hidden": "true" }, zero, curves, ends);
}

/** Return the filters of a snapshot, which a slider chooses. */
function filters(query, snapshots) {
  const last = snapshots.length - 1;
  const image = element("img", { class: "picture", alt: t("Filters of {name}", { name: query.layer }) });
  const text = element("output", { class: "small" });
  const show = (k) => {
    image.src = address("weights/filters.png", { run: query.run, layer: query.layer, weights: snapshots[k].weights });
    text.textContent = t("at {iteration}", { iteration: count(snapshots[k].iteration) });
  };
  show(last);
  return element("div", {}, element("h4", {}, t("Filters")),
    last > 0 && element("label", { class: "slider" }, t("Snapshot"),
      element("input", { type: "range", min: 0, max: last, value: last, oninput: (event) => show(Number(event.target.value)) }), text),
    element("a", { href: image.src, target: "_blank", onclick: (event) => { event.currentTarget.href = image.src; } }, image));
}
