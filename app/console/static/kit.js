// What every view uses: templates, calls of the API, and how figures are written.
import { h, render, Component } from "./vendor/preact.mjs";
import htm from "./vendor/htm.mjs";
import { ownerHeader } from "./owner.js";

export { render, Component };
export const html = htm.bind(h);

export class ApiError extends Error {
  constructor(status, problem) {
    super([problem.detail, ...(problem.errors || []).map(error => `${error.path}: ${error.message}`)].join(" "));
    this.status = status;
  }
}

// Paths are relative, so that the console also works behind a proxy that serves it under a prefix.
export const call = async (method, path, body) => (await exchange(method, path, body)).found;

// What is found, and its tag. `extra`: headers such as If-Match.
export async function exchange(method, path, body, extra = {}) {
  const headers = { "X-Reco-Console": "1", ...ownerHeader(), ...extra };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new ApiError(0, { detail: "The service does not answer." });
  }
  const text = await answer.text();
  let found = null, isJson = true;
  try { found = text ? JSON.parse(text) : null; } catch { isJson = false; }
  if (!answer.ok) {
    if (answer.status === 401 && path !== "console/session") dispatchEvent(new CustomEvent("signed-out", { detail: found?.code }));
    throw new ApiError(answer.status, found?.detail ? found : { detail: `The service answers ${answer.status}.` });
  }
  if (!isJson) throw new ApiError(answer.status, { detail: "What answers is not the service; a proxy may want a sign-in of its own. Reload the page." });
  return { found, etag: answer.headers.get("ETag") };
}

export const get = (path, query = {}) => call("GET", path + asQuery(query));
export const post = (path, body) => call("POST", path, body);

// Browsers take these two ids for steps in the path, also where the dots are encoded.
export const isAddressable = id => id !== "." && id !== "..";

export function idPath(path, id) {
  if (!isAddressable(id)) throw new Error(`A browser cannot ask for the id ${id}, which is a step in a path. A program can: curl --path-as-is, with %2E for each dot.`);
  return `${path}/${encodeURIComponent(id)}`;
}

function asQuery(query) {
  const chosen = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  return chosen.length ? "?" + new URLSearchParams(chosen) : "";
}

export const WAIT = "What you began is still under way. Click again when it is done.";

// An act that is under way is not begun a second time, as a double click would; `onWait` tells of what is not done then.
export function once(act, onWait) {
  let running = null;
  return (...given) => {
    if (running) onWait(); else running = act(...given).finally(() => { running = null; });
    return running;
  };
}

export function count(value) {
  return value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en");
}

export function rate(value) {
  if (value === null || value === undefined) return "–";
  return `${value >= 10 ? count(value) : value.toFixed(1)}/s`;
}

export function percent(value) {
  if (value === null || value === undefined) return "–";
  // No -0; and a rate below one in a hundred, as conversions have, keeps two digits.
  const hundredths = 100 * value + 0, isSmall = hundredths !== 0 && Math.abs(hundredths) < 1;
  return `${hundredths.toLocaleString("en", isSmall ? { maximumSignificantDigits: 2 } : { minimumFractionDigits: 1, maximumFractionDigits: 1 })} %`;
}

export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}

export function time(value) {
  return value ? new Date(value).toLocaleString("en-GB", { dateStyle: "short", timeStyle: "medium" }) : "–";
}

// A name that is read from right to left, or that says so of what follows, is set apart, so that it does not carry what is
// beside it along. Marks that would end that early are left out.
const DIRECTED = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u202a-\u202e\u2066-\u2069]/;
export const apart = name => (DIRECTED.test(name) ? `\u2068${name.replace(/[\u2066-\u2069]/g, "")}\u2069` : name);

// `again`: asks anew for what could not be read.
export function Problem({ error, again }) {
  return error ? html`<p class="notice bad row" role="alert"><span class="grow">${error.message}</span>
    ${again && html`<button class="plain" onClick=${again}>Try again</button>`}</p>` : null;
}

// What was done and what went wrong, in sight also where the page is scrolled down to what was pressed.
export function Said({ error, again, said, children }) {
  return html`<div class="said"><${Problem} error=${error} again=${again} /><p role="status" class="row">${said && html`<span>${said}</span>`}${children}</p></div>`;
}

// Until the answer comes: what is not known yet is not empty.
export const Loading = () => html`<p class="quiet">Loading.</p>`;

// A part that opens on demand: what is in `first` gets the focus, and what opened it has it again afterwards. `isBack`: it is
// open again with its view, which has the focus.
export class Opening extends Component {
  constructor() {
    super();
    this.first = { current: null };
  }

  componentDidMount() {
    this.opener = document.activeElement;
    // What comes late does not take the focus from somebody who types by then.
    if (!this.props.isBack && !this.opener.matches("input, textarea, select")) this.first.current.focus();
  }

  componentWillUnmount() {
    const focused = document.activeElement;
    if (focused !== document.body && !this.first.current?.closest("form, section").contains(focused)) return;
    const isThere = this.opener.isConnected && this.opener !== document.body;
    (isThere ? this.opener : document.getElementById("main")).focus();
  }
}

// What had the focus may be gone: then the next Tab begins with the view.
export function keepFocus() {
  if (document.activeElement === document.body) document.getElementById("main").focus();
}

// A picture says nothing that the title beside it does not. The attribute may have any value; answers have a URL or a path.
export function Picture({ url }) {
  return typeof url === "string" && /^(https:\/\/|\/(?![/\\]))/.test(url) ? html`<img class="picture" src=${url} alt="" loading="lazy" width="48" height="48" />` : null;
}

// Times as fields of the kind datetime-local have them: in the browser's zone.
export function asLocal(value) {
  if (!value) return "";
  const at = new Date(value);
  return new Date(at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

export const fromLocal = text => (text ? new Date(text).toISOString() : null);
