// Forms that put a training or a new project into the queue.

import { get, send } from "../api.js";
import { element, fill } from "../dom.js";
import { formFields } from "../form.js";
import { go, heading, tell } from "../main.js";
import { t } from "../text.js";

export async function showNew(main, query) {
  const projects = await get("projects");
  const isTraining = query.get("form") !== "new";
  const link = (form, text, isCurrent) =>
    element("a", { href: `/new?form=${form}`, "aria-current": isCurrent ? "page" : null }, text);
  fill(main, heading(isTraining ? t("Train") : t("New project")),
    element("nav", { "aria-label": t("Forms") },
      link("train", t("Train"), isTraining), link("new", t("New project"), !isTraining)));
  if (!projects.is_allowed)
    main.append(element("p", {}, t("This board only shows: it was started with --no_control.")));
  else if (isTraining) main.append(...trainForm(projects, query.get("solver")));
  else main.append(projectForm(projects));
}

function projectForm(projects) {
  const { elements, values } = formFields("new", projects.forms.new, offersOf(projects));
  return form(elements, () => ({ command: "new", values: values() }),
    element("button", { class: "primary" }, t("Make the project")),
    element("span", { class: "small" }, t("Paths are below {folder}.", { folder: projects.folder })));
}

function trainForm(projects, solver) {
  const known = new Map(projects.solvers);
  const first = solver ?? (known.size === 1 ? projects.solvers[0][0] : "");
  const { elements, values } = formFields("train", projects.forms.train, offersOf(projects), { solver_file: first });
  const result = element("section", { "aria-live": "polite", "aria-label": t("Check") });
  const check = element("button", { type: "button", onclick: () => showCheck(check, result, values()) },
    t("Check first"));
  const where = element("p", { class: "small" });
  const made = form(elements, () => ({ command: "train", values: values() }),
    element("button", { class: "primary" }, t("Train")), check,
    element("span", { class: "small" }, t("Paths are below {folder}.", { folder: projects.folder })));
  const showWhere = () => {
    const place = known.get(values().solver_file);
    where.textContent = place === undefined ? "" : t("Runs in {folder}", { folder: place === "." ? projects.folder : place });
  };
  made.addEventListener("input", showWhere);
  showWhere();
  const hint = known.size === 0 && element("p", {},
    t("There is no solver below {folder} yet.", { folder: projects.folder }), " ",
    element("a", { href: "/new?form=new" }, t("Make a project from images first.")));
  return [hint, made, where, result].filter(Boolean);
}

function offersOf(projects) {
  return { solver_file: projects.solvers.map(([path]) => path), images: projects.images,
    net: projects.nets, weights: projects.weights };
}

/** Return a form that sends what `content` returns as a job, and shows the command's message. */
function form(elements, content, ...buttons) {
  const message = element("p", { class: "error", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    message.textContent = "";
    buttons[0].disabled = true;
    try {
      const job = await send("POST", "jobs", {}, content());
      go("/jobs");
      tell(t("Job {id} is in the queue.", { id: job.id }));
    } catch (error) {
      message.textContent = error.message;
    }
    buttons[0].disabled = false;
  };
  return element("form", { onsubmit: submit }, elements, message, element("div", { class: "row" }, buttons));
}

async function showCheck(button, place, values) {
  button.disabled = true;
  fill(place, element("p", {}, t("Checking…")));
  try {
    const found = await send("POST", "checks", {}, { values });
    const list = (title, items, name) => items.length > 0 && [element("h2", {}, title),
      element("ul", {}, items.map((item) => element("li", { class: name }, item)))];
    fill(place, list(t("Errors"), found.errors, "error"), list(t("Warnings"), found.warnings, null),
      found.is_good && found.warnings.length === 0 && element("h2", {}, t("No problem found")),
      found.facts.length > 0 && element("pre", { tabindex: 0 }, found.facts.join("\n")));
  } catch (error) {
    fill(place, element("p", { class: "error" }, error.message));
  }
  button.disabled = false;
}
