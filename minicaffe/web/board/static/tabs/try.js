// An image of the reader: the best classes, objects or a mask, and what each layer computes.

import { address, send } from "../api.js";
import { element, fill, shape, table } from "../dom.js";
import { tell } from "../main.js";
import { snapshotChoice } from "../snapshot_choice.js";
import { bytes, count, number, t } from "../text.js";

const LEAST_SCORE = 0.5;
const KINDS = "image/*,.bmp,.tif,.tiff,.ppm,.pgm";

export async function showTry(panel, run) {
  if (run.snapshots.length === 0) {
    fill(panel, element("p", { class: "empty" }, t("An image can be tried when the training has written a snapshot.")));
    return undefined;
  }
  let url = "";
  let file = null;
  let visit = 0;
  const result = element("div", { class: "result", "aria-live": "polite" });
  const choice = snapshotChoice(run, () => file && answer(file));
  const choose = () => {
    if (input.files[0]) answer(input.files[0]);
    input.value = ""; // otherwise the same file, changed, could not be chosen again
  };
  const input = element("input", { type: "file", accept: KINDS, onchange: choose });
  const zone = element("label", { class: "drop" }, input,
    element("span", {}, t("Drop an image here, paste it, or choose a file")));

  const answer = async (given) => {
    const current = ++visit;
    file = given;
    URL.revokeObjectURL(url);
    url = URL.createObjectURL(given);
    fill(result, element("p", { class: "small" }, t("Computing…")));
    const form = new FormData();
    form.append("image", given, given.name || "image");
    try {
      const found = await send("POST", "try", { run: run.name, weights: choice.value }, form);
      if (current === visit) fill(result, ...shownAnswer(found, url, given));
    } catch (error) {
      if (current === visit) fill(result, element("p", { class: "error" }, error.message));
    }
  };
  const take = (event, files) => {
    const image = [...(files ?? [])][0];
    if (!image) return;
    event.preventDefault();
    zone.classList.remove("over");
    answer(image);
  };
  const over = (event) => {
    event.preventDefault();
    zone.classList.add("over");
  };
  const drop = (event) => {
    event.preventDefault(); // otherwise the browser opens the file
    zone.classList.remove("over");
    if (event.dataTransfer.files.length === 0) tell(t("Drop an image file; an image of a page can be copied and pasted."), true);
    take(event, event.dataTransfer.files);
  };
  const leave = (event) => event.relatedTarget === null && zone.classList.remove("over");
  const paste = (event) => take(event, event.clipboardData?.files);
  const handlers = { dragover: over, dragleave: leave, drop, paste };
  for (const [name, handle] of Object.entries(handlers)) document.addEventListener(name, handle);
  fill(panel, element("div", { class: "row toolbar" }, element("label", {}, t("Weights"), " ", choice)), zone, result);
  return () => {
    for (const [name, handle] of Object.entries(handlers)) document.removeEventListener(name, handle);
    URL.revokeObjectURL(url);
  };
}

function shownAnswer(found, url, file) {
  const about = `${file.name || t("Image")}, ${found.size[1]} × ${found.size[0]}, ${bytes(file.size)}, ${number(found.seconds * 1000, 3)} ms`;
  const image = element("img", { src: url, alt: file.name || t("Image"), class: Math.max(...found.size) < 64 ? "tiny" : null });
  const picture = element("div", { class: "stage" }, image);
  const shown = { classify: classes, detect: objects, segment: mask }[found.task](found, picture);
  return [element("div", { class: "answer" },
    element("figure", {}, picture, element("figcaption", { class: "small" }, about)),
    element("div", {}, shown)), activations(found)];
}

function classes(found) {
  const rows = found.classes.map((one) => [one.class, element("span", { class: "share" },
    element("progress", { max: 1, value: Math.min(Math.max(one.score, 0), 1), "aria-label": one.class }), number(one.score, 4))]);
  return table(t("Classes"), [t("Class"), t("Score")], rows);
}

/** Show the boxes of objects over the image, and a slider for the least score. */
function objects(found, picture) {
  const [rows, columns] = found.size;
  const overlay = shape("svg", { viewBox: `0 0 ${columns} ${rows}`, "aria-hidden": "true" });
  const list = element("div");
  const px = Math.max(columns, rows) / 28;
  const show = (least) => {
    const above = found.objects.filter((one) => one.score >= least);
    fill(overlay, above.map((one) => {
      const [x0, y0, x1, y1] = one.box;
      const kind = `c${one.label % 6}`;
      return [shape("rect", { class: `box ${kind}`, x: x0, y: y0, width: Math.max(x1 - x0, 1), height: Math.max(y1 - y0, 1) }),
        shape("text", { class: `box ${kind}`, x: x0, y: Math.max(y0 - px / 4, px), "font-size": px }, `${one.class} ${number(one.score, 2)}`)];
    }));
    fill(list, above.length === 0
      ? element("p", { class: "empty" }, t("No object has this score."))
      : table(t("Objects"), [t("Class"), t("Score"), t("Box: left, top, right, bottom")], above.map((one) =>
        [one.class, number(one.score, 4), one.box.map((side) => number(side, 4)).join(", ")]), { 1: "number" }));
  };
  picture.append(overlay);
  show(LEAST_SCORE);
  return element("div", {}, element("label", { class: "slider" }, t("Least score"),
    element("input", { type: "range", min: 0.05, max: 1, step: 0.05, value: LEAST_SCORE,
      oninput: (event) => show(Number(event.target.value)) })), list);
}

function mask(found, picture) {
  const overlay = element("img", { class: "mask", alt: t("Mask"), src: `data:image/png;base64,${found.mask}` });
  const dim = (value) => overlay.setAttribute("class", `mask o${value}`);
  picture.append(overlay);
  dim(6);
  const all = found.size[0] * found.size[1];
  return element("div", {}, element("label", { class: "slider" }, t("Mask"),
    element("input", { type: "range", min: 0, max: 10, value: 6, oninput: (event) => dim(event.target.value) })),
    table(t("Classes"), [t("Class"), t("Pixels"), t("Share")], found.classes.map((one) =>
      [[swatch(one.label), " ", one.class], count(one.pixels), `${number((100 * one.pixels) / all, 3)} %`]), { 1: "number", 2: "number" }));
}

/** Return a field in the colour of a class in masks: its bits go to red, green and blue in turns. */
function swatch(label) {
  const channel = (k) => [0, 1, 2].reduce((sum, bit) => sum | (((label >> (3 * bit + k)) & 1) << (7 - bit)), 0);
  return shape("svg", { class: "swatch", width: 14, height: 14, "aria-hidden": "true" },
    shape("rect", { width: 14, height: 14, fill: `rgb(${channel(0)}, ${channel(1)}, ${channel(2)})` }));
}

function activations(found) {
  const image = element("img", { class: "picture", alt: t("Activations") });
  const show = (name) => {
    image.src = address("try/activation.png", { trial: found.trial, blob: name });
    image.alt = t("Activations of {name}", { name });
  };
  // The first blob after the input is what a reader looks for.
  const first = found.blobs[Math.min(1, found.blobs.length - 1)].name;
  const choice = element("select", { onchange: () => show(choice.value) }, found.blobs.map((blob) =>
    element("option", { value: blob.name, selected: blob.name === first }, `${blob.name} (${blob.shape.slice(1).join(" × ")})`)));
  show(first);
  return element("section", {}, element("h2", {}, t("Activations")),
    element("label", {}, t("Blob"), " ", choice), image);
}
