// Buttons that stop, snapshot and resume the training of a run.

import { get, send } from "./api.js";
import { element, fill } from "./dom.js";
import { tell } from "./main.js";
import { t } from "./text.js";

const PAUSE_MS = 2000;

/**
 * Return the buttons of a run.
 * @param {Object} run  a summary: name, state, is_controllable
 * @param {boolean} isAlone  whether this is the page of the run: the buttons then follow its state,
 *   and say why something cannot be done
 */
export function controls(run, isAlone = false) {
  const place = element("div", { class: "row controls" });
  if (!isAlone) {
    showInList(place, run);
    return place;
  }
  let shown = "";
  const follow = async () => {
    try {
      const actions = await get("run/control", { run: run.name });
      if (JSON.stringify(actions) !== shown) show(place, run.name, actions, true);
      shown = JSON.stringify(actions);
    } catch (error) {
      fill(place, element("p", { class: "error" }, error.message));
      shown = "";
    }
    // The page of the run is left, or drawn anew, by removing the buttons.
    setTimeout(() => place.isConnected && follow(), PAUSE_MS);
  };
  follow();
  return place;
}

let permission; // of this board, which is asked once

async function showInList(place, run) {
  permission ??= get("jobs").then((answer) => answer.is_allowed, () => false);
  if (!(await permission)) return;
  const signal = run.is_controllable ? "" : "-";
  const resume = ["stopped", "failed", "killed"].includes(run.state) ? "" : "-";
  show(place, run.name, { stop: signal, snapshot: signal, resume }, false);
}

function show(place, name, actions, isAlone) {
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.action : null;
  const button = (action, text, done) =>
    element("button", {
      type: "button", "data-action": action,
      "aria-label": isAlone ? null : `${text}: ${name}`,
      onclick: (event) => act(event.currentTarget, name, action, done),
    }, text);
  const can = (action) => actions[action] === "";
  fill(place,
    can("stop") && button("stop", t("Stop"), t("{name} stops after its iteration.", { name })),
    can("snapshot") && button("snapshot", t("Snapshot"), t("{name} writes a snapshot.", { name })),
    can("resume") && button("resume", t("Resume"), t("{name} is resumed as a job.", { name })),
    isAlone && can("resume") && element("code", {}, actions.command),
    isAlone && actions.is_stopping && element("span", {}, t("Stopping…")),
    isAlone && reason(actions));
  if (focused) (place.querySelector(`[data-action=${focused}]`) ?? place.querySelector("button"))?.focus();
}

/** Return why nothing can be done with a run; null if something can. */
function reason(actions) {
  const isTraining = actions.is_training;
  const text = isTraining ? actions.stop : actions.resume;
  if (!text || actions.is_stopping) return null;
  const heading = isTraining ? t("Cannot be stopped from here") : t("Cannot be resumed from here");
  return element("span", { class: "small" }, `${heading}: ${text}.`);
}

async function act(button, name, action, done) {
  button.disabled = true;
  try {
    await send("POST", `run/${action}`, { run: name });
    tell(done);
  } catch (error) {
    tell(error.message, true);
  }
  // A second stop is refused by the server; the other actions may be repeated.
  button.disabled = action === "stop";
}
