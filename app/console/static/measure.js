// Clicks, watch time and coverage by source, model version and variant, with intervals.
import { html, Component, get, count, percent, time, Problem } from "./kit.js";

export class MeasureView extends Component {
  constructor() {
    super();
    this.state = { days: 7 };
  }

  componentDidMount() { this.load(7); }

  async load(days) {
    this.setState({ days });
    try {
      this.setState({ report: await get("analytics/baseline", { days }), error: null });
    } catch (error) {
      this.setState({ error });
    }
  }

  render(_, { days, report, error }) {
    return html`<div class="stack"><h2>Measure</h2>
      <form class="card row"><label>Of the last <select name="days" onChange=${event => this.load(Number(event.target.value))}>${[1, 7, 14, 30].map(one =>
        html`<option value=${one} selected=${one === days}>${one === 1 ? "day" : `${one} days`}</option>`)}</select></label></form>
      <${Problem} error=${error} />
      ${report && html`<section class="card"><h3>In all, as of ${time(report.as_of)}</h3>
        <dl class="figures"><dt>Places shown</dt><dd>${count(report.total.shown)}</dd><dt>Clicked</dt><dd>${count(report.total.clicked)}</dd>
          <dt>Click rate@20</dt><dd>${percent(report.total.ctr_at_20)}</dd><dt>Coverage@20</dt><dd>${percent(report.total.coverage_at_20)}</dd>
          <dt>Average watch</dt><dd>${seconds(report.total.average_watch_sec)}</dd></dl></section>
      <${Table} title="By source and model version" rows=${report.by_source} head=${["Source", "Model", "Shown", "Clicked", "Click rate", "Watch"]}
        cells=${row => [row.source, row.model_version, count(row.shown), count(row.clicked), percent(row.ctr_at_20), seconds(row.average_watch_sec)]} />
      <${Table} title="By variant, with 95 % intervals" rows=${report.by_variant} head=${["Variant", "Users", "Shown", "Click rate", "To control"]}
        cells=${row => [row.variant, count(row.users), count(row.shown), interval(row.ctr_at_20), interval(row.ctr_at_20_difference)]} />`}
    </div>`;
  }
}

function Table({ title, rows, head, cells }) {
  return html`<section class="card"><h3>${title}</h3>${rows.length === 0 ? html`<p class="quiet">Nothing was shown yet.</p>`
    : html`<div class="scroll" tabindex="0" role="region" aria-label=${title}><table><thead><tr>${head.map((name, place) =>
      html`<th scope="col" class=${place > 0 ? "number" : ""}>${name}</th>`)}</tr></thead>
      <tbody>${rows.map(row => html`<tr>${cells(row).map((cell, place) => html`<td class=${place > 0 ? "number" : ""}>${cell}</td>`)}</tr>`)}</tbody></table></div>`}</section>`;
}

const seconds = value => (value === null ? "–" : `${value.toFixed(1)} s`);

function interval(estimate) {
  return estimate ? `${percent(estimate.value)} (${percent(estimate.low)} to ${percent(estimate.high)})` : "–";
}
