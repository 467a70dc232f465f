// Experiments: what runs and what its figures say, a start of a new one, and the end of one.
import { html, Component, get, post, idPath, count, percent, time, Problem } from "./kit.js";

const METRICS = { ctr: "Click rate", conversion: "Conversion", revenue: "Revenue by user", watch_time: "Watch time by user" };
const LISTS = { reco: "Recommendations", rank: "Ranked items", buy_again: "Buy again" };

export class Experiments extends Component {
  constructor() {
    super();
    this.state = { reports: [], said: "" };
  }

  componentDidMount() { this.load(); }

  async load() {
    try {
      const { experiments } = await get("experiments");
      const reports = await Promise.all(experiments.slice(0, 10).map(one => get(idPath("experiments", one.name))));
      this.setState({ reports, error: null });
    } catch (error) {
      this.setState({ error });
    }
  }

  async act(path, body, said) {
    try {
      await post(path, body);
      await this.load();
      this.setState({ said, starts: false, ends: null });
      return;
    } catch (error) {
      this.setState({ error });
    }
  }

  start(form) {
    const text = name => (form.get(name) || "").trim();
    const changed = text("model") ? { model: Number(text("model")) }
      : text("feature") ? { weights: { [text("feature")]: Number(text("weight")) } } : {};
    const guards = Object.keys(METRICS).filter(metric => metric !== text("primary") && form.get(`guard-${metric}`));
    const body = {
      name: text("name"), hypothesis: text("hypothesis"), lists: text("lists"), primary: text("primary"), guards,
      variants: [{ name: text("variant"), share: Math.round(Number(text("share")) * 10) / 1000, ...changed }],
      minimum_effect: Number(text("effect")) / 100, window_days: Number(text("days")),
      ...(text("currency") && { currency: text("currency") }),
    };
    this.act("experiments", body, `${body.name} runs. Every process serves it within a second.`);
  }

  render({ may }, { reports, starts, ends, said, error }) {
    return html`<section class="card"><h3>Experiments</h3><p role="status">${said}</p><${Problem} error=${error} />
      ${reports.length === 0 && html`<p class="quiet">There are none.</p>`}
      ${may && !starts && html`<p><button class="plain" onClick=${() => this.setState({ starts: true, said: "" })}>Start an experiment</button></p>`}
      ${starts && html`<${Start} onStart=${form => this.start(form)} onCancel=${() => this.setState({ starts: false, error: null })} />`}
      ${reports.map(report => html`<${Report} key=${report.experiment.name} report=${report}
        onEnd=${may && report.experiment.running ? () => this.setState({ ends: report.experiment.name, said: "" }) : null}
        ends=${ends === report.experiment.name} onCancel=${() => this.setState({ ends: null })}
        onEnded=${conclusion => this.act(`${idPath("experiments", report.experiment.name)}/stop`, conclusion ? { conclusion } : {},
          `${report.experiment.name} has ended. All users get what control gets.`)} />`)}</section>`;
  }
}

function Report({ report, onEnd, ends, onCancel, onEnded }) {
  const { experiment, variants, problem } = report;
  const { definition } = experiment, metrics = [definition.primary, ...definition.guards];
  const label = metric => (metric === "revenue" ? `${METRICS.revenue} (${definition.currency})` : METRICS[metric]);
  return html`<article aria-label=${experiment.name}><h4>${experiment.name} <span class="badge">${experiment.running ? "runs" : "ended"}</span></h4>
    <p>${definition.hypothesis}</p>
    <p class="quiet small">${LISTS[definition.lists]}, ${experiment.running ? `since ${time(experiment.stage_at)}` : `until ${time(experiment.ended_at)}`}.
      Figures of users whose first ${definition.window_days === 1 ? "day is" : `${definition.window_days} days are`} over; changes hold however often you look.</p>
    ${problem && html`<p class="notice bad" role="alert">${problem}</p>`}
    ${!problem && variants.filter(one => one.verdict).map(one => html`<p class=${one.verdict.decision === "guard" ? "notice warn" : "notice"}>${one.verdict.words}</p>`)}
    ${experiment.conclusion && html`<p>Concluded: ${experiment.conclusion}</p>`}
    <div class="scroll" tabindex="0" role="region" aria-label=${`Figures of ${experiment.name}`}><table>
      <thead><tr><th scope="col">Variant</th><th scope="col" class="number">Share</th><th scope="col" class="number">Users</th>
        ${metrics.map(metric => html`<th scope="col" class="number">${label(metric)}</th>`)}</tr></thead>
      <tbody>${variants.map(one => html`<tr><th scope="row">${one.variant}</th><td class="number">${percent(one.share)}</td><td class="number">${count(one.exposed)}</td>
        ${metrics.map(metric => html`<td class="number">${figure(metric, one.metrics[metric])}</td>`)}</tr>`)}</tbody></table></div>
    ${onEnd && !ends && html`<p><button class="plain" onClick=${onEnd}>End ${experiment.name}</button></p>`}
    ${ends && html`<form class="notice" role="group" aria-label="Confirm the end" onSubmit=${event => { event.preventDefault(); onEnded(new FormData(event.target).get("conclusion").trim()); }}>
      <p>All users get what control gets, within a second. The figures stay.</p>
      <label>What was decided, and why <input name="conclusion" maxlength="1000" autocomplete="off" /></label>
      <p class="row"><button>End it</button><button type="button" class="plain" onClick=${onCancel}>Cancel</button></p></form>`}</article>`;
}

class Start extends Component {
  componentDidMount() { this.name.focus(); }

  render({ onStart, onCancel }) {
    const submit = event => { event.preventDefault(); onStart(new FormData(event.target)); };
    const choices = names => Object.entries(names).map(([value, label]) => html`<option value=${value}>${label}</option>`);
    return html`<form class="notice" role="group" aria-label="New experiment" onSubmit=${submit}><div class="row">
      <label>Name <input name="name" required maxlength="32" pattern="[a-z0-9][a-z0-9_\\-]*" autocomplete="off" ref=${input => { this.name = input; }} /></label>
      <label>What you expect, and why <input name="hypothesis" required maxlength="1000" autocomplete="off" /></label>
      <label>Lists <select name="lists">${choices(LISTS)}</select></label>
      <label>Variant <input name="variant" required maxlength="32" pattern="[a-z0-9][a-z0-9_\\-]*" autocomplete="off" /></label>
      <label>Its share in % <input name="share" type="number" min="0.1" max="99" step="0.1" defaultValue="50" required /></label>
      <label>Weight of the feature <input name="feature" placeholder="none: as control" autocomplete="off" /></label>
      <label>is <input name="weight" type="number" step="any" defaultValue="1" /></label>
      <label>or version of the model <input name="model" type="number" min="1" /></label>
      <label>Decided by <select name="primary">${choices(METRICS)}</select></label>
      <label>Smallest change worth finding, in % <input name="effect" type="number" min="0.1" max="200" step="0.1" defaultValue="5" required /></label>
      <label>Days of each user <input name="days" type="number" min="1" max="28" defaultValue="7" required /></label>
      <label>Currency of revenue <input name="currency" pattern="[A-Z]{3}" maxlength="3" placeholder="EUR" autocomplete="off" /></label></div>
      <fieldset class="row"><legend>Must not get worse</legend>${Object.entries(METRICS).map(([metric, label]) =>
        html`<label><input type="checkbox" name=${`guard-${metric}`} /> ${label}</label>`)}</fieldset>
      <p class="row"><button>Start</button><button type="button" class="plain" onClick=${onCancel}>Cancel</button></p></form>`;
  }
}

function figure(metric, found) {
  if (found.value === null) return "–";
  const value = metric === "ctr" || metric === "conversion" ? percent(found.value) : found.value.toLocaleString("en", { maximumFractionDigits: 2 });
  return found.change ? `${value} (${signed(found.change.value)}; ${signed(found.change.low)} to ${signed(found.change.high)})` : value;
}

const signed = value => `${value > 0 ? "+" : ""}${percent(value)}`;
