// The charts of one or several runs, which grow while these train.

import { get, listen } from "./api.js";
import { Chart } from "./chart.js";
import { RunCurves, xValues } from "./curve_data.js";
import { element, fill } from "./dom.js";
import { tellSummary } from "./summaries.js";
import { t } from "./text.js";

const STORED = "minicaffe.curves";
const MOST_CHARTS = 24;

/**
 * Show the curves of runs in a place, and keep them up to date.
 * @param {Element} place
 * @param {string[]} names
 * @param {Object} scores  name of a run -> its score (output, net, direction)
 * @param {Array} tools  further elements of the toolbar
 * @returns {Promise<function>} ends the stream and the charts
 */
export async function showCurvePanel(place, names, scores, tools = []) {
  const runs = await Promise.all(names.map(async (name) => new RunCurves(name, await get("metrics", { run: name }))));
  const panel = new CurvePanel(runs, scores);
  panel.toolbar.append(...tools);
  fill(place, panel.toolbar, panel.empty, panel.charts);
  panel.show(true);
  const onColours = () => panel.show(true);
  document.addEventListener("colours", onColours);
  const end = listen("metrics/events", () => ({ run: names, after: runs.map((run) => run.next) }), {
    rows: (columns) => {
      runs.find((run) => run.name === columns.run).append(columns);
      panel.show();
    },
    summary: tellSummary,
  });
  return () => {
    document.removeEventListener("colours", onColours);
    end();
    panel.end();
  };
}

class CurvePanel {
  constructor(runs, scores) {
    Object.assign(this, { runs, scores, shown: new Map(), zoom: null, x: null, by: "iteration", smoothing: 0 });
    Object.assign(this, JSON.parse(localStorage.getItem(STORED) ?? "{}"));
    if (this.by === "epoch" && !this.hasEpochs()) this.by = "iteration";
    this.charts = element("div", { class: "tiles charts" });
    this.empty = element("p", { class: "empty" }, t("There is nothing to draw yet: the training has displayed no iteration and made no test."));
    this.reset = element("button", { type: "button", onclick: () => this.zoomTo(null), disabled: true }, t("Reset zoom"));
    this.toolbar = element("div", { class: "row toolbar" }, this.xChoice(), this.smoothingSlider(), this.reset,
      element("span", { class: "small hint" }, t("Drag to zoom")));
  }

  hasEpochs() {
    return this.runs.some((run) => run.hasEpochs);
  }

  xTitle() {
    return { iteration: t("Iteration"), epoch: t("Epoch"), time: t("Time") }[this.by];
  }

  xChoice() {
    const names = { iteration: t("Iteration"), epoch: t("Epoch"), time: t("Time") };
    return element("fieldset", { class: "choice" }, element("legend", {}, t("Over")),
      Object.entries(names).map(([name, text]) => element("label", {},
        element("input", { type: "radio", name: "x", value: name, checked: name === this.by,
          disabled: name === "epoch" && !this.hasEpochs(), onchange: () => this.choose({ by: name, zoom: null, x: null }) }),
        element("span", {}, text))));
  }

  smoothingSlider() {
    const shown = element("output", { class: "number" }, this.smoothing.toFixed(2));
    return element("label", { class: "slider" }, t("Smoothing"),
      element("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: this.smoothing,
        oninput: (event) => {
          const smoothing = Number(event.target.value);
          shown.textContent = smoothing.toFixed(2);
          this.choose({ smoothing });
        } }), shown);
  }

  choose(change) {
    Object.assign(this, change);
    localStorage.setItem(STORED, JSON.stringify({ by: this.by, smoothing: this.smoothing }));
    this.showReset();
    this.show(true);
  }

  /** Show the curves; `isNew`: draw all anew, because colours or settings have changed. */
  show(isNew = false) {
    const grouped = new Map();
    this.runs.forEach((run, k) => {
      for (const curve of run.curves()) {
        const title = titleOf(curve);
        if (!grouped.has(title) && grouped.size >= MOST_CHARTS) continue;
        grouped.set(title, [...(grouped.get(title) ?? []), this.line(run, k, curve)]);
      }
    });
    for (const [title, chart] of this.shown) {
      if (grouped.has(title)) continue;
      chart.end();
      chart.element.remove();
      this.shown.delete(title);
    }
    for (const [title, lines] of grouped) {
      if (!this.shown.has(title)) {
        this.shown.set(title, new Chart(title, this));
        this.charts.append(this.shown.get(title).element);
      }
      this.shown.get(title).show(lines, isNew);
    }
    this.empty.hidden = grouped.size > 0;
    this.toolbar.hidden = grouped.size === 0;
  }

  line(run, k, curve) {
    const isTest = curve.kind === "test";
    const several = this.runs.length > 1;
    const kind = isTest ? t("test") : t("training");
    const net = curve.net === null || curve.net === undefined ? "" : ` ${curve.net}`;
    const score = this.scores[run.name];
    const isScore = isTest && score && score.output === curve.title && score.net === curve.index;
    return {
      label: several ? `${run.name} · ${kind}${net}` : `${kind}${net}`,
      colour: several ? k : isTest ? 1 + curve.index : 0, dash: several ? k : 0,
      isTest, isStepped: curve.kind === "rate", canSmooth: curve.kind !== "rate" && !isTest,
      best: isScore ? score.direction : null, xs: xValues(curve, this.by), ys: curve.ys,
    };
  }

  /** Zoom all charts to a range of x, null: all. */
  zoomTo(zoom) {
    this.zoom = zoom;
    this.showReset();
    for (const chart of this.shown.values()) chart.setZoom();
  }

  showReset() {
    this.reset.disabled = this.zoom === null;
  }

  /** Move the cursors of all charts to x, null: away; `source` has moved its own. */
  moveTo(x, source = null) {
    if (x === this.x && source === null) return;
    this.x = x;
    for (const chart of this.shown.values()) {
      if (chart === source) chart.showLegend(x);
      else chart.setCursor(x);
    }
  }

  end() {
    for (const chart of this.shown.values()) chart.end();
  }
}

function titleOf(curve) {
  return { rate: t("Learning rate"), speed: t("Images/s") }[curve.kind] ?? curve.title;
}
