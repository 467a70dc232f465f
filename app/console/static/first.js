// An empty service: three steps, each green as it happens; and a tour once there is something to see.
import { html } from "./kit.js";

export function FirstVisit({ session, begun }) {
  const origin = location.href.replace(/console.*$/, "");
  const key = session.keys ? ' -H "Authorization: Bearer $KEY"' : "";
  const event = `curl ${origin}event${key} -d '{"user_id": "ann", "session_id": "s1", "item_id": "tent", "event_type": "view"}'`;
  const steps = [
    { title: "A key", done: session.keys, text: "Without a key, whoever reaches the service may call it. Make one for your shop, and set it:",
      code: "reco key new shop --scope write --scope read" },
    { title: "A first event", done: begun.has_events, text: "Send one from a terminal. In a page, the JavaScript client does it.", code: event },
    { title: "An import", done: begun.has_items, text: "Load the catalogue and the history that you have; any CSV or JSON will do.",
      code: "reco import --items items.csv\nreco import purchases.csv" },
  ];
  return html`<section class="card" aria-labelledby="first"><h3 id="first">First steps</h3>
    <ol class="steps">${steps.map(step => html`<li class=${step.done ? "done" : ""}>
      <strong>${step.title}</strong>${" "}<span class=${step.done ? "good" : "quiet"}>${step.done ? "✓ done" : "still to do"}</span>
      ${!step.done && html`<p>${step.text}</p><pre tabindex="0">${step.code}</pre>`}</li>`)}</ol></section>`;
}
