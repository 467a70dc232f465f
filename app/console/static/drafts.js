// What was typed into a form and not sent: it outlives the view, and is there again with the form, until it is sent or
// discarded.
import { html, Component, keepFocus } from "./kit.js";

// By name of the form. `fields`: the text of each. `isChange`: whether the form would change something.
export const drafts = new Map();

export const hasChanges = () => [...drafts.values()].some(({ isChange }) => isChange);
export const fieldsOf = draft => drafts.get(draft)?.fields || {};

export const Back = ({ children, onDiscard }) => html`<p class="notice row" role="status"><span class="grow">${children}</span>
  <button type="button" class="plain" onClick=${onDiscard}>Discard it</button></p>`;

// `draft`: its name. `onDiscard`: what the form shows by its fields is as in the beginning again.
export class KeptForm extends Component {
  constructor({ draft }) {
    super();
    this.form = { current: null };
    this.state = { isBack: drafts.has(draft), discarded: 0 };
  }

  componentDidMount() {
    const fields = fieldsOf(this.props.draft);
    for (const field of this.state.isBack ? this.form.current.elements : []) {
      if (field.type === "checkbox") field.checked = Object.hasOwn(fields, field.name);
      else if (Object.hasOwn(fields, field.name)) field.value = fields[field.name];
    }
  }

  typed(event) {
    const { draft, isChange = true, onInput } = this.props;
    drafts.set(draft, { fields: Object.fromEntries(new FormData(this.form.current)), isChange });
    onInput?.(event);
  }

  discard() {
    drafts.delete(this.props.draft);
    this.props.onDiscard?.();
    this.setState(({ discarded }) => ({ isBack: false, discarded: discarded + 1 }), keepFocus);
  }

  render({ draft, isChange, onDiscard, children, ...props }, { isBack, discarded }) {
    return html`<form key=${discarded} ...${props} ref=${this.form} onInput=${event => this.typed(event)}>
      ${isBack && drafts.has(draft) && html`<${Back} onDiscard=${() => this.discard()}>What you had typed and not sent is here again.</${Back}>`}
      ${children}</form>`;
  }
}
