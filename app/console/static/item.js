// One item of the catalogue: read, changed for the state that was read, and removed.
import { html, call, get, exchange, idPath, once, apart, asLocal, fromLocal, time, Opening, Picture, Problem } from "./kit.js";

const PICTURE = "picture_url";
// By kind: a value as the text of a field, and back; an empty text is no value.
const KINDS = {
  number: { text: value => (typeof value === "number" ? String(value) : ""), value: Number, field: { type: "number", step: "any" } },
  text: { text: value => (typeof value === "string" ? value : ""), value: text => text, field: { maxlength: 500 } },
  flag: { text: value => (typeof value === "boolean" ? String(value) : ""), value: text => text === "true" },
  time: { text: value => (typeof value === "string" ? asLocal(value) : ""), value: fromLocal, field: { type: "datetime-local" } },
  list: { text: value => (Array.isArray(value) ? value.join("\n") : ""), value: lines },
  place: { text: value => (value?.lat === undefined ? "" : `${value.lat}, ${value.lon}`), value: placeOf, field: { placeholder: "52.52, 13.40" } },
};
const FIELDS = {
  title: { label: "Title", kind: "text", empty: null }, categories: { label: "Categories, one a line", kind: "list", empty: [] },
  tags: { label: "Tags, one a line", kind: "list", empty: [] }, published_at: { label: "Served from", kind: "time", empty: null },
  expires_at: { label: "Served until", kind: "time", empty: null }, hidden: { label: "Hidden", kind: "flag", empty: false },
};

// What was typed into the fields of an item and is not saved, and the tag of the state that it changes: it is there again
// when the item is opened again.
const drafts = new Map();
addEventListener("beforeunload", event => { if (drafts.size) event.preventDefault(); });

export class Item extends Opening {
  constructor() {
    super();
    this.state = { item: null, added: [] };
    this.readings = 0;
    this.acting = once(this.acting.bind(this), () => this.props.onWait());
  }

  componentDidMount() {
    super.componentDidMount();
    this.load();
  }

  // Whether it could be read; if not, that is said.
  async load() {
    try {
      const [{ found, etag }, { attributes }] = await Promise.all([exchange("GET", idPath("items", this.props.id)), get("attributes")]);
      const draft = drafts.get(this.props.id), typed = new Map(draft?.typed);
      this.readings += 1;
      this.setState({
        item: found, etag, typed, isBack: typed.size > 0, isOlder: draft && draft.etag !== etag, added: [...typed.keys()].filter(name => name.startsWith("a.")).map(name => name.slice(2)),
        kinds: { [PICTURE]: "text", ...Object.fromEntries(attributes.map(({ name, type }) => [name, type])) },
      }, () => this.focusTitle());
      return true;
    } catch (error) {
      if (this.state.item) this.props.onError(error); else this.setState({ failed: error });
      return false;
    }
  }

  // What had the focus is gone with the fields of before; somebody who is at another place by now stays there.
  focusTitle() {
    if (document.activeElement.contains(this.title)) this.title.focus();
  }

  async acting(act, said, undo) {
    try {
      await act();
      this.props.onDone(said, undo);
    } catch (error) {
      if (error.status !== 412) return this.props.onError(error);
      if (!await this.load()) return undefined;
      const over = drafts.has(this.props.id) ? ", and what you typed stands over it" : "";
      this.props.onError(new Error(`Somebody changed the item meanwhile. You see it as it is now${over}. Look, and do it again.`));
    }
    return undefined;
  }

  type({ target: { name, value } }) {
    if (!name) return;
    const { id } = this.props;
    if (!drafts.has(id)) drafts.set(id, { etag: this.state.etag, typed: new Map() });
    drafts.get(id).typed.set(name, value);
  }

  discard() {
    drafts.delete(this.props.id);
    return this.load();
  }

  save(event) {
    event.preventDefault();
    const { item, etag, kinds } = this.state, { id } = this.props, sent = new Map(drafts.get(id)?.typed);
    const { changes, before } = changed(sent, item, kinds);
    if (Object.keys(changes).length === 0) {
      drafts.delete(id);
      return this.props.onDone("Nothing has changed.", null);
    }
    const path = idPath("items", id);
    let made;
    return this.acting(async () => {
      if (changes.attributes?.[PICTURE]) await call("PUT", idPath("attributes", PICTURE), { type: "text" });
      made = await exchange("PATCH", path, changes, { "If-Match": etag });
      this.saved(made, sent);
    }, `${apart(item.title || item.item_id)} is changed.`, async () => {
      // What somebody changed since stays.
      await exchange("PATCH", path, before, { "If-Match": made.etag });
      await this.load();
    });
  }

  // What was typed since the fields were sent is not saved: it stays, and so do the fields.
  saved({ found, etag }, sent) {
    const { id } = this.props, left = new Map([...drafts.get(id)?.typed || []].filter(([name, value]) => sent.get(name) !== value));
    if (left.size) drafts.set(id, { etag, typed: left }); else drafts.delete(id);
    if (!left.size) this.readings += 1;
    this.setState({ item: found, etag, typed: new Map(left), isBack: false, added: left.size ? this.state.added : [] }, () => this.focusTitle());
  }

  remove() {
    const { item: { item_id, updated_at, ...whole }, etag } = this.state;
    const path = idPath("items", item_id);
    return this.acting(async () => {
      await exchange("DELETE", path, undefined, { "If-Match": etag });
      drafts.delete(item_id);
      this.props.onClose();
    }, `${apart(whole.title || item_id)} is removed from the catalogue.`, () => exchange("PUT", path, whole, { "If-None-Match": "*" }));
  }

  render({ id, may, onClose }, { item, typed, isBack, isOlder, kinds, added, failed }) {
    if (!item) return html`<section class="card" aria-label="Item" tabindex="-1" ref=${this.first}>${failed
      ? html`<${Problem} error=${failed} /><button class="plain" onClick=${onClose}>Close</button>` : html`<p class="quiet">Loading.</p>`}</section>`;
    const names = [...new Set([PICTURE, ...Object.keys(item.attributes), ...added])];
    const others = Object.keys(kinds).filter(name => !names.includes(name));
    return html`<section class="card" aria-label="Item" tabindex="-1" ref=${this.first}><div class="row"><h3 class="grow" tabindex="-1" ref=${title => { this.title = title; }}>${item.title || id}</h3>
        <button class="plain" onClick=${onClose}>Close</button></div>
      <p class="row"><${Picture} url=${item.attributes[PICTURE]} /><span class="quiet small">${id}, changed ${time(item.updated_at)}</span></p>
      ${isBack && html`<p class="notice row" role="status"><span class="grow">${isOlder ? "Somebody changed the item since; what you had typed stands over it."
        : "What you had typed and not saved is here again."}</span><button class="plain" onClick=${() => this.discard()}>Discard it</button></p>`}
      <form class="stack" key=${this.readings} onInput=${event => this.type(event)} onSubmit=${event => this.save(event)}><fieldset disabled=${!may} class="stack"><legend class="hidden-text">Fields</legend>
        ${Object.entries(FIELDS).map(([name, { label, kind }]) => html`<${Field} key=${name} name=${name} label=${label} kind=${kind} value=${item[name]} typed=${typed.get(name)} must=${name === "hidden"} />`)}
        ${names.map(name => (kinds[name] ? html`<${Field} key=${"a." + name} name=${"a." + name} kind=${kinds[name]} value=${item.attributes[name]} typed=${typed.get("a." + name)}
          label=${name === PICTURE ? "Picture, an https URL or a path" : `${name}, a ${kinds[name]}`} pattern=${name === PICTURE ? "(https:/)?/[^\\/\\\\].*" : undefined} />`
          : html`<p class="quiet small">${name} is no longer declared: ${JSON.stringify(item.attributes[name])}</p>`))}</fieldset>
        ${may && others.length > 0 && html`<label>Another attribute <select value="" onChange=${event => this.setState({ added: [...added, event.target.value] })}>
          <option value="">none</option>${others.map(name => html`<option value=${name}>${name}, a ${kinds[name]}</option>`)}</select></label>`}
        ${may && html`<p class="row"><button>Save</button><button type="button" class="danger" onClick=${() => this.remove()}>Remove from the catalogue</button></p>`}</form>
    </section>`;
  }
}

function Field({ name, label, kind, value, typed, must, pattern }) {
  const text = typed ?? KINDS[kind].text(value);
  if (kind === "flag") {
    return html`<label>${label} <select name=${name}>${[...(must ? [] : [["", "no value"]]), ["true", "yes"], ["false", "no"]].map(([option, said]) =>
      html`<option value=${option} selected=${option === text}>${said}</option>`)}</select></label>`;
  }
  if (kind === "list") return html`<label>${label} <textarea name=${name} rows="2" defaultValue=${text}></textarea></label>`;
  return html`<label>${label} <input name=${name} autocomplete="off" defaultValue=${text} pattern=${pattern} ...${KINDS[kind].field} /></label>`;
}

// The changes that were typed, and those that take them back. A field that nobody touched may not show what is stored: one
// of the kind datetime-local has no year above 9999, which a last moment in UTC may be in another zone.
function changed(typed, item, kinds) {
  const changes = {}, before = {};
  for (const [field, text] of typed) {
    const name = field.replace(/^a\./, ""), isOwn = field === name;
    const kind = KINDS[isOwn ? FIELDS[name].kind : kinds[name]], value = (isOwn ? item : item.attributes)[name] ?? null;
    if (!kind || text === kind.text(value)) continue;
    (isOwn ? changes : changes.attributes ||= {})[name] = text ? kind.value(text) : isOwn ? FIELDS[name].empty : null;
    (isOwn ? before : before.attributes ||= {})[name] = value;
  }
  return { changes, before };
}

function lines(text) {
  return text.split("\n").filter(Boolean);
}

function placeOf(text) {
  const [lat, lon] = text.split(",").map(Number);
  return { lat, lon };
}
