// Runs that are shown together: a mark for each, and a list to add one.

import { element } from "./dom.js";
import { runAddress } from "./run_marks.js";
import { t } from "./text.js";

/**
 * Return marks of runs in the colours of their curves.
 * @param {string[]} names  the runs that are shown
 * @param {function(string[])} show  shows other runs instead
 * @param {number} nFixed  so many of the first ones cannot be removed
 */
export function runMarks(names, show, nFixed = 0) {
  return names.map((name, k) => element("span", { class: `chip c${k % 6}` },
    element("a", { href: runAddress(name) }, name),
    k >= nFixed && element("button", { type: "button", class: "plain", "aria-label": t("Remove {name}", { name }),
      onclick: () => show(names.filter((one) => one !== name)) }, "×")));
}

/** Return a list of the runs that are not shown, to add one; null if there are none. */
export function runList(names, runs, show) {
  const free = runs.map((run) => run.name).filter((name) => !names.includes(name));
  if (free.length === 0) return null;
  return element("select", { "aria-label": t("Add a run"), onchange: (event) => show([...names, event.target.value]) },
    element("option", { value: "" }, t("Add a run…")), free.map((name) => element("option", { value: name }, name)));
}
