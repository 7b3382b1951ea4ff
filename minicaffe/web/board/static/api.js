// Requests to the server. Errors have the server's message.

/** Return the address of a route of the interface; values may be arrays. */
export function address(path, query = {}) {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    [value].flat().filter((one) => one !== null && one !== undefined).map((one) => [name, one]));
  const words = new URLSearchParams(pairs).toString();
  return `/api/${path}${words ? `?${words}` : ""}`;
}

/** Return the JSON of a route. */
export function get(path, query = {}, signal = undefined) {
  return request(address(path, query), { signal });
}

/** Send a change as JSON, or a FormData, and return the JSON of the answer. */
export function send(method, path, query = {}, body = undefined) {
  const settings = { method };
  if (body instanceof FormData) settings.body = body;
  else if (body !== undefined) {
    settings.body = JSON.stringify(body);
    settings.headers = { "content-type": "application/json" };
  }
  return request(address(path, query), settings);
}

const RETRY_MS = 1500;

/**
 * Receive server-sent events until the returned function is called. While the page is hidden, or
 * the server cannot be reached, nothing is received; then the stream begins again.
 * @param {string} path
 * @param {Object|function(): Object} query  a function is asked again whenever the stream begins
 * @param {Object<string, function>} handlers  name of an event -> function of its JSON
 */
export function listen(path, query, handlers) {
  let source = null;
  let timer = 0;
  const close = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };
  const open = () => {
    close();
    if (document.hidden) return;
    source = new EventSource(address(path, typeof query === "function" ? query() : query));
    source.addEventListener("open", () => tellConnection(true));
    source.addEventListener("error", () => {
      tellConnection(false);
      close();
      timer = setTimeout(open, RETRY_MS);
    });
    for (const [name, handle] of Object.entries(handlers))
      source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
  };
  document.addEventListener("visibilitychange", open);
  open();
  return () => {
    document.removeEventListener("visibilitychange", open);
    close();
  };
}

function tellConnection(isConnected) {
  document.dispatchEvent(new CustomEvent("connection", { detail: isConnected }));
}

async function request(url, settings) {
  const answer = await fetch(url, settings);
  const isJson = (answer.headers.get("content-type") ?? "").startsWith("application/json");
  const body = isJson ? await answer.json() : await answer.text();
  if (!answer.ok) throw new Error((isJson ? body.error : body) || answer.statusText);
  return body;
}
