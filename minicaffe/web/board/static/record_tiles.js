// Records of a database as tiles; a click on one shows it large.

import { address } from "./api.js";
import { element, table } from "./dom.js";
import { count, t } from "./text.js";

/** Return a list of tiles. `place` has the run and the source. */
export function recordTiles(place, records) {
  return element("ul", { class: "tiles-small" }, records.map((one) =>
    element("li", {}, element("button", { type: "button", class: "tile", onclick: () => showRecord(place, one) },
      element("img", { src: imageAddress(place, one), alt: "", loading: "lazy" }),
      element("span", {}, one.classes.join(", ") || t("no box")), element("span", { class: "small key" }, one.key)))));
}

/** Show a record in a dialog. */
export function showRecord(place, record) {
  const [channels, rows, columns] = record.shape;
  const close = () => dialog.close();
  const dialog = element("dialog", { "aria-label": record.key, onclose: () => dialog.remove() },
    element("img", { class: Math.max(rows, columns) < 128 ? "tiny" : null, src: imageAddress(place, record, { full: 1 }),
      alt: record.classes.join(", ") }),
    table(null, null, [
      [t("Key"), record.key],
      [record.classes.length === 1 ? t("Class") : t("Classes"), record.classes.join(", ") || t("no box")],
      record.n_boxes !== null && [t("Boxes"), count(record.n_boxes)],
      [t("Size"), t("{columns} × {rows}, {channels} channels", { columns, rows, channels })],
    ].filter(Boolean)),
    element("button", { type: "button", class: "primary", onclick: close }, t("Close")));
  dialog.addEventListener("click", (event) => event.target === dialog && close());
  document.body.append(dialog);
  dialog.showModal();
}

function imageAddress({ run, source }, record, more = {}) {
  return address("data/image", { run, source, id: record.id, ...more });
}
