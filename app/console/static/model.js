// What ranks now, and how good it is beside popularity.
import { html, Component, get, count, percent, time, Problem } from "./kit.js";

export const CONTENDERS = {
  served: "Serves now", learned: "Being learned", fixed: "Fixed constants", popularity: "Popularity alone",
  before: "Served before",
};

export class ModelView extends Component {
  async componentDidMount() {
    try {
      this.setState({ model: await get("model") });
    } catch (error) {
      this.setState({ error });
    }
  }

  render(_, { model, error }) {
    if (!model) return html`<h2>Ranking</h2><${Problem} error=${error} />`;
    const known = Object.entries(CONTENDERS).filter(([name]) => model.figures[name]?.all.tests);
    return html`<div class="stack"><h2>Ranking</h2>
      <section class="card"><h3>Version ${model.version}${model.pinned ? ", pinned" : ""}</h3>
        <p>${model.origin}, since ${time(model.since)}: ${model.reason}</p>
        <p class="quiet">The learner is ${model.learner.state}; it has learned from ${count(model.learner.samples)} events.${model.learner.suggests ? ` It suggests: ${model.learner.suggests.reason || ""}` : ""}</p></section>
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
    </div>`;
  }
}
