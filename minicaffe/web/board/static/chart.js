// A chart of curves over iterations, epochs or time, drawn by uPlot; its legend has the values.

import { bestIndex, nearestIndex, smoothed } from "./curve_data.js";
import { element, fill, shape, table } from "./dom.js";
import { count, duration, number, t } from "./text.js";

const HEIGHT = 230;
const LARGE_HEIGHT = 460;
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];
const COLOURS = 6;
const TABLE_ROWS = 40;
const MOST_DOTS = 300; // of a curve
const STEP = 0.02; // of the width, by an arrow key

/** Return the text of an x value. */
export function xText(x, by) {
  if (by === "time") return duration(x);
  return by === "epoch" ? number(x, 3) : count(Math.round(x));
}

/**
 * A line of a chart.
 * @typedef {Object} Line
 * @property {string} label
 * @property {number} colour  index of the run or of the line
 * @property {number} dash  index of the pattern
 * @property {boolean} isTest  drawn with dots
 * @property {boolean} canSmooth
 * @property {string|null} best  "max" or "min": which value is marked
 * @property {number[]} xs
 * @property {Array<number|null>} ys
 */

export class Chart {
  /**
   * @param {string} title
   * @param {Object} panel  its `by`, `smoothing`, `zoom` (null or [from, to]); its methods `zoomTo`
   *   and `moveTo` act on all charts
   */
  constructor(title, panel) {
    Object.assign(this, { title, panel, lines: [], plot: null, isLog: isLogarithmic(title) });
    this.canvas = element("div", { class: "canvas" });
    this.legend = element("div", { class: "legend" });
    this.area = element("div", { class: "area", tabindex: 0, role: "group", "aria-label":
      t("Chart {title}: arrow keys read values, + and − zoom, 0 shows all", { title }),
      onkeydown: (event) => this.onkey(event), onblur: () => this.panel.moveTo(null) }, this.canvas);
    const log = element("button", { type: "button", class: "toggle", "aria-pressed": String(this.isLog),
      onclick: () => this.setLog(!this.isLog, log) }, t("Log scale"));
    const large = element("button", { type: "button", class: "toggle", "aria-pressed": "false",
      onclick: () => this.enlarge(large) }, t("Large"));
    this.table = element("details", { ontoggle: () => this.showTable() }, element("summary", {}, t("Values")));
    this.element = element("section", { class: "card chart", "aria-label": title },
      element("div", { class: "row" }, element("h2", {}, title), element("span", { class: "tools" }, log, large)),
      this.area, this.legend, this.table);
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.canvas);
  }

  /** Show lines; their number and labels decide whether the plot is made anew. */
  show(lines, isNew = false) {
    const key = lines.map((line) => line.label).join("\n");
    const isOther = isNew || key !== this.key;
    this.lines = lines;
    this.key = key;
    if (isOther || !this.plot) this.build();
    else this.setData();
    this.showLegend();
    this.showTable();
  }

  end() {
    this.sizes.disconnect();
    this.plot?.destroy();
  }

  build() {
    this.plot?.destroy();
    this.plot = null;
    const width = this.canvas.clientWidth;
    if (!width || !this.lines.length) return;
    this.series = this.lines.flatMap((line) => this.drawn(line));
    this.plot = new uPlot(this.options(width), this.data(), this.canvas);
    if (this.panel.zoom) this.setZoom();
  }

  /** Return what is drawn of a line: the values, and in front of them the smoothed ones. */
  drawn(line) {
    const isSmooth = line.canSmooth && this.panel.smoothing > 0;
    return isSmooth ? [{ line, isFaint: true }, { line, isSmooth }] : [{ line }];
  }

  values({ line, isSmooth }) {
    const ys = isSmooth ? smoothed(line.ys, this.panel.smoothing) : line.ys;
    return this.isLog ? ys.map((y) => (y > 0 ? y : null)) : ys;
  }

  data() {
    return uPlot.join(this.series.map((one) => [one.line.xs, this.values(one)]));
  }

  setData() {
    const lines = new Map(this.lines.map((line) => [line.label, line]));
    for (const one of this.series) one.line = lines.get(one.line.label);
    this.plot.setData(this.data(), !this.panel.zoom);
    if (this.panel.zoom) this.setZoom();
  }

  setZoom() {
    const [min, max] = this.panel.zoom ?? [this.plot.data[0][0], this.plot.data[0].at(-1)];
    this.plot?.setScale("x", { min, max });
  }

  options(width) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--grey"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false },
      font: "12px system-ui, sans-serif" };
    return {
      width, height: this.height(), legend: { show: false }, padding: [12, 24, 0, 0],
      cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { size: 7 },
        bind: { dblclick: () => () => this.panel.zoomTo(null) } },
      scales: { x: { time: false }, y: { distr: this.isLog ? 3 : 1, range: this.isLog ? undefined : yRange } },
      axes: [
        { ...axis, space: 70, size: 28, values: (plot, marks) => marks.map((x) => xText(x, this.panel.by)) },
        { ...axis, size: 60, values: (plot, marks) => marks.map((y) => (y === null ? "" : number(y, 3))) },
      ],
      series: [{}, ...this.series.map((one) => seriesOptions(one, colour))],
      hooks: {
        setCursor: [(plot) => this.panel.moveTo(plot.cursor.left >= 0 ? plot.posToVal(plot.cursor.left, "x") : null, this)],
        setSelect: [(plot) => this.select(plot)],
        draw: [(plot) => this.drawBest(plot, colour)],
      },
    };
  }

  select(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.panel.zoomTo([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
  }

  /** Draw a ring around the best value of each line that has one. */
  drawBest(plot, colour) {
    const { ctx } = plot;
    const scale = devicePixelRatio || 1;
    ctx.save();
    ctx.lineWidth = 2 * scale;
    ctx.strokeStyle = colour("--ink");
    for (const line of this.lines) {
      const k = line.best ? bestIndex(line.ys, line.best) : -1;
      if (k < 0) continue;
      const [x, y] = [plot.valToPos(line.xs[k], "x", true), plot.valToPos(line.ys[k], "y", true)];
      const { left, top, width, height } = plot.bbox;
      if (x < left || x > left + width || y < top - 1 || y > top + height + 1) continue;
      ctx.beginPath();
      ctx.arc(x, y, 6 * scale, 0, 2 * Math.PI);
      ctx.stroke();
    }
    ctx.restore();
  }

  /** Show the values at x in the legend; null: the last ones. */
  showLegend(x = this.panel.x) {
    fill(this.legend, this.lines.map((line) => {
      const k = x === null ? lastIndex(line.ys) : nearestIndex(line.xs, x);
      const at = line.xs[k] === undefined ? "" : xText(line.xs[k], this.panel.by);
      const best = line.best ? bestIndex(line.ys, line.best) : -1;
      return element("div", { class: "line" }, swatch(line), element("span", { class: "label" }, line.label),
        element("span", { class: "value" }, number(line.ys[k])),
        element("span", { class: "small" }, t("at {iteration}", { iteration: at })),
        best >= 0 && element("span", { class: "small best" }, t("○ best {value} at {iteration}",
          { value: number(line.ys[best]), iteration: xText(line.xs[best], this.panel.by) })));
    }));
  }

  /** Move the cursor to x, without a message to the panel. */
  setCursor(x) {
    if (!this.plot) return;
    const left = x === null ? -10 : this.plot.valToPos(x, "x");
    this.plot.setCursor({ left, top: x === null ? -10 : this.height() / 3 }, false);
    this.showLegend(x);
  }

  onkey(event) {
    if (!this.plot || event.ctrlKey || event.metaKey || event.altKey) return;
    const { min, max } = this.plot.scales.x;
    const x = Math.min(Math.max(this.panel.x ?? max, min), max);
    const half = (max - min) / 4;
    const moves = {
      ArrowLeft: () => this.panel.moveTo(Math.max(x - (max - min) * STEP, min)),
      ArrowRight: () => this.panel.moveTo(Math.min(x + (max - min) * STEP, max)),
      Home: () => this.panel.moveTo(min),
      End: () => this.panel.moveTo(max),
      "+": () => this.panel.zoomTo([x - half, x + half]),
      "=": () => this.panel.zoomTo([x - half, x + half]),
      "-": () => this.panel.zoomTo(null),
      0: () => this.panel.zoomTo(null),
      Escape: () => this.panel.zoomTo(null),
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    this.legend.setAttribute("aria-live", "polite");
    moves[event.key]();
  }

  height() {
    return this.element.classList.contains("large") ? LARGE_HEIGHT : HEIGHT;
  }

  setLog(isLog, button) {
    this.isLog = isLog;
    button.setAttribute("aria-pressed", String(isLog));
    storeLogarithmic(this.title, isLog);
    this.build();
  }

  enlarge(button) {
    const isLarge = this.element.classList.toggle("large");
    button.setAttribute("aria-pressed", String(isLarge));
    this.resize();
  }

  resize() {
    const width = this.canvas.clientWidth;
    if (!this.plot) this.build();
    else if (width && (width !== this.plot.width || this.height() !== this.plot.height))
      this.plot.setSize({ width, height: this.height() });
  }

  /** Show some of the values as a table, if it is open: for screen readers, and to copy. */
  showTable() {
    if (!this.table.open) return;
    const tables = this.lines.map((line) => {
      const step = Math.ceil(line.xs.length / TABLE_ROWS);
      const rows = line.xs.map((x, k) => [xText(x, this.panel.by), number(line.ys[k])]);
      return table(line.label, [this.panel.xTitle(), this.title],
        rows.filter((row, k) => k % step === 0 || k === rows.length - 1), { 0: "number", 1: "number" });
    });
    fill(this.table, element("summary", {}, t("Values")), element("div", { class: "tables" }, tables));
  }
}

function seriesOptions({ line, isFaint, isSmooth }, colour) {
  const stroke = colour(`--c${line.colour % COLOURS}`);
  const dash = DASHES[line.dash % DASHES.length];
  return {
    stroke: isFaint ? `${stroke}55` : stroke, width: isFaint ? 1 : isSmooth || line.isTest ? 2 : 1.5, spanGaps: true,
    dash: dash.length ? dash : undefined, paths: line.isStepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
    points: { show: line.isTest && line.xs.length < MOST_DOTS, size: 5, fill: stroke },
  };
}

function swatch(line) {
  const dash = DASHES[line.dash % DASHES.length];
  return shape("svg", { width: 26, height: 12, viewBox: "0 0 26 12", class: `swatch c${line.colour % COLOURS}`,
    "aria-hidden": "true" },
    shape("line", { x1: 1, x2: 25, y1: 6, y2: 6, "stroke-dasharray": dash.join(" ") || null }),
    line.isTest && shape("circle", { cx: 13, cy: 6, r: 3.5 }));
}

/** Return the range of an axis: that of the values with some room. */
function yRange(plot, low, high) {
  if (low === null || high === null) return [0, 1];
  const size = Math.abs(high) || 1;
  // Values that differ by rounding only are one.
  const room = (high - low > size * 1e-9 ? high - low : size) * 0.08;
  return [low >= 0 && low - room < 0 ? 0 : low - room, high + room];
}

function lastIndex(values) {
  return values.findLastIndex((value) => value !== null);
}

const LOGARITHMIC = "minicaffe.logarithmic";

function logarithmicTitles() {
  return JSON.parse(localStorage.getItem(LOGARITHMIC) ?? "[]");
}

function isLogarithmic(title) {
  return logarithmicTitles().includes(title);
}

function storeLogarithmic(title, isLog) {
  const others = logarithmicTitles().filter((one) => one !== title);
  localStorage.setItem(LOGARITHMIC, JSON.stringify(isLog ? [...others, title] : others));
}
