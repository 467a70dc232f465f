// A long table of dead rows or dead letters: only the rows around what is in sight are in the page.
import { html, Component, count, time } from "./kit.js";

const SPARE = 20;
const SHOWN = 100;

export class Letters extends Component {
  constructor() {
    super();
    this.state = { from: 0, height: 50 };
    this.body = { current: null };
  }

  componentDidMount() { this.measure(); }
  componentDidUpdate() { this.measure(); }

  // All rows are as high as the first; how high depends on the reader's font.
  measure() {
    const height = this.body.current.querySelector("tr[aria-rowindex]").offsetHeight;
    if (height !== this.state.height) this.setState({ height });
  }

  scrolled({ target }) {
    const top = Math.floor(target.scrollTop / this.state.height);
    this.setState({ from: Math.max(0, top - (top % SPARE) - SPARE) });
    if (target.scrollHeight - target.scrollTop - target.clientHeight < SPARE * this.state.height) this.props.onEnd();
  }

  render({ entries, matching, chosen, open, onToggle, onOpen }, { from, height }) {
    const first = Math.max(0, Math.min(from, entries.length - SHOWN)), shown = entries.slice(first, first + SHOWN);
    const space = rows => rows > 0 && html`<tr aria-hidden="true"><td colspan="6" class="space" style=${{ height: `${rows * height}px` }}></td></tr>`;
    return html`<div class="scroll letters" tabindex="0" role="region" aria-label="What was found" onScroll=${event => this.scrolled(event)}>
      <table aria-rowcount=${matching + 1}>
        <thead><tr><th scope="col"><span class="hidden-text">Chosen</span></th><th scope="col">Id</th><th scope="col">Failed</th>
          <th scope="col">Topic</th><th scope="col">Error</th><th scope="col" class="number">Replays</th></tr></thead>
        <tbody ref=${this.body}>${space(first)}${shown.map((entry, place) => html`<${Row} key=${entry.id} entry=${entry} number=${first + place + 2}
          chosen=${chosen.has(entry.id)} isOpen=${open?.id === entry.id} onToggle=${on => onToggle(entry.id, on)} onOpen=${() => onOpen(entry.id)} />`)}
          ${space(entries.length - first - shown.length)}</tbody></table></div>
      ${entries.length < matching && html`<p class="quiet small">${count(entries.length)} are loaded; scroll for more.</p>`}`;
  }
}

class Row extends Component {
  shouldComponentUpdate(next) {
    return ["entry", "chosen", "isOpen", "number"].some(name => next[name] !== this.props[name]);
  }

  render({ entry, number, chosen, isOpen, onToggle, onOpen }) {
    return html`<tr aria-rowindex=${number}><td><input type="checkbox" checked=${chosen} aria-label=${`Choose ${entry.id}`} onChange=${event => onToggle(event.target.checked)} /></td>
      <td><button class="plain" aria-label=${`Open ${entry.id}`} aria-expanded=${isOpen} onClick=${onOpen}>${entry.id}</button></td>
      <td>${time(entry.failed_at)}</td><td>${entry.topic}</td><td>${(entry.error || "").split("\n")[0].slice(0, 160)}</td><td class="number">${entry.replays}</td></tr>`;
  }
}
