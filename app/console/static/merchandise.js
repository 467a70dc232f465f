// The catalogue, searched and edited, and rules with a list before and after; the last act can be undone.
import { html, Component, get, apart, keepFocus, once, WAIT, Loading, Picture, Said } from "./kit.js";
import { Item } from "./item.js";
import { Rules } from "./rules.js";

const A_PAGE = 20;

// What was done last and can be undone, as long as the page is open.
let last = {};

export class MerchandiseView extends Component {
  constructor({ session }) {
    super();
    this.may = session.scopes.includes("catalogue");
    this.state = { found: null, opened: null, ...last };
    // What was done, and how it is taken back. After a preview, which changes nothing, it is still what was done before.
    this.onDone = (said, undo) => {
      const before = last.said ? ` Before: ${last.said}` : "";
      if (undo) last = { said, undo };
      this.setState({ said: undo ? said : said + before, undo: last.undo, error: null }, keepFocus);
    };
    this.onError = error => this.setState({ error });
    this.onWait = () => this.setState({ said: WAIT });
    this.undo = once(this.undo.bind(this), this.onWait);
  }

  componentDidMount() { this.search({}); }

  // What another search found says nothing of the latest one.
  async search(wanted) {
    this.wanted = wanted;
    try {
      const page = await get("items", { ...wanted, limit: A_PAGE });
      if (wanted === this.wanted) this.setState({ found: page.items, cursor: page.cursor });
    } catch (error) {
      if (wanted === this.wanted) this.setState({ found: null, error });
    }
  }

  more() {
    const { wanted, state: { found, cursor } } = this;
    return this.trying(async () => {
      const page = await get("items", { ...wanted, limit: A_PAGE, cursor });
      if (wanted === this.wanted) this.setState({ found: [...found, ...page.items], cursor: page.cursor }, keepFocus);
    });
  }

  async trying(act) {
    try {
      await act();
    } catch (error) {
      this.setState({ error });
    }
  }

  submit(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    this.setState({ error: null, found: null });
    this.search({ title: form.get("title").trim(), category: form.get("category") });
    if (!form.get("id")) return;
    // The item has the focus, also where somebody pressed Enter in a field.
    event.submitter?.focus();
    this.setState({ opened: form.get("id") });
  }

  // The list shows the item as it is now, and what was wrong stays said.
  async undo(undo) {
    last = {};
    this.setState({ undo: null });
    await this.trying(async () => {
      try {
        await undo();
      } catch (error) {
        throw error.status === 412 ? new Error("Somebody changed it since, so that nothing is undone.") : error;
      }
      this.setState({ said: "Undone.", error: null }, keepFocus);
    });
    await this.search(this.wanted);
  }

  render(_, { found, cursor, opened, said, undo, error }) {
    return html`<div class="stack"><h2>Merchandise</h2>
      <form class="card row" role="search" onSubmit=${event => this.submit(event)}>
        <label>Words of the title <input name="title" type="search" maxlength="200" autocomplete="off" /></label>
        <label>Category <input name="category" maxlength="256" autocomplete="off" /></label>
        <label>Id, to open the item <input name="id" maxlength="256" autocomplete="off" /></label><button>Search</button></form>
      <${Said} error=${error} said=${said}>${undo && html`<button class="plain" onClick=${() => this.undo(undo)}>Undo</button>`}</${Said}>
      <div class="columns">
        ${!found && !error && html`<${Loading} />`}
        ${found && html`<section class="card"><h3>Catalogue</h3>${found.length === 0 ? html`<p class="quiet">${this.wanted.title || this.wanted.category ? "No item is found." : "The catalogue is empty."}</p>`
          : html`<ol class="items scroll" tabindex="0" aria-label="Catalogue">${found.map(item => html`<${Found} key=${item.item_id} item=${item}
            onOpen=${() => this.setState({ opened: item.item_id })} />`)}</ol>`}
          ${cursor && html`<button class="plain" onClick=${() => this.more()}>More</button>`}</section>`}
        ${opened !== null && html`<${Item} key=${opened} id=${opened} may=${this.may} undone=${said === "Undone."} onError=${this.onError} onWait=${this.onWait}
          onClose=${() => this.setState({ opened: null })}
          onDone=${(said, undo) => { this.onDone(said, undo); this.search(this.wanted); }} />`}
      </div>
      <${Rules} may=${this.may} item=${opened} onDone=${this.onDone} onError=${this.onError} onWait=${this.onWait} undone=${said === "Undone."} />
    </div>`;
  }
}

function Found({ item, onOpen }) {
  const title = apart(item.title || item.item_id);
  return html`<li><${Picture} url=${item.attributes.picture_url} /><span class="what">${title}${" "}
      ${item.hidden && html`<span class="badge">hidden</span>`}
      <br /><span class="quiet small">${[item.item_id, ...item.categories].map(apart).join(", ")}</span></span>
    <button class="plain" aria-label=${`Open ${title}`} onClick=${onOpen}>Open</button></li>`;
}
