// Small marks of a run: its state, progress, score and sparkline.

import { element, shape } from "./dom.js";
import { count, duration, number, t } from "./text.js";

// State -> sign and class; the word stands beside it, so that colours are not needed.
const STATES = {
  running: ["●", "running"],
  finished: ["✓", "finished"],
  stopped: ["■", "stopped"],
  failed: ["✕", "failed"],
  killed: ["✕", "failed"],
  unreadable: ["?", "failed"],
};

const [WIDTH, HEIGHT, EDGE] = [120, 32, 3];

/** Return the words for a state. */
export function stateText(state) {
  const words = {
    running: t("running"), finished: t("finished"), stopped: t("stopped"), failed: t("failed"),
    killed: t("killed"), unreadable: t("unreadable"),
  };
  return words[state] ?? state;
}

export function states() {
  return Object.keys(STATES);
}

export function stateMark(run) {
  const [sign, kind] = STATES[run.state] ?? STATES.unreadable;
  return element("span", { class: `state ${kind}`, title: run.error || null },
    element("span", { class: "sign", "aria-hidden": "true" }, sign), stateText(run.state));
}

/** Return a bar with the iterations, and the time that is left or was taken. */
export function progressMark(run) {
  if (run.iteration === undefined) return element("span", { class: "error" }, run.error);
  const label = t("Progress of {name}", { name: run.name });
  return element("div", { class: "progress" },
    element("progress", { max: Math.max(run.max_iter, 1), value: Math.min(run.iteration, run.max_iter),
      "aria-label": label }),
    element("span", { class: "small" }, `${count(run.iteration)} / ${count(run.max_iter)}`),
    element("span", { class: "small" }, timeText(run)));
}

/** Return the time that is left of a run, or that it has taken. */
export function timeText(run) {
  if (run.state === "running" && run.eta_s !== null && run.eta_s !== undefined)
    return t("{time} left", { time: duration(run.eta_s) });
  return t("took {time}", { time: duration(run.seconds) });
}

/** Return the best score and, below it, where it was and the last one. */
export function scoreMark(run) {
  const { score } = run;
  if (!score) return "";
  if (!score.best) return element("span", { class: "small" }, t("{output}: no test yet", score));
  return element("div", { class: "score" },
    element("span", { class: "value" }, number(score.best.value)), " ",
    element("span", { class: "small" }, score.output),
    element("div", { class: "small" }, t("at {iteration}, last {value}", {
      iteration: count(score.best.iteration), value: number(score.last?.value) })));
}

/** Return a small curve of the score, with a dot at its end; texts have its numbers. */
export function sparkline(points) {
  if (!points || points.length < 2) return "";
  const xs = points.map((point) => point[0]);
  const ys = points.map((point) => point[1]);
  const scale = (values, size) => {
    const low = Math.min(...values);
    const range = Math.max(...values) - low || 1;
    return (value) => EDGE + ((value - low) / range) * (size - 2 * EDGE);
  };
  const [x, y] = [scale(xs, WIDTH), scale(ys, HEIGHT)];
  const places = points.map(([a, b]) => [x(a).toFixed(1), (HEIGHT - y(b)).toFixed(1)]);
  const [endX, endY] = places[places.length - 1];
  return shape("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT,
    "aria-hidden": "true" },
    shape("polyline", { points: places.map((place) => place.join(",")).join(" ") }),
    shape("circle", { cx: endX, cy: endY, r: 2.5 }));
}

/** Return the address of a run. */
export function runAddress(name, more = {}) {
  return `/run?${new URLSearchParams({ run: name, ...more })}`;
}
