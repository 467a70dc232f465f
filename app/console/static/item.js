// One item of the catalogue: read, changed for the state that was read, and removed.
import { Back, drafts } from "./drafts.js";
import { html, call, get, exchange, idPath, once, apart, asLocal, fromLocal, time, Opening, Picture, Problem } from "./kit.js";

const PICTURE = "picture_url";
const AS_PICTURE = { label: "Picture, an https URL or a path", pattern: "(https:/)?/[^\\/\\\\].*" };
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

export class Item extends Opening {
  constructor({ id }) {
    super();
    this.state = { item: null, added: [] };
    this.readings = 0;
    // Of the fields that were typed into, beside the tag of the state that they change.
    this.draft = `item ${id}`;
    this.acting = once(this.acting.bind(this), () => this.props.onWait());
  }

  componentDidMount() {
    super.componentDidMount();
    this.load();
  }

  componentDidUpdate({ undone }) {
    if (this.props.undone && !undone) this.load();
  }

  // Whether it could be read; if not, that is said.
  async load() {
    try {
      const [{ found, etag }, { attributes }] = await Promise.all([exchange("GET", idPath("items", this.props.id)), get("attributes")]);
      const draft = drafts.get(this.draft), typed = new Map(draft?.typed);
      this.readings += 1;
      this.setState({
        item: found, etag, typed, isBack: typed.size > 0, isOlder: draft && draft.etag !== etag, added: [...typed.keys()].filter(name => name.startsWith("a.")).map(name => name.slice(2)),
        kinds: kindsOf(attributes), hasPictures: attributes.some(({ name }) => name === PICTURE),
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
      const over = drafts.has(this.draft) ? ", and what you typed stands over it" : "";
      this.props.onError(new Error(`Somebody changed the item meanwhile. You see it as it is now${over}. Look, and do it again.`));
    }
    return undefined;
  }

  type({ target: { name, value } }) {
    if (!name) return;
    if (!drafts.has(this.draft)) drafts.set(this.draft, { etag: this.state.etag, typed: new Map(), isChange: true });
    drafts.get(this.draft).typed.set(name, value);
  }

  discard() {
    drafts.delete(this.draft);
    return this.load();
  }

  save(event) {
    event.preventDefault();
    const { item, etag, kinds, hasPictures } = this.state, sent = new Map(drafts.get(this.draft)?.typed);
    const { changes, before } = changed(sent, item, kinds);
    if (Object.keys(changes).length === 0) {
      drafts.delete(this.draft);
      return this.props.onDone("Nothing has changed.", null);
    }
    const path = idPath("items", item.item_id);
    let made;
    return this.acting(async () => {
      if (changes.attributes?.[PICTURE] && !hasPictures) await call("PUT", idPath("attributes", PICTURE), { type: "text" });
      made = await exchange("PATCH", path, changes, { "If-Match": etag });
      this.saved(made, sent);
    }, `${apart(item.title || item.item_id)} is changed.`,
    // What somebody changed since stays.
    () => exchange("PATCH", path, before, { "If-Match": made.etag }));
  }

  // What was typed since the fields were sent is not saved: it stays, and so do the fields.
  saved({ found, etag }, sent) {
    const left = new Map([...drafts.get(this.draft)?.typed || []].filter(([name, value]) => sent.get(name) !== value));
    if (left.size) drafts.set(this.draft, { etag, typed: left, isChange: true }); else drafts.delete(this.draft);
    if (!left.size) this.readings += 1;
    this.setState({ item: found, etag, typed: new Map(left), isBack: false, added: left.size ? this.state.added : [] }, () => this.focusTitle());
  }

  remove() {
    const { item: { item_id, updated_at, ...whole }, etag } = this.state;
    const path = idPath("items", item_id);
    return this.acting(async () => {
      await exchange("DELETE", path, undefined, { "If-Match": etag });
      drafts.delete(this.draft);
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
      ${isBack && html`<${Back} onDiscard=${() => this.discard()}>${isOlder ? "Somebody changed the item since; what you had typed stands over it."
        : "What you had typed and not saved is here again."}</${Back}>`}
      <form class="stack" key=${this.readings} onInput=${event => this.type(event)} onSubmit=${event => this.save(event)}><fieldset disabled=${!may} class="stack"><legend class="hidden-text">Fields</legend>
        ${Object.entries(FIELDS).map(([name, { label, kind }]) => html`<${Field} key=${name} name=${name} label=${label} kind=${kind} value=${item[name]} typed=${typed.get(name)} must=${name === "hidden"} />`)}
        ${names.map(name => (kinds[name] ? html`<${Field} key=${"a." + name} name=${"a." + name} kind=${kinds[name]} value=${item.attributes[name]} typed=${typed.get("a." + name)}
          ...${name === PICTURE && kinds[name] === "text" ? AS_PICTURE : { label: `${name}, a ${kinds[name]}` }} />`
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

// By attribute. One for pictures is declared when the first item has one; where it is declared, it may be of another kind. An
// attribute may have any name, such as those that every object has.
function kindsOf(attributes) {
  return Object.assign(Object.create(null), { [PICTURE]: "text" }, ...attributes.map(({ name, type }) => ({ [name]: type })));
}

// The changes that were typed, and those that take them back. A field that nobody touched may not show what is stored: one
// of the kind datetime-local has no year above 9999, which a last moment in UTC may be in another zone.
function changed(typed, item, kinds) {
  const changes = {}, before = {};
  for (const [field, text] of typed) {
    const name = field.replace(/^a\./, ""), isOwn = field === name;
    const kind = KINDS[isOwn ? FIELDS[name].kind : kinds[name]], stored = isOwn ? item : item.attributes;
    const value = Object.hasOwn(stored, name) ? stored[name] : null;
    if (!kind || text === kind.text(value)) continue;
    (isOwn ? changes : changes.attributes ||= Object.create(null))[name] = text ? kind.value(text) : isOwn ? FIELDS[name].empty : null;
    (isOwn ? before : before.attributes ||= Object.create(null))[name] = value;
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
