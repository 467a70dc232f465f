// Dead rows and dead letters: searched, opened, and replayed or discarded with a count first.
import { html, Component, get, idPath, WAIT, count, time, keepFocus, Loading, Opening, Said } from "./kit.js";
import { act, acting, takeEnded } from "./acting.js";
import { Letters } from "./letters.js";

const PAGE = 200;
// The service counts no further.
const COUNTED = 100_000;
const FILTERS = { topic: "the topic", error: "the error", event_id: "the event" };
const SOURCES = { dlq: "Dead letters", outbox: "Dead outbox rows" };
const ABOUT = {
  dlq: "Messages that the consumer could not count.", outbox: "Rows that Kafka refused too often.",
};

const EMPTY = { dlq: "all messages were counted.", outbox: "Kafka took all rows." };

export class ActView extends Component {
  constructor() {
    super();
    const source = Object.keys(SOURCES).find(name => location.hash === `#act/${name}`) || "dlq";
    this.state = { query: { source, status: "pending", topic: "", error: "", event_id: "" }, entries: [], matching: null,
      next: null, chosen: new Set(), open: null, plan: null };
  }

  componentDidMount() {
    acting.tell = () => this.follow();
    this.search({}, takeEnded());
  }

  componentWillUnmount() { acting.tell = () => {}; }

  async search(changes, { said = "", failure = null } = {}) {
    const query = { ...this.state.query, ...changes };
    if (query.source === "outbox" && query.status === "replayed") query.status = "pending";
    // What another search found says nothing of this one, which may fail.
    this.setState({ query, entries: [], matching: null, next: null, chosen: new Set(), plan: acting.plan, open: null, said, failure, error: null });
    await this.load(query, 0, []);
  }

  async load(query, after, before) {
    this.loading = true;
    try {
      const { entries, matching, next, as_of } = await get("dead-letters", { ...query, after, limit: PAGE });
      if (query === this.state.query) this.setState({ entries: [...before, ...entries], matching, next, until: as_of, error: null });
    } catch (error) {
      if (query === this.state.query) this.setState({ error });
    }
    this.loading = false;
  }

  more() {
    const { next, query, entries } = this.state;
    if (next !== null && !this.loading) this.load(query, next, entries);
  }

  submit(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    this.search({ source: form.get("source"), status: form.get("status"), topic: form.get("topic"), error: form.get("error").trim(), event_id: form.get("event_id") });
  }

  toggle(id, on) {
    this.setState(({ chosen: before }) => {
      const chosen = new Set(before);
      if (on) chosen.add(id); else chosen.delete(id);
      return { chosen };
    });
  }

  // Another one may have been opened, or searched for, meanwhile.
  async show(id) {
    const { query } = this.state, isLatest = () => this.asked === id && query === this.state.query;
    this.asked = id;
    try {
      const open = await get(idPath("dead-letters", id), { source: query.source });
      if (isLatest()) this.setState({ open, error: null });
    } catch (error) {
      if (isLatest()) this.setState({ error });
    }
  }

  emptiness() {
    const { query } = this.state;
    if (Object.keys(FILTERS).some(name => query[name])) return "Nothing matches. Fewer conditions find more.";
    return query.status === "pending" ? `There is nothing to do: ${EMPTY[query.source]}` : `Nothing was ${query.status} yet, or retention has removed it.`;
  }

  // What would be done, to how many, and which: first look, then act. A field may hold what was not searched for.
  propose(what) {
    if (acting.plan) return this.setState({ said: WAIT });
    const { query, chosen, matching, until } = this.state;
    const by = Object.keys(FILTERS).filter(name => query[name]).map(name => `${FILTERS[name]} ${query[name]}`).join(" and ");
    return this.setState({ said: "", plan: { what, by, until, ids: chosen.size ? [...chosen] : null, total: chosen.size || matching, done: 0 } });
  }

  begin(reason) {
    if (acting.plan) this.setState({ said: WAIT }); else act(this.state.plan, this.state.query, reason);
  }

  // What ends has changed what is found.
  async follow() {
    if (acting.plan) return this.setState({ plan: acting.plan }, keepFocus);
    await this.search({}, takeEnded());
    return this.setState({}, keepFocus);
  }

  render(_, { query, entries, matching, chosen, open, plan, said, failure, error }) {
    const pending = query.status === "pending" || (query.source === "dlq" && query.status === "replayed");
    return html`<div class="stack"><h2>Act</h2>
      <form onSubmit=${event => this.submit(event)}><fieldset class="card row" disabled=${plan?.running}><legend class="hidden-text">Search</legend>
        <label>Of <select name="source" onChange=${event => event.target.form.requestSubmit()}>${Object.entries(SOURCES).map(([name, label]) =>
          html`<option value=${name} selected=${name === query.source}>${label}</option>`)}</select></label>
        <label>State <select name="status" onChange=${event => event.target.form.requestSubmit()}>
          <option value="pending" selected=${query.status === "pending"}>pending</option>
          ${query.source === "dlq" && html`<option value="replayed" selected=${query.status === "replayed"}>replayed</option>`}
          <option value="discarded" selected=${query.status === "discarded"}>discarded</option></select></label>
        <label>Topic <input name="topic" maxlength="128" autocomplete="off" /></label>
        <label>Error contains <input name="error" maxlength="500" autocomplete="off" /></label>
        <label>Event <input name="event_id" maxlength="128" autocomplete="off" /></label>
        <button>Search</button></fieldset></form>
      <p class="quiet small">${ABOUT[query.source]}</p>
      <${Said} error=${failure || error} said=${said} />
      ${(matching !== null || plan || !error) && html`<section class="card">
        <div class="row"><h3>${matching === null ? "" : `${number(matching)} found`}${chosen.size ? `, ${count(chosen.size)} chosen` : ""}</h3>
          ${pending && matching > 0 && html`<button class="plain" onClick=${() => this.propose("replay")}>Replay ${chosen.size ? "chosen" : "all found"}</button>
          <button class="danger" onClick=${() => this.propose("discard")}>Discard ${chosen.size ? "chosen" : "all found"}</button>`}</div>
        ${plan && html`<${Plan} key=${plan.what} plan=${plan} onAct=${reason => this.begin(reason)} onCancel=${() => this.setState({ plan: null })} />`}
        ${matching === null && !error && html`<${Loading} />`}
        ${matching === 0 && html`<p class="quiet">${this.emptiness()}</p>`}
        ${entries.length > 0 && html`<${Letters} entries=${entries} matching=${matching} chosen=${chosen} open=${open} onEnd=${() => this.more()}
          onToggle=${(id, on) => this.toggle(id, on)} onOpen=${id => this.show(id)} />`}
      </section>`}
      ${open && html`<${Opened} key=${open.id} letter=${open} onClose=${() => this.setState({ open: null })} />`}
    </div>`;
  }
}

const number = matching => `${count(matching)}${matching >= COUNTED ? " or more" : ""}`;

class Plan extends Opening {
  submit(event) {
    event.preventDefault();
    this.props.onAct(new FormData(event.target).get("reason")?.trim());
  }

  render({ plan, onCancel }) {
    const discards = plan.what === "discard", total = plan.ids ? count(plan.total) : number(plan.total);
    return html`<form class="notice ${discards ? "bad" : ""}" role="group" aria-label="Confirm" onSubmit=${event => this.submit(event)}>
      <p><strong>${total}</strong>${" "}will be ${discards ? "given up" : "sent again"}, ${plan.ids ? "those chosen" : `all that the search finds${plan.by && ` by ${plan.by}`}`}.
        ${" "}${discards ? "They stay stored, with your reason." : "Nothing is counted twice."}</p>
      ${discards && (plan.running ? html`<p>Why: ${plan.reason}</p>` : html`<label>Why <input name="reason" required maxlength="500" ref=${this.first} /></label>`)}
      ${plan.running ? html`<p role="status" tabindex="-1" ref=${this.first}><progress max=${Math.max(plan.total, plan.done)} value=${plan.done} aria-label="Progress"></progress>${" "}${count(plan.done)} of ${total}</p>`
        : html`<p class="row"><button class=${discards ? "danger" : ""} ref=${discards ? undefined : this.first}>${discards ? "Discard" : "Replay"} ${total}</button>
          <button type="button" class="plain" onClick=${onCancel}>Cancel</button></p>`}</form>`;
  }
}

class Opened extends Opening {
  render({ letter, onClose }) {
    const raw = Uint8Array.from(atob(letter.raw), character => character.charCodeAt(0));
    const facts = { State: letter.status, Topic: letter.topic, Event: letter.event_id, Position: letter.position, Key: letter.key,
      Kind: letter.kind, Attempts: letter.attempts, Replays: letter.replays, Failed: time(letter.failed_at), Trace: letter.traceparent,
      Resolved: letter.resolved_at && `${time(letter.resolved_at)}, ${letter.resolved_by}: ${letter.resolution}` };
    return html`<section class="card" aria-label="Opened"><div class="row"><h3 class="grow" tabindex="-1" ref=${this.first}>Number ${letter.id}</h3>
        <button class="plain" onClick=${onClose}>Close</button></div>
      <dl class="figures">${Object.entries(facts).filter(([, value]) => value !== null && value !== undefined).map(([name, value]) =>
        html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
      <h4>Error</h4><pre tabindex="0">${letter.error || "none"}</pre>
      ${letter.errors.length > 0 && html`<h4>Attempts</h4><${Attempts} errors=${letter.errors} />`}
      ${letter.payload !== null && html`<h4>Payload</h4><pre tabindex="0">${JSON.stringify(exact(raw, letter), null, 2)}</pre>`}
      ${Object.keys(letter.headers).length > 0 && html`<h4>Headers</h4><pre tabindex="0">${Object.entries(letter.headers).map(([name, value]) => `${name}: ${value}`).join("\n")}</pre>`}
      <h4>Bytes${raw.length < letter.size ? `, the first ${count(raw.length)} of ${count(letter.size)}` : `, ${count(letter.size)}`}</h4>
      <pre class="bytes" tabindex="0">${hex(raw)}</pre></section>`;
  }
}

// The message with its numbers as they were sent: JavaScript rounds long ones, unless the browser tells how they are written.
function exact(raw, { payload, size }) {
  if (!JSON.rawJSON || raw.length < size) return payload;
  return JSON.parse(new TextDecoder().decode(raw), (_, value, { source }) => (typeof value === "number" ? JSON.rawJSON(source) : value));
}

// The latest first.
function Attempts({ errors }) {
  return html`<ol class="items" aria-label="Attempts">${errors.toReversed().map(one => html`<li><span class="what">${one.error}
    <br /><span class="quiet small">${time(one.at)}, ${one.task} of ${one.process}${one.replays ? `, after ${one.replays === 1 ? "a replay" : `${one.replays} replays`}` : ""}</span></span></li>`)}</ol>`;
}

function hex(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const part = [...bytes.slice(at, at + 16)];
    const text = part.map(byte => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${part.map(byte => byte.toString(16).padStart(2, "0")).join(" ").padEnd(47)}  ${text}`);
  }
  return lines.join("\n");
}
