// Forms of commands, made from the declarations of their flags.

import { element } from "./dom.js";
import { helpTexts } from "./form_help.js";
import { t } from "./text.js";

let lists = 0;

/** Return the labels of known flags; others are labelled by their names. */
function labels() {
  return {
    backend: t("Backend"), base_lr: t("Learning rate"), batch_size: t("Batch size"),
    directory: t("Folder of the project"), gpu: t("GPU"), gray: t("Grey images"),
    images: t("Images"), keep_best: t("Keep the best weights by"), keep_last: t("Snapshots to keep"),
    level: t("Level"), max_iter: t("Iterations"), net: t("Net"), no_graph: t("No CUDA graphs"),
    patience: t("Patience"), precision: t("Precision"), seed: t("Seed"),
    settings: t("Further settings"), size: t("Size of the input"), solver_file: t("Solver"),
    split: t("Training to validation"), stage: t("Stages"), strict_backend: t("Strict backend"),
    task: t("Task"), tensorboard: t("Event file of TensorBoard"), threads: t("Threads"),
    weights: t("Trained weights"),
  };
}

/**
 * Return the elements of a form's fields and a function that returns their values.
 * @param {string} command
 * @param {Array<Object>} fields  from /api/projects
 * @param {Object<string, Array<string>>} offers  suggestions by the name of a field
 * @param {Object<string, string>} begin  values that the fields begin with
 */
export function formFields(command, fields, offers, begin = {}) {
  const inputs = fields.map((field) => [field, input(field, offers[field.name], begin[field.name])]);
  const helps = helpTexts();
  const part = (group) => inputs.filter(([field]) => field.group === group)
    .map(([field, made]) => labelled(field, made, helps[`${command} ${field.name}`] ?? field.help));
  const more = part("more");
  const elements = [
    element("div", { class: "fields" }, part("main")),
    more.length > 0 && element("details", {}, element("summary", {}, t("More settings")),
      element("div", { class: "fields" }, more)),
  ];
  const values = () => Object.fromEntries(inputs.map(([field, made]) => [field.name, value(field, made)]));
  return { elements, values };
}

function input(field, offered, begin) {
  const id = `field-${field.name}`;
  const shared = { id, name: field.name, required: field.is_required, "aria-describedby": `${id}-help` };
  const first = begin ?? field.default;
  if (field.kind === "switch") return element("input", { ...shared, type: "checkbox" });
  if (field.kind === "lines") return element("textarea", { ...shared, rows: 3, spellcheck: "false" });
  if (field.kind === "choice") {
    const choices = field.default ? field.choices : ["", ...field.choices];
    return element("select", shared, choices.map((choice) =>
      element("option", { value: choice, selected: choice === first }, choice || t("(as usual)"))));
  }
  const type = field.kind === "integer" ? "number" : "text";
  const made = element("input",
    { ...shared, type, value: first || null, autocomplete: "off", spellcheck: "false" });
  if (offered?.length) {
    const list = `list-${++lists}`;
    made.setAttribute("list", list);
    made.suggestions = element("datalist", { id: list }, offered.map((one) => element("option", { value: one })));
  }
  return made;
}

function labelled(field, made, about) {
  const name = labels()[field.name] ?? field.name;
  const mark = field.is_required ? ` (${t("needed")})` : "";
  const help = element("span", { id: `${made.id}-help`, class: "small" }, about);
  return element("div", { class: field.kind === "switch" ? "field switch" : "field" },
    element("label", { for: made.id }, name + mark), made, made.suggestions, help);
}

function value(field, made) {
  if (field.kind === "switch") return made.checked;
  if (field.kind === "lines") return made.value.split("\n").map((line) => line.trim()).filter(Boolean);
  return made.value.trim();
}
