// What a user gets and why; an event by clicking, and how the list changes.
import { html, Component, get, post, idPath, isAddressable, apart, keepFocus, time, Picture, Said, WAIT } from "./kit.js";

const PLACES = 12;
const LOOK_EVERY_MS = 300;
const LOOKS = 20;
const SOURCES = {
  covisitation: "goes with their items", content: "alike by content", popular: "popular", repeat: "own item",
  explore: "new, tried out", pinned: "pinned by a rule", catalogue: "from the catalogue",
};
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

export class TryView extends Component {
  constructor({ session }) {
    super();
    this.may = scope => session.scopes.includes(scope);
    this.state = { users: null, variants: [], user: "", typed: "", rankings: [""], lists: [], history: null, busy: false };
    this.sessionId = `console-${Math.random().toString(36).slice(2, 12)}`;
  }

  componentDidMount() { this.begin(); }

  async begin() {
    this.setState({ error: null });
    try {
      const [users, variants] = await Promise.all([
        this.may("users") ? get("users", { limit: 20 }).then(found => found.users) : [], this.may("operate") ? rankings() : []]);
      if (this.left) return;
      this.setState({ users, variants });
      const asked = named(location.hash) || users[0]?.user_id;
      // Not over what somebody typed meanwhile.
      if (asked && !this.state.typed) this.pick(asked);
    } catch (error) {
      this.setState({ error });
    }
  }

  componentWillUnmount() { this.left = true; }

  // The address names the user, for the next reload and for a colleague.
  async pick(user) {
    window.history.replaceState(null, "", `#try/${encodeURIComponent(user)}`);
    this.setState({ user, typed: user, lists: [], history: null, said: "" });
    await this.load(user);
  }

  async load(user = this.state.user) {
    if (!user) return;
    const { rankings } = this.state;
    // Another user or another list may have been picked meanwhile.
    const isLatest = () => user === this.state.user && rankings === this.state.rankings;
    this.setState({ busy: true });
    try {
      const [history, ...lists] = await Promise.all([this.history(user), ...rankings.map(name => this.list(user, name))]);
      if (isLatest()) this.setState({ history, lists: this.moved(lists), error: null, busy: false });
    } catch (error) {
      if (isLatest()) this.setState({ error, busy: false });
    }
  }

  async list(user, variant) {
    const answer = await get("reco", { user_id: user, k: PLACES, explain: true, variant });
    return { ...answer, variant, rankedBy: answer.variant };
  }

  async history(user) {
    if (!this.may("users")) return null;
    if (!isAddressable(user)) return { unread: `A browser cannot ask for the history of the user ${user}, whose id is a step in a path.` };
    try {
      return await get(idPath("users", user), { limit: 0 });
    } catch (error) {
      if (error.status === 404) return { events: 0, history: [] };
      throw error;
    }
  }

  moved(lists) {
    return lists.map((list, number) => {
      const before = this.state.lists[number];
      const known = before && before.variant === list.variant;
      const places = new Map(known ? before.items.map((item, place) => [item.item_id, place]) : []);
      return { ...list, items: list.items.map((item, place) => ({ ...item, ...change(known, places.get(item.item_id), place) })) };
    });
  }

  async send({ item_id, title }, event_type) {
    if (this.state.busy) return this.setState({ said: WAIT });
    const named = apart(title || item_id);
    const { user, rankings } = this.state, itemsOf = lists => JSON.stringify(lists.map(list => list.items.map(item => item.item_id)));
    const before = itemsOf(this.state.lists);
    // Somebody else, or another list, may be looked at meanwhile.
    const isShown = () => !this.left && user === this.state.user && rankings === this.state.rankings;
    this.setState({ busy: true, said: "" });
    try {
      await post("event", { user_id: user, session_id: this.sessionId, item_id, event_type });
      const began = performance.now();
      let changed = false;
      for (let look = 0; look < LOOKS && isShown() && !changed; look++) {
        await sleep(LOOK_EVERY_MS);
        changed = itemsOf(await Promise.all(rankings.map(name => this.list(user, name)))) !== before;
      }
      if (!isShown()) return this.setState({ said: `The ${event_type} of ${named} by ${apart(user)} is sent.` });
      await this.load();
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      this.setState({ said: `The ${event_type} of ${named} is sent. ${changed ? `The list changed ${seconds} s later.` : `The list is the same ${seconds} s later.`}` }, keepFocus);
    } catch (error) {
      this.setState({ error, busy: false });
    }
    return undefined;
  }

  submit(event) {
    event.preventDefault();
    if (this.field.value) this.pick(this.field.value);
  }

  // What ranks the list at this place; the empty name: what the user gets. Null: no list.
  rank(place, name) {
    const [first, second] = this.state.rankings, rankings = place === 0 ? [name, second] : [first, name];
    this.setState({ rankings: rankings.filter(one => typeof one === "string") }, () => this.load());
  }

  render(_, { users, variants, user, typed, rankings, lists, history, said, error, busy }) {
    return html`<div class="stack"><h2>Try</h2>
      <form class="card row" onSubmit=${event => this.submit(event)}>
        <label>User <input name="user" list="users" required maxlength="256" value=${typed} autocomplete="off"
          onInput=${event => this.setState({ typed: event.target.value })} ref=${input => { this.field = input; }} /></label>
        <datalist id="users">${users?.map(({ user_id }) => html`<option value=${user_id} />`)}</datalist>
        ${variants.length > 0 && html`<label>List <select name="ranking" value=${rankings[0]} onChange=${event => this.rank(0, event.target.value)}>
          <option value="">what they get</option>${variants.map(name => html`<option value=${name}>by ${name}</option>`)}</select></label>
        <label>Beside it <select name="compared" value=${rankings[1] || ""} onChange=${event => this.rank(1, event.target.value || null)}>
          <option value="">none</option>${variants.map(name => html`<option value=${name}>by ${name}</option>`)}</select></label>`}
        <button>Show</button></form>
      <${Said} error=${error} again=${users ? null : () => this.begin()} said=${said || (busy || (!users && !error) ? "Loading." : "")} />
      ${!user && users && html`<p class="quiet">${users.length ? "" : this.may("users") ? "Nobody has done anything yet. " : ""}Type the id of a user.</p>`}
      ${user && html`<div class="columns">
        ${history && html`<${History} history=${history} />`}
        ${lists.map((list, place) => html`<${List} key=${place} list=${list} busy=${busy}
          onEvent=${this.may("write") && place === 0 ? (item, kind) => this.send(item, kind) : null} />`)}</div>`}
    </div>`;
  }
}

// The user of an address such as #try/ann; what is not percent-encoded is read as it is.
function named(hash) {
  const [, user = ""] = /^#try\/(.*)$/.exec(hash) || [];
  try { return decodeURIComponent(user); } catch { return user; }
}

// The variants of the experiment, and the newest versions of the model.
async function rankings() {
  const [{ variants }, { versions }] = await Promise.all([get("variants"), get("models")]);
  return [...variants.map(({ name }) => name), ...versions.map(({ version }) => `model-${version}`)];
}

function History({ history }) {
  return html`<section class="card"><h3>History</h3>
    ${history.unread ? html`<p class="notice">${history.unread}</p>` : history.history.length === 0 ? html`<p class="quiet">Nothing is counted of this user yet.</p>`
      : html`<ol class="items scroll" tabindex="0" aria-label="History, newest first">${history.history.slice(0, 50).map(entry =>
        html`<li><${Picture} url=${entry.picture_url} /><span class="what">${apart(entry.title || entry.item_id)}<br /><span class="quiet small">${entry.kind}, ${time(entry.ts_ms)}</span></span></li>`)}</ol>`}
  </section>`;
}

function List({ list, busy, onEvent }) {
  const name = list.variant ? `By ${list.variant}` : "What they get";
  return html`<section class="card"><h3>${name}</h3>
    <p class="quiet small">${list.model_version}${list.variant === "" && list.rankedBy ? `, variant ${list.rankedBy}` : ""}</p>
    ${list.items.length === 0 ? html`<p class="quiet">The list is empty: there are no items yet.</p>`
      : html`<ol class="items" aria-label=${name}>${list.items.map((item, place) => html`<${Place} key=${item.item_id}
        item=${item} place=${place} busy=${busy} onEvent=${onEvent} />`)}</ol>`}</section>`;
}

function Place({ item, place, busy, onEvent }) {
  const title = apart(item.title || item.item_id);
  const parts = Object.entries(item.parts?.features || {}).sort(([, one], [, other]) => Math.abs(other) - Math.abs(one));
  return html`<li><span class="quiet">${place + 1}</span><${Picture} url=${item.picture_url} /><div class="what">${title}${" "}
      ${item.moved && html`<span class="small ${item.moved.kind}">${item.moved.text}</span>`}
      <br /><span class="badge">${SOURCES[item.source] || item.source}</span>
      ${item.why && html`<p class="quiet small">${item.why}</p>`}
      ${parts.length > 0 && html`<details class="small"><summary>Features<span class="hidden-text"> of ${title}</span></summary><dl class="figures">${parts.map(([name, value]) =>
        html`<dt>${name}</dt><dd>${value > 0 ? "+" : ""}${value.toFixed(2)}</dd>`)}${item.parts.factor !== 1
        ? html`<dt>factor of rules</dt><dd>× ${item.parts.factor}</dd>` : null}</dl></details>`}</div>
    ${onEvent && html`<span class="row"><button class="plain" aria-disabled=${busy} aria-label=${`View ${title}`}
      onClick=${() => onEvent(item, "view")}>View</button><button class="plain" aria-disabled=${busy}
      aria-label=${`Buy ${title}`} onClick=${() => onEvent(item, "purchase")}>Buy</button></span>`}</li>`;
}

function change(known, before, place) {
  if (!known || before === place) return {};
  if (before === undefined) return { moved: { kind: "moved-up", text: "new" } };
  return before > place ? { moved: { kind: "moved-up", text: `up ${before - place}` } }
    : { moved: { kind: "moved-down", text: `down ${place - before}` } };
}
