// Pins, boosts, buries and hides, with a new visitor's list before and after; the last change can be undone.
import { html, Component, call, get, idPath, time, Problem } from "./kit.js";

const PLACES = 10;
// Nothing is stored about who only asks for a list, so this user stays unknown.
const VISITOR = "console-visitor";
const ACTS = {
  pin: "Pin at a place", boost: "Boost three times", bury: "Bury to a third", hide: "Never serve",
};
const FACTORS = { boost: 3, bury: 1 / 3, hide: 0 };
const SETTLED_MS = 1500;

export class RulesView extends Component {
  constructor({ session }) {
    super();
    this.may = session.scopes.includes("catalogue");
    this.state = { rules: [], before: null, after: null, undo: null };
  }

  componentDidMount() { this.load(); }

  async load() {
    try {
      this.setState({ rules: (await get("rules")).rules, after: await this.list(), error: null });
    } catch (error) {
      this.setState({ error });
    }
  }

  async list() { return (await get("reco", { user_id: VISITOR, k: PLACES, category: this.state.within })).items; }

  // Every process applies a rule within a second.
  async change(act, said, undo) {
    try {
      this.setState({ before: await this.list(), said: "" });
      await act();
      await new Promise(resolve => setTimeout(resolve, SETTLED_MS));
      await this.load();
      this.setState({ said, undo });
    } catch (error) {
      this.setState({ error });
    }
  }

  add(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    const text = name => form.get(name).trim();
    const [what, item_id, within] = [text("what"), text("item"), text("within")];
    const rule = { ...(what === "pin" ? { action: "pin", position: Number(form.get("position")) } : { action: "boost", factor: FACTORS[what] }), item_id };
    if (within) rule.within = within;
    if (text("until")) rule.ends_at = new Date(text("until")).toISOString();
    const id = `console-${Date.now().toString(36)}`;
    this.setState({ within }, () => this.change(() => call("PUT", idPath("rules", id), rule), `${ACTS[what]}: ${item_id}.`,
      () => this.change(() => call("DELETE", idPath("rules", id)), "Undone.", null)));
  }

  remove(rule) {
    const { rule_id, active, updated_at, ...kept } = rule;
    const body = Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== null));
    this.change(() => call("DELETE", idPath("rules", rule_id)), `The rule ${rule_id} is removed.`,
      () => this.change(() => call("PUT", idPath("rules", rule_id), body), "Undone.", null));
  }

  render(_, { rules, before, after, said, undo, error }) {
    return html`<div class="stack"><h2>Merchandise</h2>
      ${this.may && html`<form class="card row" onSubmit=${event => this.add(event)}>
        <label>Do <select name="what">${Object.entries(ACTS).map(([name, label]) => html`<option value=${name}>${label}</option>`)}</select></label>
        <label>Item <input name="item" required maxlength="128" autocomplete="off" /></label>
        <label>Place, of a pin <input name="position" type="number" min="1" max="200" value="1" /></label>
        <label>In the category <input name="within" maxlength="128" autocomplete="off" /></label>
        <label>Until <input name="until" type="datetime-local" /></label><button>Apply</button></form>`}
      <${Problem} error=${error} />
      <p role="status" class="row"><span>${said}</span>${undo && html`<button class="plain" onClick=${undo}>Undo</button>`}</p>
      <div class="columns">${before && html`<${Shown} title="A new visitor before" items=${before} />`}
        ${after && html`<${Shown} title=${before ? "A new visitor after" : "A new visitor now"} items=${after} />`}
        <section class="card"><h3>Rules</h3>${rules.length === 0 ? html`<p class="quiet">There are none.</p>`
          : html`<ol class="items">${rules.map(rule => html`<li key=${rule.rule_id}><span class="what">${describe(rule)}
            <br /><span class="quiet small">${rule.active ? "applies now" : "does not apply now"}${rule.ends_at ? `, until ${time(rule.ends_at)}` : ""}</span></span>
            ${this.may && html`<button class="plain" aria-label=${`Remove ${rule.rule_id}`} onClick=${() => this.remove(rule)}>Remove</button>`}</li>`)}</ol>`}</section></div>
    </div>`;
  }
}

function Shown({ title, items }) {
  return html`<section class="card"><h3>${title}</h3><ol class="items" aria-label=${title}>${items.map((item, place) =>
    html`<li key=${item.item_id}><span class="quiet">${place + 1}</span><span class="what">${item.title || item.item_id}</span>
      ${item.source === "pinned" && html`<span class="badge">pinned</span>`}</li>`)}</ol></section>`;
}

function describe(rule) {
  const what = rule.item_id || (rule.category ? `category ${rule.category}` : `tag ${rule.tag}`);
  const where = rule.within ? ` in ${rule.within}` : "";
  if (rule.action === "pin") return `Pin ${what} at ${rule.position}${where}`;
  return `${rule.factor === 0 ? "Never serve" : `${rule.factor < 1 ? "Bury" : "Boost"} × ${rule.factor.toFixed(2)}`} ${what}${where}`;
}
