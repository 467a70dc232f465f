// Experiments: what runs and what its figures say, and what is done with them.
import { drafts } from "./drafts.js";
import { html, Component, call, get, post, idPath, once, WAIT, count, percent, time, Loading, Said } from "./kit.js";
import { End, LISTS, METRICS, SampleSize, Shares, Start, isRate } from "./experiment_forms.js";

const SHOWN = 10;
// How the names of the forms begin under which what is typed there is kept, and the whole one of that beside them.
const DRAFT = "experiment ", SIZES = "sample size";
const draftOf = ({ form, name }) => `${DRAFT}${form} ${name}`;

// The form into which something was typed last and not sent is open again.
function openBefore() {
  const [, form, name] = [...drafts.keys()].findLast(key => key.startsWith(DRAFT))?.split(" ") || [];
  return form ? { form, name, isBack: true } : null;
}

export class Experiments extends Component {
  constructor() {
    super();
    // `open`: the form that is open, and of which experiment. `sizes`: whether the numbers of users are asked for, beside it.
    this.state = { reports: null, said: "", open: openBefore(), sizes: drafts.has(SIZES), isBack: drafts.has(SIZES) };
    this.act = once(this.act.bind(this), () => this.setState({ said: WAIT }));
    this.close = () => {
      drafts.delete(draftOf(this.state.open));
      this.setState({ open: null, error: null });
    };
    this.closeSizes = () => {
      drafts.delete(SIZES);
      this.setState({ sizes: false });
    };
  }

  componentDidMount() { this.load(); }

  async load() {
    try {
      const { experiments } = await get("experiments");
      const reports = await Promise.all(experiments.slice(0, SHOWN).map(one => get(idPath("experiments", one.name))));
      this.forget(experiments.filter(one => one.running).map(one => one.name));
      this.setState({ reports, hidden: experiments.length - reports.length, error: null });
    } catch (error) {
      this.setState({ error });
    }
  }

  // An experiment that has ended has no forms.
  forget(running) {
    for (const key of drafts.keys()) {
      const [, form, name] = key.startsWith(DRAFT) ? key.split(" ") : [];
      if (name && form !== "start" && !running.includes(name)) drafts.delete(key);
    }
  }

  show(form, name = "") {
    this.setState({ open: { form, name }, said: "", error: null });
  }

  // The form that it was begun with closes when it is done; another one that was opened meanwhile stays.
  async act(request, said) {
    const { open: began } = this.state;
    try {
      await request();
      drafts.delete(draftOf(began));
      await this.load();
      this.setState(({ open }) => ({ said, open: open?.form === began.form && open.name === began.name ? null : open }));
    } catch (error) {
      this.setState({ error, said: "" });
    }
  }

  start(body) {
    return this.act(() => post("experiments", body), `${body.name} runs. Every process serves it within a second.`);
  }

  change(name, shares) {
    return this.act(() => call("PUT", `${idPath("experiments", name)}/shares`, { shares }), `${name} has other shares; its figures start anew.`);
  }

  end(name, conclusion) {
    return this.act(() => post(`${idPath("experiments", name)}/stop`, conclusion ? { conclusion } : {}),
      `${name} has ended. All users get what control gets.`);
  }

  render({ may }, { reports, hidden, open, sizes, isBack, said, error }) {
    const button = (form, label, name) => html`<button class="plain" aria-expanded=${open?.form === form && open.name === (name || "")} onClick=${() => this.show(form, name)}>${label}</button>`;
    return html`<section class="card"><h3>Experiments</h3>
      <${Said} error=${error} again=${reports ? null : () => this.load()} said=${said} />
      ${reports === null ? !error && html`<${Loading} />` : reports.length === 0 && html`<p class="quiet">There are none.</p>`}
      <p class="row">${may && button("start", "Start an experiment")}<button class="plain" aria-expanded=${sizes} onClick=${() => this.setState({ sizes: true, isBack: false })}>How many users does it take?</button></p>
      ${open?.form === "start" && html`<${Start} draft=${draftOf(open)} isBack=${open.isBack} onStart=${body => this.start(body)} onClose=${this.close} />`}
      ${sizes && html`<${SampleSize} draft=${SIZES} isBack=${isBack} known=${measured(reports || [])} onClose=${this.closeSizes} />`}
      ${reports?.map(report => {
        const { name, running, shares } = report.experiment;
        const form = open?.name === name ? open.form : null;
        return html`<${Report} key=${name} report=${report}>${may && running && html`
          <p class="row">${button("shares", `Change the shares of ${name}`, name)}${button("end", `End ${name}`, name)}</p>
          ${form === "shares" && html`<${Shares} draft=${draftOf(open)} isBack=${open.isBack} names=${report.experiment.definition.variants.map(one => one.name)} shares=${shares}
            onShares=${changed => this.change(name, changed)} onClose=${this.close} />`}
          ${form === "end" && html`<${End} draft=${draftOf(open)} isBack=${open.isBack} onEnd=${conclusion => this.end(name, conclusion)} onClose=${this.close} />`}`}</${Report}>`;
      })}
      ${hidden > 0 && html`<p class="quiet small">${count(hidden)} older ones are not shown: GET /experiments lists them.</p>`}</section>`;
  }
}

function Report({ report, children }) {
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
    ${children}</article>`;
}

// By metric, what the newest experiment found of control, to plan the next one with.
function measured(reports) {
  const found = {};
  for (const { variants: [control] } of reports) {
    for (const [metric, figures] of Object.entries(control.metrics)) {
      if (figures.value && !found[metric]) found[metric] = figures;
    }
  }
  return found;
}

function figure(metric, found) {
  if (found.value === null) return "–";
  const value = isRate(metric) ? percent(found.value) : found.value.toLocaleString("en", { maximumFractionDigits: 2 });
  return found.change ? `${value} (${signed(found.change.value)}; ${signed(found.change.low)} to ${signed(found.change.high)})` : value;
}

const signed = value => `${value > 0 ? "+" : ""}${percent(value)}`;
