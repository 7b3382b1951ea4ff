// Navigation between the pages, language, colours, messages.

import { element, fill } from "./dom.js";
import { chooseLanguage, language, languages, loadLanguage, t } from "./text.js";
import { showCompare } from "./pages/compare.js";
import { showJobs } from "./pages/jobs.js";
import { showNew } from "./pages/new.js";
import { showRun } from "./pages/run.js";
import { showRuns } from "./pages/runs.js";

// Address -> page: a function of the main element and the query that fills the element. It returns
// a function that ends what the page has begun (streams, timers). site.py has the same addresses.
const PAGES = { "/": showRuns, "/run": showRun, "/compare": showCompare, "/jobs": showJobs, "/new": showNew };

const THEMES = ["auto", "light", "dark"];
const THEME = "minicaffe.theme";

let endPage = () => {};
let visit = 0;

/** Go to a page of the board. */
export function go(address) {
  history.pushState(null, "", address);
  showPage(true);
}

/** Show a message for some seconds; screen readers read it. */
export function tell(text, isError = false) {
  const line = element("p", { class: isError ? "error" : null }, text);
  document.getElementById("messages").append(line);
  setTimeout(() => line.remove(), isError ? 12000 : 5000);
}

/** Set the title of the page and return its heading. */
export function heading(text) {
  document.title = `${text} · minicaffe`;
  return element("h1", {}, text);
}

async function showPage(isNew) {
  const main = document.getElementById("content");
  const current = ++visit;
  endPage();
  endPage = () => {};
  showNavigation();
  fill(main, element("p", { class: "small" }, t("Loading…")));
  try {
    const show = PAGES[location.pathname] ?? showRuns;
    const end = (await show(main, new URLSearchParams(location.search))) ?? (() => {});
    if (current === visit) endPage = end;
    else end(); // the reader has left it meanwhile
  } catch (error) {
    if (current === visit) fill(main, heading(t("Error")), element("p", { class: "error" }, error.message));
  }
  if (isNew) {
    window.scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

function showNavigation() {
  const links = [["/", t("Runs")], ["/jobs", t("Jobs")], ["/new", t("Train")]];
  const navigation = document.getElementById("navigation");
  navigation.setAttribute("aria-label", t("Pages"));
  fill(navigation, element("span", { class: "name" }, "minicaffe"), links.map(([href, text]) =>
    element("a", { href, "aria-current": location.pathname === href ? "page" : null }, text)));
  document.getElementById("skip").textContent = t("To the content");
}

function showPreferences() {
  const names = { auto: t("System colours"), light: t("Light"), dark: t("Dark") };
  const choice = (label, options, value, onchange) =>
    element("select", { "aria-label": label, onchange: (event) => onchange(event.target.value) },
      options.map(([name, text]) => element("option", { value: name, selected: name === value }, text)));
  fill(document.getElementById("preferences"),
    choice(t("Colours"), THEMES.map((name) => [name, names[name]]), theme(), (name) => {
      localStorage.setItem(THEME, name);
      setTheme();
    }),
    choice(t("Language"), languages(), language(), chooseLanguage));
}

function theme() {
  const stored = localStorage.getItem(THEME);
  return THEMES.includes(stored) ? stored : "auto";
}

function setTheme() {
  if (theme() === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme();
  document.dispatchEvent(new Event("colours")); // charts are drawn anew
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
  if (!link || !isPlain || link.target || link.hasAttribute("download")) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || !(url.pathname in PAGES) || url.hash) return;
  event.preventDefault();
  go(url.pathname + url.search);
});
document.addEventListener("connection", (event) => {
  const shown = document.getElementById("offline");
  if (event.detail) shown?.remove();
  else if (!shown) {
    document.getElementById("messages").append(element("p", { id: "offline", class: "error" },
      t("The server does not answer; the page tries again.")));
  }
});
window.addEventListener("popstate", () => showPage(false));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", setTheme);

setTheme();
await loadLanguage();
showPreferences();
await showPage(false);
