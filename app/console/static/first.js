// An empty service: three steps, each green as it happens; and a tour once there is something to see.
import { html, Component } from "./kit.js";

export function FirstVisit({ session, begun, onClose }) {
  const origin = location.href.replace(/console.*$/, "");
  const key = session.keys ? ' -H "Authorization: Bearer $KEY"' : "";
  const event = `curl ${origin}event${key} -d '{"user_id": "ann", "session_id": "s1", "item_id": "tent", "event_type": "view"}'`;
  const steps = [
    { title: "A key", done: session.keys, text: "Without a key, whoever reaches the service may call it. Make one for your shop, and put the entry that it prints into API_KEYS:",
      code: "reco key new shop --scope write --scope read" },
    { title: "A first event", done: begun.has_events, text: "Send one from a terminal. In a page, the JavaScript client does it.", code: event },
    { title: "An import", done: begun.has_items, text: "Load the catalogue and the history that you have; any CSV or JSON will do. The command needs the DATABASE_URL of the service.",
      code: "reco import --items items.csv\nreco import purchases.csv --event-type purchase" },
  ];
  const begins = begun.has_events && begun.has_items;
  return html`<section class="card" aria-labelledby="first"><div class="row"><h3 id="first" class="grow">First steps</h3>
      ${begins && html`<button class="plain" onClick=${onClose}>Close</button>`}</div>
    <ol class="steps">${steps.map(step => html`<li class=${step.done ? "done" : ""}>
      <strong>${step.title}</strong>${" "}<span class=${step.done ? "good" : "quiet"}>${step.done ? "✓ done" : "still to do"}</span>
      ${!step.done && html`<p>${step.text}</p><pre tabindex="0">${step.code}</pre>`}</li>`)}</ol>
    ${begins && html`<p role="status">The service has events and a catalogue. <a href="#try">See what a user gets</a>.</p>`}</section>`;
}

const STOPS = [
  ["live", "The flow: events go from the API through the outbox and Kafka to the features. Each box changes in place."],
  ["try", "Pick a user: their history, and the list they get. Each place says why it is there. After View or Buy beside an item, the list changes."],
  ["merchandise", "Search the catalogue and open an item. Pin, boost, bury or hide: Preview shows a list before and after, and Undo takes it back."],
  ["measure", "What was shown, clicked and bought, by day, placement, source and variant, with intervals; and experiments. Ranking, beside it, has the versions of the model."],
  ["act", "What could not be published or counted: search it, open it, replay or discard it. While all is well there is nothing here."],
  ["model", "Which weights serve, and how good they are beside popularity alone."],
];
// A key that may not act sees the ranking instead.
const CLICKS = 5;

export class Tour extends Component {
  go(stop) {
    this.setState({ stop });
    if (stop !== null) location.hash = this.stops()[stop][0];
  }

  stops() { return STOPS.filter(([view]) => this.props.views.includes(view)).slice(0, CLICKS); }

  render(_, { stop = null }) {
    const stops = this.stops();
    if (stop === null) return html`<button class="plain" onClick=${() => this.go(0)}>Take the tour</button>`;
    const last = stop >= stops.length - 1;
    return html`<p class="notice row tour" role="status"><span>${stop + 1} of ${stops.length}. ${stops[stop][1]}</span>
      ${!last && html`<button onClick=${() => this.go(stop + 1)}>Next</button>`}
      <button class="plain" onClick=${() => this.go(null)}>End the tour</button></p>`;
  }
}
