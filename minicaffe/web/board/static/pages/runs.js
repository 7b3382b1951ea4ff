// All runs of the folder: what they have reached, live; several can be selected to compare them.

import { get, listen } from "../api.js";
import { element, fill } from "../dom.js";
import { go, heading } from "../main.js";
import { progressMark, runAddress, scoreMark, sparkline, stateMark, states, stateText } from "../run_marks.js";
import { count, date, t } from "../text.js";

const MOST_COMPARED = 12;

// What the reader has chosen; it outlives the page.
const view = { words: "", state: "", sort: "started", isDescending: true };
const chosen = new Set();

// Key of a column -> value to sort by; a greater one is further down, unless descending.
const ORDERS = {
  name: (run) => run.name,
  state: (run) => states().indexOf(run.state),
  progress: (run) => run.iteration / Math.max(run.max_iter, 1),
  score: (run) => run.score?.best?.value * (run.score?.direction === "min" ? -1 : 1),
  speed: (run) => run.images_per_s,
  started: (run) => run.started,
};

export async function showRuns(main) {
  const { folder, runs } = await get("runs");
  const list = new RunList(runs);
  fill(main, heading(t("Runs")), element("p", { class: "small path" }, folder), list.toolbar, list.place);
  list.show();
  return listen("runs/events", {}, { runs: (news) => list.update(news) });
}

class RunList {
  constructor(runs) {
    this.runs = new Map(runs.map((run) => [run.name, run]));
    this.rows = new Map(); // name -> Row
    this.body = element("tbody");
    this.head = element("tr");
    this.caption = element("caption");
    this.place = element("div");
    this.compare = element("button", { type: "button", class: "primary", onclick: () => this.goCompare() });
    this.toolbar = element("div", { class: "row toolbar" }, this.filters(), this.compare);
    this.table = element("table", { class: "runs" }, this.caption, element("thead", {}, this.head), this.body);
    fill(this.head, this.headings());
  }

  filters() {
    const words = element("input", { type: "search", value: view.words, placeholder: t("Name contains…"),
      "aria-label": t("Name contains…"), oninput: (event) => this.choose({ words: event.target.value }) });
    const state = element("select", { "aria-label": t("State"),
      onchange: (event) => this.choose({ state: event.target.value }) },
      element("option", { value: "" }, t("All states")),
      states().map((one) => element("option", { value: one, selected: view.state === one }, stateText(one))));
    return [words, state];
  }

  choose(change) {
    Object.assign(view, change);
    fill(this.head, this.headings());
    this.show();
  }

  update({ runs, removed, is_all }) {
    const names = new Set(runs.map((run) => run.name));
    const gone = is_all ? [...this.runs.keys()].filter((name) => !names.has(name)) : removed;
    for (const run of runs) this.runs.set(run.name, run);
    for (const name of gone) {
      this.runs.delete(name);
      this.rows.delete(name);
      chosen.delete(name);
    }
    this.show();
  }

  show() {
    this.toolbar.hidden = this.runs.size === 0;
    if (this.runs.size === 0) {
      fill(this.place, emptyFolder());
      return;
    }
    if (this.table.parentNode !== this.place) fill(this.place, this.table);
    const shown = this.ordered();
    this.caption.textContent = t("{shown} of {all} runs", { shown: shown.length, all: this.runs.size });
    const elements = shown.map((run) => this.row(run).element);
    const { activeElement } = document;
    if (elements.some((one, k) => one !== this.body.children[k]) || elements.length !== this.body.children.length) {
      this.body.replaceChildren(...elements);
      if (activeElement?.isConnected) activeElement.focus({ preventScroll: true });
    }
    this.showCompare();
  }

  row(run) {
    if (!this.rows.has(run.name)) this.rows.set(run.name, new Row(run.name, () => this.showCompare()));
    const row = this.rows.get(run.name);
    row.update(run);
    return row;
  }

  ordered() {
    const words = view.words.toLowerCase();
    const value = ORDERS[view.sort];
    return [...this.runs.values()]
      .filter((run) => run.name.toLowerCase().includes(words) && (!view.state || run.state === view.state))
      .sort((a, b) => (view.isDescending ? -1 : 1) * compareValues(value(a), value(b)));
  }

  headings() {
    const titles = { name: t("Name"), state: t("State"), progress: t("Progress"), score: t("Best score"),
      curve: t("Curve"), speed: t("Images/s"), started: t("Started") };
    return [element("td", { class: "check" }), Object.entries(titles).map(([key, title]) => {
      if (!(key in ORDERS)) return element("th", { scope: "col", class: key }, title);
      const isCurrent = view.sort === key;
      const arrow = isCurrent ? (view.isDescending ? " ↓" : " ↑") : "";
      const order = view.isDescending ? "descending" : "ascending";
      return element("th", { scope: "col", class: key, "aria-sort": isCurrent ? order : null },
        element("button", { type: "button", class: "sort", "data-key": key, onclick: () => this.sortBy(key) },
          title, element("span", { "aria-hidden": "true" }, arrow)));
    })];
  }

  sortBy(key) {
    const isDescending = view.sort === key ? !view.isDescending : key !== "name";
    this.choose({ sort: key, isDescending });
    this.head.querySelector(`[data-key=${key}]`).focus();
  }

  showCompare() {
    const n = chosen.size;
    this.compare.disabled = n < 2 || n > MOST_COMPARED;
    this.compare.textContent = n < 2 ? t("Select runs to compare") : t("Compare {n} runs", { n });
  }

  goCompare() {
    go(`/compare?${new URLSearchParams([...chosen].map((name) => ["run", name]))}`);
  }
}

// A row of the table. Its link and its checkbox stay the same, so that they keep the focus.
class Row {
  constructor(name, onchoose) {
    const check = element("input", { type: "checkbox", checked: chosen.has(name),
      "aria-label": t("Select {name}", { name }), onchange: (event) => {
        if (event.target.checked) chosen.add(name);
        else chosen.delete(name);
        onchoose();
      } });
    const cell = (kind, ...children) => element("td", { class: kind }, ...children);
    this.cells = Object.fromEntries(
      ["state", "progress", "score", "curve", "speed", "started"].map((kind) => [kind, cell(kind)]));
    this.element = element("tr", {}, cell("check", check),
      element("th", { scope: "row", class: "name" }, element("a", { href: runAddress(name) }, name)),
      Object.values(this.cells));
  }

  update(run) {
    if (run === this.run) return;
    this.run = run;
    const { state, progress, score, curve, speed, started } = this.cells;
    fill(state, stateMark(run));
    fill(progress, progressMark(run));
    fill(score, scoreMark(run));
    fill(curve, sparkline(run.sparkline));
    fill(speed, run.images_per_s ? count(Math.round(run.images_per_s)) : "");
    fill(started, date(run.started));
  }
}

function compareValues(a, b) {
  const isMissing = (value) => value === null || value === undefined || Number.isNaN(value);
  if (isMissing(a) || isMissing(b)) return isMissing(b) - isMissing(a);
  if (typeof a === "string") return a.localeCompare(b, undefined, { numeric: true });
  return a - b;
}

function emptyFolder() {
  return element("div", { class: "empty" },
    element("p", {}, t("There are no runs in this folder yet. A training writes one:")),
    element("pre", {}, "minicaffe train SOLVER.prototxt"),
    element("p", { class: "small" }, t("It appears here as soon as it begins.")));
}
