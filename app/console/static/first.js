// An empty service: three steps, each green as it happens; and a tour once there is something to see.
import { html, Component, keepFocus } from "./kit.js";

// Whether the steps are shown: null until somebody opens or closes them. It outlives the view, and a sign-in.
export const firstSteps = { shown: null };

const isBegun = ({ has_events, has_items }) => has_events && has_items;

// An empty service shows the steps by itself, and they stay when all of them are green.
export function showIfEmpty(begun) {
  if (firstSteps.shown === null && !isBegun(begun)) firstSteps.shown = true;
}

// Of the service, by the address of the page, which may be below a path.
export const urlOf = page => new URL(".", page).href.replace(/\/$/, "");

export function FirstVisit({ session, begun, onClose }) {
  const steps = stepsOf(urlOf(location.href), session.keys, begun);
  return html`<section class="card" aria-labelledby="first"><div class="row"><h3 id="first" class="grow">First steps</h3>
      <button class="plain" onClick=${onClose}>Close</button></div>
    <ol class="steps">${steps.map(({ title, done, how }) => html`<li key=${title} class=${done ? "done" : ""}>
      <strong>${title}</strong>${" "}<span class=${done ? "good" : "quiet"}>${done ? "✓ done" : "still to do"}</span>
      ${done ? html`<details class="small"><summary>How<span class="hidden-text"> ${title}</span></summary>${how}</details>` : how}</li>`)}</ol>
    ${isBegun(begun) && html`<p role="status">The service has events and a catalogue. <a href="#try">See what a user gets</a>.</p>`}</section>`;
}

const Code = ({ children }) => html`<pre tabindex="0">${children}</pre>`;

function stepsOf(url, keys, begun) {
  const header = keys ? ' -H "Authorization: Bearer $KEY"' : "";
  const tag = `<script src="/reco.global.js"></script>
<script>
  const reco = new Reco.Client({ url: "${url}"${keys ? ', key: "KEY"' : ""} });
  reco.send({ event_type: "view", item_id: "tent" });
</script>`;
  return [
    { title: "A key", done: keys, how: html`
      <p>Without a key, whoever reaches the service may call it. Make one for your shop, put the entry that it prints into API_KEYS, and start the service again:</p>
      <${Code}>reco key new shop --scope write --scope read</${Code}>` },
    { title: "A first event", done: begun.has_events, how: html`
      <p>Send one from a terminal:</p>
      <${Code}>${`curl ${url}/event${header} -d '{"user_id": "ann", "session_id": "s1", "item_id": "tent", "event_type": "view"}'`}</${Code}>
      <p>Or from a page, by a script tag. The package <code>reco-client</code> of npm has <code>dist/reco.global.js</code>, which your own host serves:</p>
      <${Code}>${tag}</${Code}>
      <ul class="small">
        ${keys && html`<li>KEY is one for browsers, which anybody may see: <code>reco key new pages --scope browser</code>. Its events name items of the catalogue alone, so that the import comes first.</li>`}
        <li>The setting <code>CORS_ALLOW_ORIGINS</code> of the service names the origin of the page, such as https://shop.example.</li>
        <li>If the page has a Content-Security-Policy, it allows both scripts (<code>script-src</code>) and the service: <code>connect-src ${new URL(url).origin}</code>.</li></ul>` },
    { title: "An import", done: begun.has_items, how: html`
      <p>Load the catalogue and the history that you have; any CSV or JSON will do. The command needs the DATABASE_URL of the service.</p>
      <${Code}>${"reco import --items items.csv\nreco import purchases.csv --event-type purchase"}</${Code}>` },
  ];
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
    this.setState({ stop }, keepFocus);
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
