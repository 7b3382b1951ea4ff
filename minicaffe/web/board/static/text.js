// Texts in the language of the reader. English texts are the keys of the other languages.

const LANGUAGES = { en: "English", ko: "한국어" };
const STORED = "minicaffe.language";

let chosen = "en";
let translations = {};

/** Load the language that was chosen before, or that the browser prefers. */
export async function loadLanguage() {
  const wanted = [localStorage.getItem(STORED), ...navigator.languages.map((l) => l.slice(0, 2))];
  chosen = wanted.find((one) => one in LANGUAGES) ?? "en";
  document.documentElement.lang = chosen;
  if (chosen !== "en") translations = await (await fetch(`/static/${chosen}.json`)).json();
}

/** Return a text in the chosen language; {name} in it is replaced by values.name. */
export function t(text, values = {}) {
  return (translations[text] ?? text)
    .replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}

export function language() {
  return chosen;
}

export function languages() {
  return Object.entries(LANGUAGES);
}

export function chooseLanguage(name) {
  localStorage.setItem(STORED, name);
  location.reload();
}

/** Return a number with at most `digits` significant digits; "" for null. */
export function number(value, digits = 4) {
  if (value === null || value === undefined) return "";
  if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e7))
    return value.toExponential(digits - 1);
  return value.toLocaleString(chosen, { maximumSignificantDigits: digits });
}

/** Return a count with separators of thousands. */
export function count(value) {
  return value === null || value === undefined ? "" : value.toLocaleString(chosen);
}

/** Return a number of bytes with a unit. */
export function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const k = value > 0 ? Math.min(Math.floor(Math.log10(value) / 3), units.length - 1) : 0;
  return `${number(value / 1000 ** k, 3)} ${units[k]}`;
}

/** Return seconds as minutes and seconds, or hours, minutes and seconds. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const whole = Math.round(seconds);
  const two = (n) => String(n).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** Return date and time of a text in ISO 8601. */
export function date(text) {
  if (!text) return "";
  return new Date(text).toLocaleString(chosen, { dateStyle: "medium", timeStyle: "short" });
}
