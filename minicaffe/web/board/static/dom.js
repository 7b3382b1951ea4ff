// Elements, made from text that is never read as HTML.

/**
 * Return a new element.
 * @param {string} tag
 * @param {Object} settings  attributes; functions of names like onclick are event listeners;
 *   false, null and undefined leave an attribute out, true sets it without a value
 * @param {...(Node|string|number|null|Array)} children
 */
export function element(tag, settings = {}, ...children) {
  return completed(document.createElement(tag), settings, children);
}

/** Return a new element of a drawing (SVG); the arguments are those of `element`. */
export function shape(tag, settings = {}, ...children) {
  return completed(document.createElementNS("http://www.w3.org/2000/svg", tag), settings, children);
}

function completed(made, settings, children) {
  for (const [name, value] of Object.entries(settings)) {
    if (typeof value === "function") made.addEventListener(name.replace(/^on/, ""), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined)
      made.setAttribute(name, value);
  }
  made.append(...flat(children));
  return made;
}

/** Replace the children of an element. */
export function fill(parent, ...children) {
  parent.replaceChildren(...flat(children));
  return parent;
}

/**
 * Return a table.
 * @param {string} caption
 * @param {Array} head  text of each column; null for a column without
 * @param {Array<Array>} rows  text or nodes; the first cell of a row is its heading
 * @param {Object} kinds  index of a column -> class of its cells, such as "number"
 */
export function table(caption, head, rows, kinds = {}) {
  const cells = (row, tag) =>
    row.map((cell, k) => {
      const isHead = tag === "th" || k === 0;
      const scope = tag === "th" ? "col" : "row";
      return element(isHead && cell !== null ? "th" : "td",
        { class: kinds[k], scope: isHead && cell !== null ? scope : null }, cell);
    });
  return element("div", { class: "wide", tabindex: 0, role: "region", "aria-label": caption },
    element("table", {},
      element("caption", {}, caption),
      head && element("thead", {}, element("tr", {}, ...cells(head, "th"))),
      element("tbody", {}, rows.map((row) => element("tr", {}, ...cells(row, "td"))))));
}

function flat(children) {
  return children.flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}
