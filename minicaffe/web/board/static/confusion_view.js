// A confusion matrix with the accuracy of the classes and the mistakes.

import { address } from "./api.js";
import { element, fill, table } from "./dom.js";
import { keyTiles } from "./record_tiles.js";
import { count, number, t } from "./text.js";

const MOST_CLASSES = 40; // in a table; of more, a picture is shown
const SHADES = 10;
const SHOWN = 30;

/**
 * Return the view of a result.
 * @param {Object} found  answer of /api/tests/result
 * @param {string} run
 */
export function confusionView(found, run) {
  const picture = (path) => address("file", { run, path });
  const all = found.counts.flat().reduce((a, b) => a + b, 0);
  const right = found.counts.reduce((sum, row, k) => sum + row[k], 0);
  const mistakes = element("div");
  const show = (truth, predicted) => fill(mistakes, mistakeList(found, run, truth, predicted, () => show()));
  show();
  const { confusion, mistakes: sheet } = found.pictures;
  return [
    element("p", { class: "total" }, element("strong", {}, `${number((100 * right) / Math.max(all, 1), 4)} %`), " ",
      t("{right} of {all} right", { right: count(right), all: count(all) })),
    element("div", { class: "confusion" },
      found.classes.length <= MOST_CLASSES
        ? matrix(found, (a, b) => {
          show(a, b);
          mistakes.querySelector("[tabindex]")?.focus();
        })
        : confusion && element("img", { class: "picture", src: picture(confusion), alt: t("Confusion matrix; the table has its numbers") }),
      classTable(found)),
    sheet && !found.source && element("details", { class: "card", open: true }, element("summary", {}, t("Most confident mistakes")),
      element("img", { class: "picture", src: picture(sheet), alt: t("Images of the most confident mistakes, which the table lists") })),
    mistakes,
  ];
}

function matrix(found, choose) {
  const { classes, counts } = found;
  const cell = (value, a, b) => {
    const share = value / Math.max(counts[a].reduce((x, y) => x + y, 0), 1);
    const kind = `${a === b ? "right" : "wrong"} s${value ? Math.max(1, Math.round(share * SHADES)) : 0}`;
    const isListed = value > 0 && a !== b;
    return element("td", { class: `number ${kind}` }, isListed
      ? element("button", { type: "button", class: "plain", title: t("Mistakes: {a} taken for {b}", { a: classes[a], b: classes[b] }), onclick: () => choose(a, b) }, count(value))
      : value || "");
  };
  const caption = t("Confusion matrix: a row is a class, a column what it was taken for");
  return element("div", { class: "wide", tabindex: 0, role: "region", "aria-label": caption },
    element("table", { class: "matrix" }, element("caption", {}, caption),
      element("thead", {}, element("tr", {}, element("td"), classes.map((name) => element("th", { scope: "col" }, element("span", {}, name))))),
      element("tbody", {}, counts.map((row, a) => element("tr", {}, element("th", { scope: "row" }, classes[a]), row.map((value, b) => cell(value, a, b)))))));
}

/** Return the classes, those of the lowest accuracy first. */
function classTable(found) {
  const rows = found.table.filter((row) => Number(row[2]) > 0).sort((a, b) => a[4] - b[4]);
  return table(t("Accuracy of the classes, the lowest first"),
    [t("Class"), t("Accuracy"), t("Right"), t("Images"), t("Most often taken for")],
    rows.map(([, name, samples, correct, accuracy, other, times]) => [name, `${number(100 * accuracy, 4)} %`, count(Number(correct)),
      count(Number(samples)), other && `${other} (${count(Number(times))})`]), { 1: "number", 2: "number", 3: "number" });
}

/** Return the mistakes, or those of a cell of the matrix, as tiles or as a table. */
function mistakeList(found, run, truth, predicted, showAll) {
  const isChosen = truth !== undefined;
  const names = [found.classes[truth], found.classes[predicted]];
  const chosen = found.mistakes.filter(([, a, b]) => !isChosen || (a === names[0] && b === names[1])).slice(0, SHOWN);
  const title = isChosen ? t("Mistakes: {a} taken for {b}", { a: names[0], b: names[1] })
    : t("Mistakes, the most confident first: {shown} of {all}", { shown: count(chosen.length), all: count(found.n_mistakes) });
  const percent = (score) => `${number(100 * score, 3)} %`;
  const list = found.source && found.mistakes.every(([key]) => key)
    ? keyTiles({ run, source: found.source }, chosen.map(([key, a, b, score]) =>
      [key, [a, t("taken for {name}", { name: b }), element("span", { class: "small" }, percent(score))]]))
    : chosen.length > 0 && table(title, [t("Record"), t("Class"), t("Taken for"), t("Score")],
      chosen.map(([key, a, b, score]) => [key, a, b, percent(score)]), { 3: "number" });
  return [
    element("h2", { tabindex: -1 }, title),
    chosen.length === 0 && element("p", { class: "empty" },
      isChosen ? t("These mistakes are not among the most confident ones.") : t("There are no mistakes.")),
    list,
    isChosen && element("button", { type: "button", onclick: showAll }, t("All mistakes")),
  ];
}
