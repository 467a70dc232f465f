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
    this.acting = once(this.acting.bind(this), () => this.props.onWait());
  }

  componentDidMount() {
    super.componentDidMount();
    this.load();
  }

  async load() {
    try {
      const [{ found, etag }, { attributes }] = await Promise.all([exchange("GET", idPath("items", this.props.id)), get("attributes")]);
      const draft = drafts.get(this.props.id), typed = new Map(draft?.typed);
      this.readings = (this.readings || 0) + 1;
      this.setState({
        item: found, etag, typed, isOlder: draft && draft.etag !== etag, added: [...typed.keys()].filter(name => name.startsWith("a.")).map(name => name.slice(2)),
        kinds: { [PICTURE]: "text", ...Object.fromEntries(attributes.map(({ name, type }) => [name, type])) },
      }, () => this.title.focus());
    } catch (error) {
      if (this.state.item) this.props.onError(error); else this.setState({ failed: error });
    }
  }

  async acting(act, said, undo) {
    try {
      await act();
      this.props.onDone(said, undo);
    } catch (error) {
      if (error.status !== 412) return this.props.onError(error);
      await this.discard();
      this.props.onError(new Error("Somebody changed the item meanwhile. You see it as it is now; make your change again."));
    }
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
    const { item, etag, kinds, added } = this.state;
    const { changes, before } = changed(new FormData(event.target), item, kinds, added);
    if (Object.keys(changes).length === 0) {
      drafts.delete(this.props.id);
      return this.props.onDone("Nothing has changed.", null);
    }
    const path = idPath("items", this.props.id);
    let made;
    return this.acting(async () => {
      if (changes.attributes?.[PICTURE]) await call("PUT", idPath("attributes", PICTURE), { type: "text" });
      made = await exchange("PATCH", path, changes, { "If-Match": etag });
      drafts.delete(this.props.id);
      this.setState({ item: made.found, etag: made.etag, typed: new Map(), added: [] }, () => this.title.focus());
    }, `${apart(item.title || item.item_id)} is changed.`, async () => {
      // What somebody changed since stays.
      await exchange("PATCH", path, before, { "If-Match": made.etag });
      await this.load();
    });
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

  render({ id, may, onClose }, { item, etag, typed, isOlder, kinds, added, failed }) {
    if (!item) return html`<section class="card" aria-label="Item" tabindex="-1" ref=${this.first}>${failed
      ? html`<${Problem} error=${failed} /><button class="plain" onClick=${onClose}>Close</button>` : html`<p class="quiet">Loading.</p>`}</section>`;
    const names = [...new Set([PICTURE, ...Object.keys(item.attributes), ...added])];
    const others = Object.keys(kinds).filter(name => !names.includes(name));
    return html`<section class="card" aria-label="Item" tabindex="-1" ref=${this.first}><div class="row"><h3 class="grow" tabindex="-1" ref=${title => { this.title = title; }}>${item.title || id}</h3>
        <button class="plain" onClick=${onClose}>Close</button></div>
      <p class="row"><${Picture} url=${item.attributes[PICTURE]} /><span class="quiet small">${id}, changed ${time(item.updated_at)}</span></p>
      ${typed.size > 0 && html`<p class="notice row" role="status"><span class="grow">${isOlder ? "Somebody changed the item since; what you had typed stands over it."
        : "What you had typed and not saved is here again."}</span><button class="plain" onClick=${() => this.discard()}>Discard it</button></p>`}
      <form class="stack" key=${`${this.readings} ${etag}`} onInput=${event => this.type(event)} onSubmit=${event => this.save(event)}><fieldset disabled=${!may} class="stack"><legend class="hidden-text">Fields</legend>
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

// The changes that the form makes, and those that take them back.
function changed(form, item, kinds, added) {
  const changes = {}, before = {};
  for (const [name, { kind, empty }] of Object.entries(FIELDS)) {
    const text = written(form, name);
    if (text === KINDS[kind].text(item[name])) continue;
    changes[name] = text ? KINDS[kind].value(text) : empty;
    before[name] = item[name];
  }
  for (const name of new Set([PICTURE, ...Object.keys(item.attributes), ...added])) {
    if (!form.has("a." + name)) continue;
    const kind = KINDS[kinds[name]], text = written(form, "a." + name);
    if (text === kind.text(item.attributes[name])) continue;
    (changes.attributes ||= {})[name] = text ? kind.value(text) : null;
    (before.attributes ||= {})[name] = item.attributes[name] ?? null;
  }
  return { changes, before };
}

// As it is: names may begin or end with spaces.
const written = (form, name) => form.get(name).replaceAll("\r\n", "\n");

function lines(text) {
  return text.split("\n").filter(Boolean);
}

function placeOf(text) {
  const [lat, lon] = text.split(",").map(Number);
  return { lat, lon };
}
