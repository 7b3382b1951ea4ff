// The queue of jobs of this computer.

import { get, send } from "../api.js";
import { element, fill, table } from "../dom.js";
import { heading, tell } from "../main.js";
import { duration, t } from "../text.js";

const PAUSE_MS = 1500;
const MOST_CHARACTERS = 200000; // of a log on the page

export async function showJobs(main, query) {
  const queue = element("section", { class: "jobs", "aria-label": t("Queue") });
  const log = element("section", { "aria-label": t("Log") });
  fill(main, heading(t("Jobs")), element("p", {},
    element("a", { href: "/new" }, t("Train")), " · ",
    element("a", { href: "/new?form=new" }, t("New project"))), queue, log);
  const number = query.get("job");
  const follow = number === null ? async () => {} : logFollower(log, number);
  let shown = "", hasEnded = false, timer;
  const update = async () => {
    try {
      const answer = await get("jobs");
      if (JSON.stringify(answer) !== shown) showQueue(queue, answer, update);
      shown = JSON.stringify(answer);
      await follow();
    } catch (error) {
      fill(queue, element("p", { class: "error" }, error.message));
      shown = "";
    }
    clearTimeout(timer);
    if (!hasEnded) timer = setTimeout(update, PAUSE_MS);
  };
  await update();
  return () => {
    hasEnded = true;
    clearTimeout(timer);
  };
}

function showQueue(place, answer, update) {
  const { jobs } = answer;
  const waiting = jobs.filter((job) => job.state === "waiting");
  const running = jobs.filter((job) => job.state === "running");
  const ended = jobs.filter((job) => !["waiting", "running"].includes(job.state)).reverse();
  const rows = [...running, ...waiting, ...ended].map((job) => row(job, waiting, answer, update));
  const focused = place.contains(document.activeElement) ? document.activeElement.id : null;
  fill(place,
    !answer.is_allowed && element("p", {}, t("This board only shows: it was started with --no_control.")),
    answer.problem && element("p", { class: "error" }, answer.problem),
    rows.length === 0
      ? element("p", {}, t("Nothing waits and nothing runs. Start a training, or make a project from images."))
      : table(t("Jobs that run, wait and have ended; {n} at a time", { n: answer.limit }),
        [t("Job"), t("State"), t("Time"), t("Command"), t("Actions")], rows, { 2: "number", 3: "command", 4: "actions" }));
  if (focused) (document.getElementById(focused) ?? place.querySelector("button"))?.focus();
}

function states() {
  return { waiting: t("waiting"), running: t("in progress"), finished: t("finished"),
    failed: t("failed"), stopped: t("stopped") };
}

function row(job, waiting, answer, update) {
  const state = job.is_stopping ? t("Stopping…") : states()[job.state];
  const place = waiting.indexOf(job);
  const about = [
    state, place >= 0 && waiting.length > 1 && ` (${place + 1}/${waiting.length})`,
    job.exit_code !== null && job.state === "failed" && `, ${t("exit code {code}", { code: job.exit_code })}`,
    job.error && element("p", { class: "error message", tabindex: 0 }, job.error),
  ];
  const links = [
    job.run && element("a", { href: `/run?${new URLSearchParams({ run: job.run })}` }, job.run),
    job.project && job.state === "finished" && element("a",
      { href: `/new?${new URLSearchParams({ form: "train", solver: `${job.project}/solver.prototxt` })}` },
      t("Train {project}", { project: job.project })),
  ].filter(Boolean);
  return [
    String(job.id), about, seconds(job),
    [element("code", {}, job.command), job.folder !== "." && element("div", { class: "small" },
      t("Runs in {folder}", { folder: job.folder })), links.map((link) => element("div", {}, link))],
    element("div", { class: "row" }, job.state !== "waiting" && element("a",
      { href: `/jobs?job=${job.id}`, "aria-label": t("Log of job {id}", { id: job.id }) }, t("Log")),
    answer.is_allowed && buttons(job, waiting, update)),
  ];
}

function buttons(job, waiting, update) {
  const { id } = job;
  const button = (name, text, act, isDisabled = false) => element("button", {
    type: "button", id: `job-${id}-${name}`, disabled: isDisabled,
    "aria-label": t("{action}: job {id}", { action: text, id }),
    onclick: async () => {
      try {
        await act();
      } catch (error) {
        tell(error.message, true);
      }
      await update();
    },
  }, text);
  if (job.state === "running")
    return job.is_stopping
      ? button("kill", t("Kill"), () => send("DELETE", "jobs", { id, at_once: 1 }))
      : button("stop", t("Stop"), () => send("DELETE", "jobs", { id }));
  if (job.state === "waiting") {
    const place = waiting.indexOf(job);
    return [
      waiting.length > 1 &&
        button("up", t("Earlier"), () => move(waiting, place, place - 1), place === 0),
      waiting.length > 1 && button("down", t("Later"), () => move(waiting, place, place + 1), place === waiting.length - 1),
      button("cancel", t("Cancel"), () => send("DELETE", "jobs", { id })),
    ];
  }
  return [
    button("again", t("Start again"), () => send("POST", "jobs", {}, { again: id })),
    button("remove", t("Remove"), () => send("DELETE", "jobs", { id, forget: 1 })),
  ];
}

function move(waiting, from, to) {
  const ids = waiting.map((job) => job.id);
  ids.splice(to, 0, ...ids.splice(from, 1));
  return send("POST", "jobs/order", {}, { ids });
}

function seconds(job) {
  if (!job.started) return "";
  const end = job.ended ? new Date(job.ended) : new Date();
  return duration(Math.max(end - new Date(job.started), 0) / 1000);
}

/** Return a function that adds the new lines of a log. */
function logFollower(place, id) {
  const text = element("pre", { tabindex: 0, class: "log" });
  fill(place, element("h2", {}, t("Log of job {id}", { id })), text);
  let after = 0;
  return async () => {
    const isAtEnd = text.scrollTop + text.clientHeight >= text.scrollHeight - 4;
    let found;
    do {
      found = await get("job/log", { id, after });
      after = found.next;
      if (found.text) text.textContent = (text.textContent + found.text).slice(-MOST_CHARACTERS);
    } while (found.text);
    if (isAtEnd) text.scrollTop = text.scrollHeight;
  };
}
