// Changes of runs, as streams of a page tell them to its other parts.

/** Tell the parts of the page that a run has a new summary. */
export function tellSummary(detail) {
  document.dispatchEvent(new CustomEvent("summary", { detail }));
}

/**
 * Call a function with each new summary until the returned function is called.
 * @param {function(Object)} handle
 */
export function onSummary(handle) {
  const listener = (event) => handle(event.detail);
  document.addEventListener("summary", listener);
  return () => document.removeEventListener("summary", listener);
}

/**
 * Call a function some time after new summaries, once for all of them.
 * @param {function(): Promise} refresh  its errors are ignored: the stream tells them
 * @param {number} delayMs
 * @returns {function} ends the calls
 */
export function refreshAfterSummaries(refresh, delayMs = 4000) {
  let timer = 0;
  const end = onSummary(() => {
    timer ||= setTimeout(() => {
      timer = 0;
      refresh().catch(() => {});
    }, delayMs);
  });
  return () => {
    clearTimeout(timer);
    end();
  };
}
