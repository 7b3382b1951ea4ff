// Runs that are shown together: a mark for each, and a list to add one.

import { element } from "./dom.js";
import { runAddress } from "./run_marks.js";
import { t } from "./text.js";

/**
 * Return an object with marks in the colours of the curves, and a list of further runs.
 * @param {string[]} names  the runs that are shown
 * @param {string[]} known  all runs
 * @param {function(string[])} show  shows other runs instead
 * @param {number} nFixed  so many of the first ones cannot be removed
 */
export function runChoice(names, known, show, nFixed = 0) {
  const chips = names.map((name, k) => element("span", { class: `chip c${k % 6}` },
    element("a", { href: runAddress(name) }, name),
    k >= nFixed && element("button", { type: "button", class: "plain", "aria-label": t("Remove {name}", { name }),
      onclick: () => show(names.filter((one) => one !== name)) }, "×")));
  const free = known.filter((name) => !names.includes(name));
  const add = element("select", { "aria-label": t("Add a run"), onchange: (event) => show([...names, event.target.value]) },
    element("option", { value: "" }, t("Add a run…")), free.map((name) => element("option", { value: name }, name)));
  return { chips, list: free.length > 0 ? [add] : [] };
}
