// Signs in, and shows the view that the address names.
import { html, render, Component, call, get, keepFocus, Problem } from "./kit.js";
import { acting, stop } from "./acting.js";
import { hasChanges } from "./drafts.js";
import { Tour } from "./first.js";
import { isOwner } from "./owner.js";
import { VIEWS } from "./views.js";

class SignIn extends Component {
  async submit(event) {
    event.preventDefault();
    try {
      this.props.onSession(await call("POST", "console/session", { key: this.key.value }));
    } catch (error) {
      this.setState({ error });
    }
  }

  componentDidMount() { this.key.focus(); }

  render({ ended }, { error }) {
    return html`<main id="main" class="sign-in"><form class="card stack" onSubmit=${event => this.submit(event)}>
      <h1>Reco console</h1>
      ${ended && html`<p class="notice warn" role="status">${ended} What you had typed is kept for the same key.</p>`}
      <label>API key <input type="password" name="key" autocomplete="current-password" required maxlength="256"
        ref=${input => { this.key = input; }} aria-describedby="about-key" /></label>
      <p id="about-key" class="quiet small">The key is checked and not kept. You stay signed in for twelve hours.${" "}
        <code>reco key new NAME</code> makes a key; its scopes decide what you see here.</p>
      <${Problem} error=${error} />
      <button>Sign in</button>
    </form></main>`;
  }
}

class Console extends Component {
  constructor() {
    super();
    this.state = { hash: location.hash, visits: 0 };
    this.follow = ({ oldURL }) => {
      const toMain = () => document.getElementById("main").focus();
      if (location.hash !== "#main") return this.setState(({ visits }) => ({ hash: location.hash, visits: visits + 1 }), toMain);
      // The link that skips the navigation leads to no view: the address names the same one for the next reload.
      window.history.replaceState(null, "", oldURL);
      return toMain();
    };
  }

  componentDidMount() { addEventListener("hashchange", this.follow); }
  componentWillUnmount() { removeEventListener("hashchange", this.follow); }

  render({ session, refused, onSignOut }, { hash, visits }) {
    const view = viewOf(hash);
    const allowed = VIEWS.filter(({ needs }) => needs.every(scope => session.scopes.includes(scope)));
    const shown = allowed.find(({ name }) => name === view) || allowed[0];
    if (!shown) return html`<main id="main" tabindex="-1"><p class="notice">The key ${session.name} has no scope that the console can use.</p><button onClick=${onSignOut}>Sign out</button></main>`;
    document.title = `${shown.title} · Reco console`;
    return html`<header>
      <h1>Reco</h1>
      <nav aria-label="Views">${allowed.map(({ name, title }) => html`<a href=${"#" + name}
        aria-current=${name === shown.name ? "page" : undefined}>${title}</a>`)}</nav>
      <div class="who small"><${Tour} views=${allowed.map(({ name }) => name)} /><a href="docs">API</a>${session.keys
        ? html`<span class="quiet">${session.name}</span><button class="plain" onClick=${onSignOut}>Sign out</button>`
        : html`<span class="quiet">no keys are set</span>`}</div>
    </header>
    <main id="main" tabindex="-1">${refused && html`<${Problem} error=${new Error(`You are still signed in. ${refused.message}`)} />`}<${shown.view} session=${session} key=${visits} /></main>`;
  }
}

const ENDED = "Your session has ended. Sign in again.";
const OTHER = "Somebody has signed in with another key in this browser. Sign in again, or reload the page to go on with that key.";

class App extends Component {
  componentDidMount() {
    addEventListener("signed-out", ({ detail }) => {
      const { keys, name } = this.state.session;
      // Of somebody who has signed out, a call that was on its way is refused, too.
      if (name || !keys) this.setState({ session: { keys: true, name: null, scopes: [] }, ended: detail === "other_session" ? OTHER : ENDED });
    });
    addEventListener("beforeunload", event => { if (!this.isLeft && (hasChanges() || acting.plan)) event.preventDefault(); });
    this.load();
  }

  // Who signs in with another key finds nothing of what was typed and done before.
  begin(session, after) {
    if (isOwner(session.name)) return this.setState({ session, ended: null, error: null }, after);
    this.isLeft = true;
    return location.reload();
  }

  async load() {
    try {
      this.begin(await get("console/session"));
    } catch (error) {
      this.setState({ error });
      setTimeout(() => this.load(), 2000);
    }
  }

  async signOut() {
    try {
      const session = await call("DELETE", "console/session");
      stop();
      this.setState({ session, ended: null, refused: null });
    } catch (refused) {
      this.setState({ refused });
    }
  }

  render(_, { session, ended, refused, error }) {
    if (!session) return error ? html`<main id="main"><${Problem} error=${error} /></main>` : html`<main id="main"></main>`;
    if (session.keys && !session.name) return html`<${SignIn} ended=${ended} onSession=${session => this.begin(session, keepFocus)} />`;
    return html`<${Console} session=${session} refused=${refused} onSignOut=${() => this.signOut()} />`;
  }
}

function viewOf(hash) {
  return hash.slice(1).split("/")[0];
}

render(html`<${App} />`, document.getElementById("app"));
