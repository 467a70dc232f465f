// Pins, boosts, buries and hides: what a rule would change of a list, before it acts; and the rules that there are.
import { KeptForm, drafts, fieldsOf } from "./drafts.js";
import { html, Component, call, get, post, idPath, once, apart, count, fromLocal, time, Loading, Picture } from "./kit.js";

const PLACES = 10;
const ACTS = { pin: "Pin", boost: "Boost", bury: "Bury", hide: "Never serve" };
const FACTORS = { boost: 3, bury: 0.3 };
const DRAFT = "rule";
const BOUNDS = { boost: { min: 1, max: 10 }, bury: { min: 0.01, max: 1 } };

export class Rules extends Component {
  constructor() {
    super();
    const { what = "pin", target = "item_id" } = fieldsOf(DRAFT);
    this.state = { rules: null, changes: null, what, target, shown: null };
    const running = once(act => act(), () => this.props.onWait());
    for (const name of ["make", "remove", "undo"]) {
      const act = this[name].bind(this);
      this[name] = (...given) => running(() => act(...given));
    }
  }

  componentDidMount() { this.load(); }

  componentDidUpdate({ undone, item: before }) {
    const { item } = this.props, { what, target } = this.state;
    // An item that is opened is named, but not over what somebody has typed.
    if (item && item !== before && (what === "pin" || target === "item_id") && ["", this.filled].includes(this.named.value)) {
      this.named.value = this.filled = item;
    }
    if (this.props.undone && !undone) this.load().then(() => this.setState({ shown: null }));
  }

  async load() {
    this.setState({ failed: false });
    try {
      const [{ rules }, { changes }] = await Promise.all([get("rules"), get("./rules:history", { limit: 20 })]);
      this.setState({ rules, changes });
      return changes;
    } catch (error) {
      this.setState({ failed: true });
      this.props.onError(error);
      return [];
    }
  }

  // The list is that of the rule's category, and of the time when the rule has begun.
  async preview(rule, user_id, rule_id) {
    const asked = { rule, k: PLACES, ...(user_id && { user_id }), ...(rule_id && { rule_id }), ...(rule.within && { category: rule.within }) };
    if (rule.starts_at && new Date(rule.starts_at) > new Date()) asked.at = rule.starts_at;
    this.setState({ shown: { ...await post("rules/preview", asked), user: user_id || "somebody unknown" } });
  }

  submit(event) {
    event.preventDefault();
    this.make(read(new FormData(event.target), this.state), event.submitter?.name === "apply");
  }

  async make({ rule, user }, applies) {
    try {
      await this.preview(rule, user);
      if (!applies) return this.props.onDone("Nothing is changed yet.", null);
      const id = `console-${Date.now().toString(36)}`;
      await call("PUT", idPath("rules", id), rule);
      drafts.delete(DRAFT);
      return this.done(`${describe(rule)}. Every list follows within a second.`, change => change.rule_id === id && !change.before);
    } catch (error) {
      return this.props.onError(error);
    }
  }

  // What was done is undone by its change in the history, unless somebody has changed the rule since.
  async done(said, isIt) {
    const change = (await this.load()).find(isIt);
    this.props.onDone(said, change ? () => post("./rules:undo", { change_id: change.change_id }) : null);
  }

  async remove({ rule_id, ...rule }) {
    try {
      const { item_id, category, tag, within } = Object.fromEntries(Object.entries(rule).filter(([, value]) => value !== null));
      // A factor of 1 changes nothing: the list without the rule.
      await this.preview({ action: "boost", factor: 1, item_id, category, tag, within }, "", rule_id);
      await call("DELETE", idPath("rules", rule_id));
      await this.done(`The rule ${rule_id} is removed.`, change => change.rule_id === rule_id && !change.after);
    } catch (error) {
      this.props.onError(error);
    }
  }

  async undo(change) {
    try {
      const undone = await post("./rules:undo", { change_id: change.change_id });
      await this.load();
      this.props.onDone(`${sayOf(change)}: undone.`, () => post("./rules:undo", { change_id: undone.change_id }));
    } catch (error) {
      this.props.onError(error);
    }
  }

  render({ may }, { rules, changes, what, target, shown, failed }) {
    const waiting = failed ? html`<button class="plain" onClick=${() => this.load()}>Try again</button>` : html`<${Loading} />`;
    return html`<${KeptForm} draft=${DRAFT} isChange=${may} onDiscard=${() => this.setState({ what: "pin", target: "item_id" })} class="card" aria-label="Rule" onSubmit=${event => this.submit(event)}><h3>${may ? "A new rule" : "What a rule would do"}</h3><div class="row">
        <label>Do <select name="what" value=${what} onChange=${event => this.setState({ what: event.target.value })}>${Object.entries(ACTS).map(([name, label]) =>
          html`<option value=${name}>${label}</option>`)}</select></label>
        ${what !== "pin" && html`<label>To all of <select name="target" value=${target} onChange=${event => this.setState({ target: event.target.value })}>
          <option value="item_id">an item</option><option value="category">a category</option><option value="tag">a tag</option></select></label>`}
        <label>${what === "pin" || target === "item_id" ? "Item" : target === "tag" ? "Tag" : "Category"} <input name="item" ref=${input => { this.named = input; }} required maxlength="256" autocomplete="off" /></label>
        ${what === "pin" && html`<label>At the place <input name="position" type="number" min="1" max="200" defaultValue="1" required /></label>`}
        ${FACTORS[what] && html`<label>By the factor <input name="factor" key=${what} type="number" step="any" min=${BOUNDS[what].min} max=${BOUNDS[what].max} defaultValue=${FACTORS[what]} required /></label>`}
        <label>In lists of the category <input name="within" maxlength="256" autocomplete="off" placeholder="all lists" /></label>
        <label>From <input name="from" type="datetime-local" /></label>
        <label>Until <input name="until" type="datetime-local" /></label>
        <label>The list of the user <input name="user" maxlength="256" autocomplete="off" placeholder="somebody unknown" /></label>
        <button class="plain" name="preview">Preview</button>${may && html`<button name="apply">Apply</button>`}</div></${KeptForm}>
      <div class="columns">
        ${shown && html`<${Shown} title="Before" list=${shown} items=${shown.before} /><${Shown} title="After" list=${shown} items=${shown.after} />`}
        <section class="card"><h3>Rules</h3>${!rules ? waiting : rules.length === 0 ? html`<p class="quiet">There are none.</p>`
          : html`<ol class="items" aria-label="Rules">${rules.map(rule => html`<li key=${rule.rule_id}><span class="what">${describe(rule)}
            <br /><span class="quiet small">${spanOf(rule)}</span></span>
            ${may && html`<button class="plain" aria-label=${`Remove ${rule.rule_id}`} onClick=${() => this.remove(rule)}>Remove</button>`}</li>`)}</ol>`}</section>
        <section class="card"><h3>History of the rules</h3>${!changes ? waiting : changes.length === 0 ? html`<p class="quiet">No rule was changed yet.</p>`
          : html`<ol class="items" aria-label="History of the rules">${changes.map(change => html`<li key=${change.change_id}><span class="what">${sayOf(change)}
            <br /><span class="quiet small">${time(change.changed_at)}${change.actor ? `, ${change.actor}` : ""}</span></span>
            ${may && isLatest(change, changes) && html`<button class="plain" aria-label=${`Undo change ${change.change_id}`} onClick=${() => this.undo(change)}>Undo</button>`}</li>`)}</ol>`}</section></div>`;
  }
}

// An older change of the same rule cannot be undone before the later ones are.
const isLatest = (change, changes) => changes.find(other => other.rule_id === change.rule_id) === change;

function sayOf({ rule_id, before, after, undoes }) {
  const what = before && after ? `${describe(before)} became ${describe(after)}` : after ? `${describe(after)} was made` : `${describe(before)} was removed`;
  return `${what} (${rule_id})${undoes ? ", an undo" : ""}`;
}

// A field that the form does not show is not there.
function read(form, { what, target }) {
  const text = name => form.get(name) || "";
  const rule = what === "pin" ? { action: "pin", item_id: text("item"), position: Number(text("position")) }
    : { action: "boost", [target]: text("item"), factor: what === "hide" ? 0 : Number(text("factor")) };
  if (text("within")) rule.within = text("within");
  if (text("from")) rule.starts_at = fromLocal(text("from"));
  if (text("until")) rule.ends_at = fromLocal(text("until"));
  return { rule, user: text("user") };
}

function Shown({ title, list, items }) {
  return html`<section class="card"><h3>${title}</h3><p class="quiet small">The list of ${list.user}.
      ${title === "After" ? ` The rule touches ${list.touches === 1 ? "one item" : `${count(list.touches)} items`}${list.active ? "" : ", and none now"}.` : ""}</p>
    ${title === "After" && list.warnings.map(({ message, path }) => html`<p class="notice warn" role="alert">${path.split(".").pop()}: ${message}</p>`)}
    ${items.length === 0 ? html`<p class="quiet">It is empty.</p>` : html`<ol class="items" aria-label=${title}>${items.map((item, place) =>
      html`<li key=${item.item_id}><span class="quiet">${place + 1}</span><${Picture} url=${item.picture_url} /><span class="what">${apart(item.title || item.item_id)}</span>
        ${item.source === "pinned" && html`<span class="badge">pinned</span>`}</li>`)}</ol>`}</section>`;
}

function describe(rule) {
  const what = rule.item_id ? apart(rule.item_id) : rule.category ? `category ${apart(rule.category)}` : `tag ${apart(rule.tag)}`;
  const where = rule.within ? ` in ${apart(rule.within)}` : "";
  if (rule.action === "pin") return `Pin ${what} at ${rule.position}${where}`;
  if (rule.factor === 0) return `Never serve ${what}${where}`;
  return `${rule.factor < 1 ? "Bury" : "Boost"} ${what} × ${rule.factor.toFixed(2)}${where}`;
}

function spanOf(rule) {
  const from = rule.starts_at ? `from ${time(rule.starts_at)}` : "", until = rule.ends_at ? `until ${time(rule.ends_at)}` : "";
  return [rule.active ? "applies now" : "does not apply now", from, until].filter(Boolean).join(", ");
}
