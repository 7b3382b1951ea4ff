// Records of a database as tiles; a click on one shows it large.

import { address, get } from "./api.js";
import { element, table } from "./dom.js";
import { tell } from "./main.js";
import { count, t } from "./text.js";

/** Return a list of tiles. `place` has the run and the source. */
export function recordTiles(place, records) {
  return tiles(records.map((one) => ({ src: imageAddress(place, one), onclick: () => showRecord(place, one),
    lines: [one.classes.join(", ") || t("no box"), element("span", { class: "small key" }, one.key)] })));
}

/**
 * Return a list of tiles of records that are known by their keys.
 * @param {{run, source}} place
 * @param {Array<[string, Array]>} records  key, and lines of text
 */
export function keyTiles(place, records) {
  const query = (key) => ({ run: place.run, source: place.source, key });
  return tiles(records.map(([key, lines]) => ({ src: address("data/image", query(key)), lines,
    onclick: async () => {
      try {
        showRecord(place, (await get("data/records", query(key))).records[0]);
      } catch (error) {
        tell(error.message, true);
      }
    } })));
}

function tiles(shown) {
  return element("ul", { class: "tiles-small" }, shown.map(({ src, onclick, lines }) =>
    element("li", {}, element("button", { type: "button", class: "tile", onclick },
      element("img", { src, alt: "", loading: "lazy" }), lines.map((line) => element("span", {}, line))))));
}

/** Show a record in a dialog. */
export function showRecord(place, record) {
  const [, rows, columns] = record.shape;
  const close = () => dialog.close();
  const dialog = element("dialog", { "aria-label": record.key, onclose: () => dialog.remove() },
    element("img", { class: Math.max(rows, columns) < 128 ? "tiny" : null, src: imageAddress(place, record, { full: 1 }),
      alt: record.classes.join(", ") }),
    table(null, null, [
      [t("Key"), record.key],
      [record.classes.length === 1 ? t("Class") : t("Classes"), record.classes.join(", ") || t("no box")],
      record.n_boxes !== null && [t("Boxes"), count(record.n_boxes)],
      [t("Channels × rows × columns"), record.shape.join(" × ")],
    ].filter(Boolean)),
    element("button", { type: "button", class: "primary", onclick: close }, t("Close")));
  dialog.addEventListener("click", (event) => event.target === dialog && close());
  document.body.append(dialog);
  dialog.showModal();
}

function imageAddress({ run, source }, record, more = {}) {
  return address("data/image", { run, source, id: record.id, ...more });
}
