// A drawing (SVG) in a frame that is moved and zoomed by mouse, fingers, keys and buttons.

import { element } from "./dom.js";
import { t } from "./text.js";

const STEP = 1.3;
const MOST = 8; // pixels of the screen for a unit of the drawing
const CLICK_PX = 5; // a pointer that moves less has clicked

/**
 * Put a drawing into a frame, fitted to its width.
 * @param {SVGElement} drawing  with width and height, and a viewBox from 0, 0
 * @returns {{frame, tools, show}}  the frame, its buttons, and a function that scrolls to an element
 */
export function panZoom(drawing) {
  const size = [Number(drawing.getAttribute("width")), Number(drawing.getAttribute("height"))];
  const frame = element("div", { class: "frame" }, drawing);
  let view = null; // x, y of the corner and scale
  for (const name of ["width", "height"]) drawing.setAttribute(name, "100%");

  const clamp = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));
  const apply = () => {
    const { clientWidth: width, clientHeight: height } = frame;
    if (!width || !height) return;
    if (!view) fit();
    const shown = [width / view.scale, height / view.scale];
    // At least a part stays in sight; a drawing smaller than the frame is centred.
    [view.x, view.y] = [view.x, view.y].map((at, k) =>
      shown[k] >= size[k] ? (size[k] - shown[k]) / 2 : clamp(at, 0, size[k] - shown[k]));
    drawing.setAttribute("viewBox", [view.x, view.y, ...shown].join(" "));
  };
  const least = () => Math.min(1, frame.clientWidth / size[0], frame.clientHeight / size[1]);
  const fit = () => {
    view = { x: 0, y: 0, scale: Math.min(1, frame.clientWidth / size[0]) };
  };
  const zoom = (factor, x = frame.clientWidth / 2, y = frame.clientHeight / 2) => {
    const scale = clamp(view.scale * factor, least(), MOST);
    view = { x: view.x + x / view.scale - x / scale, y: view.y + y / view.scale - y / scale, scale };
    apply();
  };
  const move = (dx, dy) => {
    view = { ...view, x: view.x - dx / view.scale, y: view.y - dy / view.scale };
    apply();
  };
  const reset = () => {
    view = null;
    apply();
  };

  listenToPointers(frame, zoom, move);
  frame.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // otherwise the page scrolls
    event.preventDefault();
    const box = frame.getBoundingClientRect();
    zoom(STEP ** (-Math.sign(event.deltaY) / 2), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  frame.addEventListener("keydown", (event) => {
    const actions = { "+": () => zoom(STEP), "=": () => zoom(STEP), "-": () => zoom(1 / STEP), 0: reset };
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in actions)) return;
    actions[event.key]();
    event.preventDefault();
  });
  new ResizeObserver(apply).observe(frame);

  const button = (sign, label, act) =>
    element("button", { type: "button", class: "toggle", "aria-label": label, title: label, onclick: act }, sign);
  const tools = element("div", { class: "tools" },
    button("+", t("Zoom in"), () => zoom(STEP)), button("−", t("Zoom out"), () => zoom(1 / STEP)),
    button(t("Whole net"), t("Whole net"), () => {
      fit();
      zoom(least() / view.scale);
    }));
  return { frame, tools, show: (part) => bringIntoSight(part, frame, move) };
}

function bringIntoSight(part, frame, move) {
  const [box, around] = [part.getBoundingClientRect(), frame.getBoundingClientRect()];
  const away = (begin, end, low, high) =>
    begin < low || end > high ? (low + high) / 2 - (begin + end) / 2 : 0;
  const dx = away(box.left, box.right, around.left, around.right);
  const dy = away(box.top, box.bottom, around.top, around.bottom);
  if (dx || dy) move(dx, dy);
}

/** One pointer moves, two zoom. A click on a part of the drawing comes through. */
function listenToPointers(frame, zoom, move) {
  const pointers = new Map();
  let moved = 0;
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return Math.hypot(a.x - b.x, a.y - b.y);
  };
  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    if (pointers.size === 0) moved = 0;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  frame.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const [dx, dy] = [event.clientX - last.x, event.clientY - last.y];
    const before = pointers.size === 2 ? spread() : 0;
    moved += Math.abs(dx) + Math.abs(dy);
    if (moved > CLICK_PX && !frame.hasPointerCapture(event.pointerId)) frame.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (pointers.size === 1) move(dx, dy);
    else if (before > 0) {
      const box = frame.getBoundingClientRect();
      const places = [...pointers.values()];
      zoom(spread() / before, (places[0].x + places[1].x) / 2 - box.left, (places[0].y + places[1].y) / 2 - box.top);
    }
  });
  const end = (event) => pointers.delete(event.pointerId);
  for (const name of ["pointerup", "pointercancel", "pointerleave"]) frame.addEventListener(name, end);
  frame.addEventListener("click", (event) => {
    if (moved > CLICK_PX) event.stopPropagation();
  }, true);
}
