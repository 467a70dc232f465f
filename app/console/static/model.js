// What ranks now, how good it is beside popularity, and which of its versions serves.
import { html, Component, get, post, once, WAIT, count, percent, time, Loading, Opening, Problem, Said } from "./kit.js";

export const CONTENDERS = {
  served: "Serves now", learned: "Being learned", fixed: "Fixed constants", popularity: "Popularity alone",
  before: "Served before",
};

const SHOWN = 50;

export class ModelView extends Component {
  constructor({ session }) {
    super();
    this.may = session.scopes.includes("operate");
    this.act = once(this.act.bind(this), () => this.setState({ said: WAIT }));
  }

  componentDidMount() { this.load(); }

  async load() {
    try {
      const [model, versions] = await Promise.all([get("model"), get("models", { limit: SHOWN })]);
      this.setState({ model, versions: versions.versions, error: null });
    } catch (error) {
      this.setState({ error });
    }
  }

  // Each act names the version that was seen serving. `plan`: the form that it was confirmed with, which closes when it is done; another one stays, with what is typed there.
  async act(path, body, said, plan = null) {
    try {
      const done = await post(`model/${path}`, body);
      await this.load();
      this.setState(now => ({ said: said(done), plan: now.plan === plan ? null : now.plan }));
    } catch (error) {
      if (error.status !== 409) return this.setState({ error, said: "" });
      // What was confirmed was for what served then.
      await this.load();
      this.setState(now => ({ said: "", plan: now.plan === plan ? null : now.plan,
        error: new Error("Another version serves by now than the one that you saw, so that nothing was changed. Look, and decide anew.") }));
    }
    return undefined;
  }

  promote(plan, reason) {
    this.act("promote", { version: plan.version, reason, pin: true, instead_of: plan.serves }, done => `Version ${done.serves} serves, pinned.`, plan);
  }

  rollBack(plan, reason) {
    this.act("rollback", { version: plan.serves, reason }, done => (done.instead_of === null ? `Nothing served before version ${done.serves}; it is pinned.`
      : `Version ${done.serves} serves in place of ${done.instead_of}, pinned.`), plan);
  }

  pin(pinned, version) {
    this.act("pin", { pinned, version }, done => (pinned ? `Version ${done.serves} is pinned.` : "The learner decides again."));
  }

  render(_, { model, versions, plan, said, error }) {
    if (!model) return html`<h2>Ranking</h2>${error ? html`<${Problem} error=${error} again=${() => this.load()} />` : html`<${Loading} />`}`;
    const known = Object.entries(CONTENDERS).filter(([name]) => model.figures[name]?.all.tests);
    return html`<div class="stack"><h2>Ranking</h2>
      <${Said} error=${error} said=${said} />
      <section class="card"><h3>Version ${model.version}${model.pinned ? ", pinned" : ""}</h3>
        <p>${model.origin}, since ${time(model.since)}: ${model.reason}</p>
        <p class="quiet">The learner is ${model.learner.state}; it has learned from ${count(model.learner.samples)} events.${model.learner.suggests ? ` It suggests: ${model.learner.suggests.reason || ""}${model.learner.suggests.action === "promote" ? ". The command reco model store makes a version of what is learned" : ""}` : ""}</p>
        ${this.may && html`<p class="row"><button class="plain" onClick=${() => this.pin(!model.pinned, model.version)}>${model.pinned ? "Let the learner decide" : "Pin this version"}</button>
          <button class="plain" onClick=${() => this.setState({ plan: { rollback: true, serves: model.version } })}>Roll back</button></p>`}</section>
      ${plan && html`<${Plan} plan=${plan} onCancel=${() => this.setState({ plan: null })}
        onAct=${reason => (plan.rollback ? this.rollBack(plan, reason) : this.promote(plan, reason))} />`}
      ${known.length ? html`<section class="card scroll" tabindex="0" aria-label="Figures by contender"><table>
        <caption class="hidden-text">Figures of the last sampled events</caption>
        <thead><tr><th scope="col">Ranking</th><th scope="col" class="number">Hit rate@20</th>
          <th scope="col" class="number">NDCG@20</th><th scope="col" class="number">MRR@20</th>
          <th scope="col" class="number">Events</th></tr></thead>
        <tbody>${known.map(([name, label]) => html`<tr><th scope="row">${label}</th>
          <td class="number">${percent(model.figures[name].all.hit_rate)}</td>
          <td class="number">${percent(model.figures[name].all.ndcg)}</td>
          <td class="number">${percent(model.figures[name].all.mrr)}</td>
          <td class="number">${count(model.figures[name].all.tests)}</td></tr>`)}</tbody></table></section>`
        : html`<p class="notice">No figures yet: the learner has had no events to test on.</p>`}
      <${Versions} versions=${versions} serves=${model.version} onPromote=${this.may ? version => this.setState({ plan: { version, serves: model.version } }) : null} />
    </div>`;
  }
}

// The figures of a version are those of when it was made: its own, and those of what served then, on the same events.
function Versions({ versions, serves, onPromote }) {
  return html`<section class="card"><h3>Versions</h3><div class="scroll" tabindex="0" role="region" aria-label="Versions"><table>
    <thead><tr><th scope="col">Version</th><th scope="col">Made</th><th scope="col">Why</th><th scope="col" class="number">NDCG@20</th>
      <th scope="col" class="number">Then served</th><th scope="col" class="number">Events</th>${onPromote && html`<th scope="col"><span class="hidden-text">Act</span></th>`}</tr></thead>
    <tbody>${versions.map(one => html`<tr key=${one.version}><th scope="row">${one.version}${one.version === serves ? " (serves)" : ""}${one.withdrawn_at ? " (rolled back)" : ""}</th>
      <td>${time(one.created_at)}</td><td>${one.origin}: ${one.reason}</td>
      <td class="number">${percent(one.figures.learned?.all.ndcg)}</td><td class="number">${percent(one.figures.served?.all.ndcg)}</td>
      <td class="number">${count(one.figures.learned?.all.tests)}</td>
      ${onPromote && html`<td>${one.version !== serves && html`<button class="plain" aria-label=${`Promote version ${one.version}`}
        onClick=${() => onPromote(one.version)}>Promote</button>`}</td>`}</tr>`)}</tbody></table></div>
    ${versions.length === SHOWN && html`<p class="quiet small">The newest ${SHOWN}; GET /models lists those before.</p>`}</section>`;
}

class Plan extends Opening {
  submit(event) {
    event.preventDefault();
    this.props.onAct(this.first.current.value.trim());
  }

  render({ plan, onCancel }) {
    const { serves } = plan;
    const what = plan.rollback ? "Roll back" : `Promote version ${plan.version}`;
    return html`<form class="notice" role="group" aria-label="Confirm" onSubmit=${event => this.submit(event)}>
      <p>${plan.rollback ? `Version ${serves} gives way to the one that served before it.` : `Version ${plan.version} serves in place of ${serves}.`}
        ${" "}All processes follow within a second, and it stays until the learner may decide again.</p>
      <label>Why <input name="reason" required maxlength="500" ref=${this.first} /></label>
      <p class="row"><button>${what}</button><button type="button" class="plain" onClick=${onCancel}>Cancel</button></p></form>`;
  }
}
