// The flow as it is: it changes in place, by the stream of samples.
import { html, Component, get, count, rate, percent, duration, time, keepFocus } from "./kit.js";
import { CONTENDERS } from "./model.js";
import { FirstVisit, firstSteps, showIfEmpty } from "./first.js";

const STAGES = {
  api: { title: "API", about: "takes events", rate: "accepted", backlog: "in the buffer" },
  outbox: { title: "Outbox", about: "in Postgres", rate: "written", backlog: "wait", age: "oldest", failed: "dead rows" },
  kafka: { title: "Kafka", about: "three topics", rate: "published", backlog: "lag" },
  features: { title: "Features", about: "in Postgres", rate: "counted", age: "age when counted", failed: "dead letters" },
  cache: { title: "Cache", about: "of histories and lists", rate: "reads here" },
};
const STATES = { ok: "Works", degraded: "Needs a look", down: "Down", unknown: "Not known here", stale: "Not known now" };
const COLOURS = { ok: "good", degraded: "warn", down: "bad", unknown: "quiet", stale: "quiet" };
const SHOWN_MS = 15 * 60_000;
const GAP_MS = 5_000;
// A sample comes each second, or each two while Postgres hangs.
const STALE_MS = 5_000;

export class LiveView extends Component {
  constructor() {
    super();
    this.state = { traces: [], sample: null, lost: false, paused: false };
    // Nobody looks at a tab that is hidden, and all tabs of a browser share six connections to a host. Who reads may pause.
    this.look = () => {
      this.close();
      if (document.hidden || this.state.paused) return;
      this.awaitSample();
      this.open();
    };
  }

  componentDidMount() {
    document.addEventListener("visibilitychange", this.look);
    this.look();
  }

  componentWillUnmount() {
    this.left = true;
    document.removeEventListener("visibilitychange", this.look);
    this.close();
  }

  close() {
    clearTimeout(this.timer);
    clearTimeout(this.overdue);
    this.source?.close();
  }

  // A stream may end, or stay open and bring nothing: what was seen last is not what is, and another stream may bring more.
  awaitSample() {
    clearTimeout(this.overdue);
    this.overdue = setTimeout(() => {
      this.setState({ lost: true });
      this.look();
    }, STALE_MS);
  }

  open() {
    this.source = new EventSource("console/live");
    this.source.addEventListener("traces", event => this.setState({ traces: JSON.parse(event.data) }));
    this.source.addEventListener("sample", event => {
      const sample = JSON.parse(event.data);
      const from = sample.at_ms - SHOWN_MS;
      const trace = [sample.at_ms, sample.stages.map(stage => stage.rate)];
      const traces = [...this.state.traces.filter(([at]) => at > from && at < sample.at_ms), trace];
      if (sample.begun) showIfEmpty(sample.begun);
      this.setState({ sample, traces, begun: sample.begun || this.state.begun, lost: false });
      this.awaitSample();
    });
    this.source.onerror = () => {
      // The browser opens a stream that ended again, and gives up one that was refused.
      if (this.source.readyState === EventSource.CLOSED) this.timer = setTimeout(() => this.reopen(), 3000);
    };
  }

  async reopen() {
    try { await get("model"); } catch { /* a 401 leads to the sign-in */ }
    // Who left or hid the view meanwhile closes no stream that opens now, and who came back has one.
    if (!this.left && !document.hidden && !this.state.paused && this.source.readyState === EventSource.CLOSED) this.open();
  }

  pause() { this.setState(({ paused }) => ({ paused: !paused, lost: false }), this.look); }

  show(shown) {
    firstSteps.shown = shown;
    this.setState({}, keepFocus);
  }

  render({ session }, { sample, traces, begun, lost, paused }) {
    if (!sample) return html`<h2>Live</h2><p class="quiet" role="status">${lost
      ? "No sample comes: the service does not answer, or as many people look as one process has room for. Trying again." : "Waiting for the first sample."}</p>`;
    const broken = sample.stages.filter(stage => stage.error);
    const stages = lost ? sample.stages.map(stage => ({ ...stage, state: "stale" })) : sample.stages;
    return html`<div class="stack"><div class="row"><h2 class="grow">Live</h2><button class="plain" aria-pressed=${paused} onClick=${() => this.pause()}>Pause</button></div>
      ${begun && firstSteps.shown && html`<${FirstVisit} session=${session} begun=${begun} onClose=${() => this.show(false)} />`}
      <div role="status">${lost && html`<p class="notice warn">No samples come any more. What you see is of ${time(sample.at_ms)}, and how it is now is not known. Trying again.</p>`}
        ${paused && html`<p class="notice">Paused: what you see is of ${time(sample.at_ms)}.</p>`}</div>
      <div role="status" class="hidden-text">${complaints(sample).join("") || (lost ? "" : "All stages work.")}</div>
      <ol class="flow" aria-label="The flow of events">${stages.map((stage, place) =>
        html`<${Stage} key=${stage.name} stage=${stage} points=${traces.map(([at, rates]) => [at, rates[place]])} now=${sample.at_ms} />`)}</ol>
      ${causes(broken).map(stages => html`<${Cause} key=${stages[0].name} stages=${stages} may=${session.scopes.includes("operate")} />`)}
      ${Object.entries(sample.others).map(([name, said]) => html`<section class="notice warn" key=${name}><h3>The task ${name}</h3><p>${said}</p></section>`)}
      <${HitRates} sample=${sample} />
      <p class="quiet small">Events are counted by Postgres for all processes; the buffer, the lag and the cache are of the process that answers (${sample.role.join(", ")}). Lines show 15 minutes, as far as somebody looked.</p>
      ${begun && !firstSteps.shown && html`<p><button class="plain" onClick=${() => this.show(true)}>Show the first steps</button></p>`}
    </div>`;
  }
}

// What is read aloud when it changes: not the errors, whose figures change with each sample.
const complaints = ({ stages, others }) => [...stages.filter(stage => stage.error).map(stage => `${STAGES[stage.name].title}: ${STATES[stage.state]}. `),
  ...Object.keys(others).map(name => `The task ${name} complains. `)];

// Stages with the same advice have the same cause.
function causes(broken) {
  const found = new Map();
  for (const stage of broken) found.set(stage.advice.text, [...(found.get(stage.advice.text) || []), stage]);
  return [...found.values()];
}

function Cause({ stages, may }) {
  const [{ advice }] = stages, failed = stages.find(stage => stage.failed > 0);
  return html`<section class="notice ${stages.some(stage => stage.state === "down") ? "bad" : "warn"}">
    <h3>${stages.map(stage => STAGES[stage.name].title).join(", ")}</h3>
    ${[...new Set(stages.map(stage => stage.error))].map(error => html`<p key=${error}>${error}</p>`)}
    <p><strong>What to do.</strong> ${advice.text}</p><p class="small">Incident plan: ${advice.section}</p>
    ${failed && may && html`<p><a href=${failed.name === "outbox" ? "#act/outbox" : "#act/dlq"}>Open them</a></p>`}</section>`;
}

function Stage({ stage, points, now }) {
  const named = STAGES[stage.name];
  const row = (label, value, bad) => label && value !== null &&
    html`<dt>${label}</dt><dd class=${bad ? "bad" : undefined}>${bad ? html`<strong>${value}</strong>` : value}</dd>`;
  return html`<li class="card ${stage.state}" data-stage=${stage.name}>
    <h3>${named.title}</h3><p class="quiet small">${named.about}</p>
    <p class="state ${COLOURS[stage.state]}">${STATES[stage.state]}</p>
    ${stage.error && html`<p class="small">${stage.error}</p>`}
    <dl>${row(named.rate, rate(stage.rate))}
      ${row(named.backlog, stage.backlog === null ? null : count(stage.backlog))}
      ${row(named.age, stage.age_ms === null ? null : duration(stage.age_ms))}
      ${row(named.failed, stage.failed === null ? null : count(stage.failed), stage.failed > 0)}</dl>
    <${Sparkline} points=${points} now=${now} label=${`${named.title}: events a second in the last 15 minutes`} />
  </li>`;
}

function Sparkline({ points, now, label }) {
  const known = points.filter(([, value]) => value !== null);
  const most = Math.max(1, ...known.map(([, value]) => value));
  let before = 0;
  const path = known.map(([at, value]) => {
    const move = at - before > GAP_MS ? "M" : "L";
    before = at;
    return `${move}${(300 - (300 * (now - at)) / SHOWN_MS).toFixed(1)} ${(38 - (36 * value) / most).toFixed(1)}`;
  }).join("");
  return html`<svg class="spark" viewBox="0 0 300 40" preserveAspectRatio="none" role="img"
    aria-label=${`${label}, at most ${rate(most)}`}><line x1="0" y1="39" x2="300" y2="39" /><path d=${path} /></svg>`;
}

function HitRates({ sample }) {
  const shown = ["served", "learned", "popularity"].filter(name => name in sample.hit_rates);
  if (!sample.ranking_tests || !shown.length) {
    return html`<section class="card"><h3>Ranking</h3><p class="quiet">No figures yet: the learner tests the ranking on a sample of the events.</p></section>`;
  }
  return html`<section class="card"><h3>Hit rate@20 of the last ${count(sample.ranking_tests)} sampled events</h3>
    <dl class="figures">${shown.map(name => html`<dt>${CONTENDERS[name]}</dt><dd><strong>${percent(sample.hit_rates[name])}</strong></dd>`)}</dl>
  </section>`;
}
