// The forms of an experiment: how many users it takes, its start, its shares, and its end. What is typed into them is kept.
import { KeptForm, fieldsOf } from "./drafts.js";
import { html, post, count, Opening, Problem } from "./kit.js";

export const METRICS = { ctr: "Click rate", conversion: "Conversion", revenue: "Revenue by user", watch_time: "Watch time by user" };
export const LISTS = { reco: "Recommendations", rank: "Ranked items", buy_again: "Buy again" };

export const isRate = metric => metric === "ctr" || metric === "conversion";
const choices = names => Object.entries(names).map(([value, label]) => html`<option value=${value}>${label}</option>`);
// The service counts shares in thousandths.
const shareOf = percents => Math.round(Number(percents) * 10) / 1000;
const percentsOf = share => Math.round(share * 1000) / 10;
const text = (form, name) => (form.get(name) || "").trim();

// Asks the service, and changes nothing. `known`: by metric, what an experiment measured of control.
export class SampleSize extends Opening {
  constructor({ draft }) {
    super();
    this.state = { metric: fieldsOf(draft).metric || "conversion" };
  }

  async submit(event) {
    event.preventDefault();
    const { metric } = this.state, form = new FormData(event.target), number = name => Number(text(form, name));
    const body = {
      metric, baseline: isRate(metric) ? number("baseline") / 100 : number("baseline"), minimum_effect: number("effect") / 100,
      share: shareOf(text(form, "share")), window_days: number("days"),
      ...(metric !== "conversion" && { deviation: number("deviation") }),
      ...(text(form, "arrivals") && { users_by_day: number("arrivals") }),
    };
    try {
      this.setState({ size: await post("./experiments:sample-size", body), error: null });
    } catch (error) {
      this.setState({ error, size: null });
    }
  }

  render({ draft, known, onClose }, { metric, size, error }) {
    const { value, deviation } = known[metric] || {};
    const baseline = value ? (isRate(metric) ? Math.round(value * 1e4) / 100 : value) : "";
    return html`<${KeptForm} draft=${draft} isChange=${false} onDiscard=${() => this.setState({ metric: "conversion", size: null })}
      class="notice" role="group" aria-label="How many users" onInput=${() => this.setState({ size: null })} onSubmit=${event => this.submit(event)}><div class="row">
      <label>Metric <select name="metric" value=${metric} ref=${this.first} onChange=${event => this.setState({ metric: event.target.value, size: null })}>${choices(METRICS)}</select></label>
      <label>It is now${isRate(metric) ? ", in %" : ""} <input name="baseline" key=${metric} type="number" min="0" max=${isRate(metric) ? 99.99 : undefined} step="any" required defaultValue=${baseline} /></label>
      ${metric !== "conversion" && html`<label>Deviation of one user, as a multiple of it <input name="deviation" key=${metric} type="number" min="0" step="any" required defaultValue=${deviation || ""} /></label>`}
      <label>Smallest change worth finding, in % <input name="effect" type="number" min="0.1" max="200" step="0.1" defaultValue="5" required /></label>
      <label>Share of the variant in % <input name="share" type="number" min="0.1" max="99" step="0.1" defaultValue="50" required /></label>
      <label>Days of each user <input name="days" type="number" min="1" max="28" defaultValue="7" required /></label>
      <label>New users a day <input name="arrivals" type="number" min="1" step="any" placeholder="not known" /></label></div>
      ${metric !== "conversion" && html`<p class="quiet small">An experiment measures how much users differ; one whose variant has no weights will do.</p>`}
      <${Problem} error=${error} />
      <p role="status">${size && `${count(size.variant)} users of the variant and ${count(size.control)} of control are enough in four of five cases: ${count(size.total)} in all${size.days === null ? "" : `, in ${size.days} days`}.`}</p>
      <p class="row"><button>How many?</button><button type="button" class="plain" onClick=${onClose}>Close</button></p></${KeptForm}>`;
  }
}

const MOST_VARIANTS = 20;

function variantOf(form, place) {
  const field = name => text(form, `${name}-${place}`), feature = field("feature");
  const changed = field("model") ? { model: Number(field("model")) } : feature ? { weights: { [feature]: Number(field("weight")) } } : {};
  return { name: field("variant"), share: shareOf(field("share")), ...changed };
}

const Variant = ({ place, several, share }) => html`<fieldset class="row"><legend>${several ? `Variant ${place + 1}` : "Variant"}</legend>
  <label>Its name <input name=${`variant-${place}`} required maxlength="32" pattern="[a-z0-9][a-z0-9_\\-]*" autocomplete="off" /></label>
  <label>Its share in % <input name=${`share-${place}`} type="number" min="0.1" max="99" step="0.1" defaultValue=${share} required /></label>
  <label>Weight of the feature <input name=${`feature-${place}`} placeholder="none: as control" autocomplete="off" /></label>
  <label>is <input name=${`weight-${place}`} type="number" step="any" defaultValue="1" /></label>
  <label>or version of the model <input name=${`model-${place}`} type="number" min="1" /></label></fieldset>`;

export class Start extends Opening {
  constructor({ draft }) {
    super();
    this.state = { variants: Object.keys(fieldsOf(draft)).filter(name => /^variant-\d+$/.test(name)).length || 1 };
  }

  submit(event) {
    event.preventDefault();
    const form = new FormData(event.target), primary = text(form, "primary");
    this.props.onStart({
      name: text(form, "name"), hypothesis: text(form, "hypothesis"), lists: text(form, "lists"), primary,
      guards: Object.keys(METRICS).filter(metric => metric !== primary && form.get(`guard-${metric}`)),
      variants: Array.from({ length: this.state.variants }, (_, place) => variantOf(form, place)),
      minimum_effect: Number(text(form, "effect")) / 100, window_days: Number(text(form, "days")),
      ...(text(form, "currency") && { currency: text(form, "currency") }),
    });
  }

  render({ draft, onClose }, { variants }) {
    const set = count => () => this.setState({ variants: count });
    return html`<${KeptForm} draft=${draft} onDiscard=${set(1)} class="notice" role="group" aria-label="New experiment" onSubmit=${event => this.submit(event)}><div class="row">
      <label>Name <input name="name" required maxlength="32" pattern="[a-z0-9][a-z0-9_\\-]*" autocomplete="off" ref=${this.first} /></label>
      <label>What you expect, and why <input name="hypothesis" required maxlength="1000" autocomplete="off" /></label>
      <label>Lists <select name="lists">${choices(LISTS)}</select></label></div>
      ${Array.from({ length: variants }, (_, place) => html`<${Variant} key=${place} place=${place} several=${variants > 1} share=${place ? 10 : 50} />`)}
      <p class="row"><button type="button" class="plain" disabled=${variants === MOST_VARIANTS} onClick=${set(variants + 1)}>Add a variant</button>
        ${variants > 1 && html`<button type="button" class="plain" onClick=${set(variants - 1)}>Remove variant ${variants}</button>`}
        <span class="quiet small">All other users are control.</span></p>
      <div class="row"><label>Decided by <select name="primary">${choices(METRICS)}</select></label>
      <label>Smallest change worth finding, in % <input name="effect" type="number" min="0.1" max="200" step="0.1" defaultValue="5" required /></label>
      <label>Days of each user <input name="days" type="number" min="1" max="28" defaultValue="7" required /></label>
      <label>Currency of revenue <input name="currency" pattern="[A-Z]{3}" maxlength="3" placeholder="EUR" autocomplete="off" /></label></div>
      <fieldset class="row"><legend>Must not get worse</legend>${Object.entries(METRICS).map(([metric, label]) =>
        html`<label><input type="checkbox" name=${`guard-${metric}`} /> ${label}</label>`)}</fieldset>
      <p class="row"><button>Start</button><button type="button" class="plain" onClick=${onClose}>Cancel</button></p></${KeptForm}>`;
  }
}

export class Shares extends Opening {
  submit(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    this.props.onShares(Object.fromEntries(this.props.names.map(name => [name, shareOf(text(form, `share-${name}`))])));
  }

  render({ draft, names, shares, onClose }) {
    return html`<${KeptForm} draft=${draft} class="notice warn" role="group" aria-label="Shares" onSubmit=${event => this.submit(event)}>
      <p><strong>The figures start anew</strong>, because a user who saw two variants speaks for neither. As few users as possible move; all others stay where they are.</p>
      <div class="row">${names.map((name, place) => html`<label>${name}, in % of the users <input name=${`share-${name}`} type="number" min="0" max="99" step="0.1"
        required defaultValue=${percentsOf(shares[name])} ref=${place === 0 ? this.first : undefined} /></label>`)}</div>
      <p class="quiet small">All others are control.</p>
      <p class="row"><button>Change the shares</button><button type="button" class="plain" onClick=${onClose}>Cancel</button></p></${KeptForm}>`;
  }
}

export class End extends Opening {
  submit(event) {
    event.preventDefault();
    this.props.onEnd(text(new FormData(event.target), "conclusion"));
  }

  render({ draft, onClose }) {
    return html`<${KeptForm} draft=${draft} class="notice" role="group" aria-label="Confirm the end" onSubmit=${event => this.submit(event)}>
      <p>All users get what control gets, within a second. The figures stay.</p>
      <label>What was decided, and why <input name="conclusion" maxlength="1000" autocomplete="off" ref=${this.first} /></label>
      <p class="row"><button>End it</button><button type="button" class="plain" onClick=${onClose}>Cancel</button></p></${KeptForm}>`;
  }
}
