// The databases of a run: images of each class, pages of records, a record by its key.

import { address, get } from "../api.js";
import { element, fill, table } from "../dom.js";
import { go } from "../main.js";
import { recordTiles, showRecord } from "../record_tiles.js";
import { runAddress } from "../run_marks.js";
import { count, number, t } from "../text.js";

const PERIOD_MS = 800;

export async function showData(panel, run, query) {
  const { databases } = await get("data", { run: run.name });
  if (databases.length === 0) {
    fill(panel, element("p", { class: "empty" }, t("The nets of this run read no database, LMDB or LevelDB.")));
    return undefined;
  }
  const chosen = databases.find((one) => one.source === query.get("source")) ?? databases.find((one) => one.is_there) ?? databases[0];
  const place = { run: run.name, source: chosen.source };
  const head = element("div", { class: "row toolbar" }, element("label", {}, t("Database"), " ", element("select", {
    onchange: (event) => go(runAddress(run.name, { tab: "data", source: event.target.value })) },
  databases.map((one) => element("option", { value: one.source, selected: one === chosen }, `${one.source} (${one.net})`)))));
  if (!chosen.is_there) {
    fill(panel, head, element("p", { class: "empty" },
      t("{source} is not below the folder of this board. Start the board in a folder that has the runs and the data.", chosen)));
    return undefined;
  }
  const classes = element("div");
  const records = element("div", { class: "records" });
  fill(panel, head, keyForm(place), element("div", { class: "data" }, classes, records));
  let current = query.get("class") ?? "";
  let page = Number(query.get("page") ?? 0) || 0;
  let timer = 0;
  let turn = 0; // of the newest load; older ones, whose answers come late, show nothing
  let [listed, paged] = ["", ""];
  const visit = async (more) => {
    history.pushState(null, "", runAddress(run.name, { tab: "data", source: chosen.source, ...more }));
    current = String(more.class ?? "");
    page = more.page ?? 0;
    [listed, paged] = ["", ""];
    if (!await load()) return;
    records.querySelector("h2").focus({ preventScroll: true });
    records.scrollIntoView({ block: "nearest" });
  };
  const load = async () => {
    const own = ++turn;
    clearTimeout(timer);
    const found = await get("data", place);
    if (own !== turn) return false;
    const list = JSON.stringify(found);
    if (list !== listed) fill(classes, ...classList(found, current, visit));
    listed = list;
    // While it is counted, the page fills up.
    const state = JSON.stringify([found.is_complete, found.n_scanned > 0]);
    if (state !== paged) {
      const query = { ...place, class: current, page };
      const answer = await get("data/records", query);
      if (own !== turn) return false;
      fill(records, ...recordPage(answer, query, found, visit));
    }
    paged = state;
    if (!found.is_complete && !found.problem) timer = setTimeout(() => load().catch(() => {}), PERIOD_MS);
    return true;
  };
  await load();
  return () => {
    turn = -1;
    clearTimeout(timer);
    document.querySelector("dialog")?.close();
  };
}

function keyForm(place) {
  const input = element("input", { type: "text", autocomplete: "off", spellcheck: "false" });
  const message = element("span", { class: "error", role: "status" });
  const find = async (event) => {
    event.preventDefault();
    message.textContent = "";
    try {
      const { records } = await get("data/records", { ...place, key: input.value });
      showRecord(place, records[0]);
    } catch (error) {
      message.textContent = error.message;
    }
  };
  return element("form", { class: "row toolbar", onsubmit: find }, element("label", {}, t("Key"), " ", input),
    element("button", {}, t("Show the record")), message);
}

/** Return a table of the classes; a click on one shows its records. */
function classList(found, current, visit) {
  const what = found.has_boxes ? "boxes" : "images";
  const most = Math.max(1, ...found.classes.map((one) => one[what]));
  const all = found.classes.reduce((sum, one) => sum + one[what], 0);
  const row = (one) => [
    element("button", { type: "button", class: "plain name", "aria-pressed": String(String(one.label) === current),
      onclick: () => visit(String(one.label) === current ? {} : { class: one.label }) }, one.name),
    one.name === String(one.label) ? "" : one.label,
    count(one[what]),
    element("span", { class: "share" }, element("meter", { max: most, value: one[what], "aria-label": one.name }),
      `${number((100 * one[what]) / Math.max(all, 1), 3)} %`),
  ];
  const state = found.is_complete ? t("{n} records", { n: count(found.n_records) })
    : t("Counting: {n} of {all} records", { n: count(found.n_scanned), all: count(found.n_records || "?") });
  return [
    found.problem && element("p", { class: "error" }, found.problem),
    element("p", { role: "status" }, state, found.n_damaged > 0 && t(", {n} of them damaged", { n: count(found.n_damaged) })),
    found.remarks.map((remark) => element("p", { class: "small" }, remark)),
    found.classes.length > 0 && table(t("Classes: choose one to see its records"),
      [t("Class"), t("Label"), found.has_boxes ? t("Boxes") : t("Images"), t("Share")], found.classes.map(row), { 1: "number", 2: "number" }),
  ];
}

function recordPage(answer, query, found, visit) {
  const pages = Math.max(1, Math.ceil(answer.n / answer.page_size));
  const chosen = found.classes.find((one) => String(one.label) === query.class);
  const more = chosen ? { class: chosen.label } : {};
  const step = (to, text) => element("button", { type: "button", disabled: to < 0 || to >= pages, onclick: () => visit({ ...more, page: to }) }, text);
  return [
    element("h2", { tabindex: -1 }, chosen ? chosen.name : t("All classes")),
    answer.records.length === 0 ? element("p", { class: "empty" }, t("There are no records here.")) : recordTiles(query, answer.records),
    pages > 1 && element("nav", { class: "row", "aria-label": t("Pages of records") }, step(query.page - 1, t("Previous")),
      element("span", {}, t("page {page} of {pages}", { page: count(query.page + 1), pages: count(pages) })), step(query.page + 1, t("Next"))),
  ];
}
