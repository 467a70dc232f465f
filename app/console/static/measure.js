// What shown places led to, by day, placement, source and variant; coverage; variants beside control; and experiments.
import { Experiments } from "./experiments.js";
import { html, Component, get, count, percent, time, Loading, Problem } from "./kit.js";

const BY = [
  ["by_day", "By day", "Day"], ["by_placement", "By placement", "Placement"], ["by_source", "By source", "Source"],
  ["by_variant", "By variant", "Variant"],
];

// The sums are some seconds behind what is received.
const BEHIND_MS = 5 * 60_000;

export class MeasureView extends Component {
  constructor() {
    super();
    this.state = { days: 7, placement: "", placements: [] };
  }

  componentDidMount() { this.load(7, ""); }

  async load(days, placement) {
    this.setState({ days, placement, report: null, led: null, error: null });
    try {
      const asked = placement ? { days, placement } : { days };
      const [report, led] = await Promise.all([get("analytics/baseline", { days }), get("analytics/conversions", asked)]);
      // Other days or another placement may have been chosen meanwhile.
      if (days !== this.state.days || placement !== this.state.placement) return;
      this.setState({ report, led, error: null });
      if (!placement) this.setState({ placements: led.by_placement.map(row => row.name) });
    } catch (error) {
      if (days === this.state.days && placement === this.state.placement) this.setState({ error });
    }
  }

  render({ session }, { days, placement, placements, report, led, error }) {
    return html`<div class="stack"><h2>Measure</h2>
      <form class="card row"><label>Of the last <select name="days" onChange=${event => this.load(Number(event.target.value), placement)}>${[1, 7, 14, 30].map(one =>
        html`<option value=${one} selected=${one === days}>${one === 1 ? "day" : `${one} days`}</option>`)}</select></label>
        <label>Placement <select name="placement" onChange=${event => this.load(days, event.target.value)}><option value="">all of them</option>${placements.map(one =>
          html`<option value=${one} selected=${one === placement}>${one}</option>`)}</select></label></form>
      <${Problem} error=${error} again=${() => this.load(days, placement)} />
      <${Experiments} may=${session.scopes.includes("operate")} />
      ${!led && !error && html`<${Loading} />`}
      ${report && led && Date.now() - new Date(led.as_of) > BEHIND_MS && html`<p class="notice warn" role="status">Events received since ${time(led.as_of)} are not in yet.
        The task maintenance makes the sums, as fast as Postgres lets it.</p>`}
      ${report && led && html`<section class="card"><h3>${placement || "In all"}, as of ${time(led.as_of)}</h3>
        <dl class="figures"><dt>Places shown</dt><dd>${count(led.total.shown)}</dd>
          <dt>Click rate@20</dt><dd>${interval(led.total.ctr)}</dd><dt>Conversion</dt><dd>${interval(led.total.conversion)}</dd>
          <dt>Revenue</dt><dd>${revenue(led.total)}</dd>
          <dt>Coverage@20</dt><dd>${placement ? interval(led.total.coverage) : percent(report.total.coverage_at_20)}</dd>
          <dt>Average watch</dt><dd>${interval(led.total.average_watch_sec, seconds)}</dd></dl>
        <p class="quiet small">With 95 % intervals. A click, a conversion or a watch counts for a place when it names its request. Coverage is the share of the catalogue that was shown; with an interval, it is estimated. Days are those of UTC.</p></section>
      ${BY.map(([field, title, name]) => html`<${Table} key=${field} title=${title} rows=${led[field]}
        head=${[name, "Shown", "Click rate", "Conversion", "Coverage", "Revenue", "For 1,000 shown", "Watch"]}
        cells=${row => [row.name || "none", count(row.shown), ranged(row.ctr), ranged(row.conversion), ranged(row.coverage), revenue(row), worth(row), ranged(row.average_watch_sec, seconds)]} />`)}
      ${!placement && html`<${Table} title="By source and model version" rows=${report.by_source} head=${["Source", "Model", "Shown", "Clicked", "Click rate", "Coverage"]}
        cells=${row => [row.source, row.model_version, count(row.shown), count(row.clicked), percent(row.ctr_at_20), percent(row.coverage_at_20)]} />
      <${Table} title="Variants beside control" empty="No list of a variant of the setting VARIANTS was shown. Experiments have their own figures, above." rows=${report.by_variant} head=${["Variant", "Users", "Shown", "Click rate to control", "Watch to control"]}
        cells=${row => [row.variant, count(row.users), count(row.shown), ranged(row.ctr_at_20_difference), ranged(row.average_watch_sec_difference, seconds)]} />`}`}
    </div>`;
  }
}

function Table({ title, rows, head, cells, empty = "Nothing was shown yet." }) {
  return html`<section class="card"><h3>${title}</h3>${rows.length === 0 ? html`<p class="quiet">${empty}</p>`
    : html`<div class="scroll" tabindex="0" role="region" aria-label=${title}><table><thead><tr>${head.map((name, place) =>
      html`<th scope="col" class=${place > 0 ? "number" : ""}>${name}</th>`)}</tr></thead>
      <tbody>${rows.map(row => html`<tr>${cells(row).map((cell, place) => html`<td class=${place > 0 ? "number" : ""}>${cell}</td>`)}</tr>`)}</tbody></table></div>`}</section>`;
}

const seconds = value => (value === null ? "–" : `${value.toFixed(1)} s`);
const amount = value => value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

function interval(estimate, write = percent) {
  if (!estimate) return "–";
  return estimate.low === null ? write(estimate.value) : `${write(estimate.value)} (${write(estimate.low)} to ${write(estimate.high)})`;
}

// In a table the interval is below the value: beside it, eight columns are wider than a screen.
function ranged(estimate, write = percent) {
  if (!estimate || estimate.low === null) return interval(estimate, write);
  return html`${write(estimate.value)}<br /><span class="quiet small">${write(estimate.low)} to ${write(estimate.high)}</span>`;
}

function revenue(row) {
  return row.revenue.length === 0 ? "–" : row.revenue.map(one => `${amount(one.total)} ${one.currency}`.trim()).join(", ");
}

function worth(row) {
  return row.revenue.length === 0 ? "–" : row.revenue.map(one => html`<div>${ranged(one.per_thousand_shown, value => `${amount(value)} ${one.currency}`.trim())}</div>`);
}
