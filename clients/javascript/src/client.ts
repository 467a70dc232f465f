import { uuid7 } from "./ids";
import { ShownList } from "./impressions";
import { type Answer, bytesOf, MAX_KEPT_BYTES, Queue, type QueueOptions } from "./queue";
import { LocalStore, noStore } from "./store";
import type {
  About,
  EventResult,
  ListOptions,
  PostedOptions,
  RankedList,
  RankOptions,
  RecoEvent,
  RecommendationList,
  RecentOptions,
  RecommendOptions,
  ShownItem,
  TrendingOptions,
} from "./types";
import { type Credentials, Visitor } from "./visitor";

export interface ClientOptions {
  /** Where the service is, such as `https://reco.example`. */
  url: string;
  /** A key that anyone may see: of the scope `browser`. On a server, one of the scopes `write` and `read`. */
  key?: string;
  /** Asked for another token of the user that was identified, when the one of `identify` has ended. */
  renewToken?: (userId: string) => Promise<string>;
  /** The service has API_KEYS_IN_QUERY: the last events of a page go by `sendBeacon`, with the key in the URL. */
  keyInQuery?: boolean;
  /** Before the names of entries in localStorage. */
  prefix?: string;
  timeoutMs?: number;
  queue?: Partial<QueueOptions>;
}

/** An answer that is an error; `problem` is its body, where it is JSON. */
export class RecoError extends Error {
  constructor(
    readonly status: number,
    readonly problem?: { code?: string; detail?: string; errors?: { path: string; message: string }[] },
  ) {
    super(`${status}: ${problem?.detail ?? "no detail"}`);
  }
}

/** A clock that is off by less makes no difference to what is recommended. */
const CLOCK_TOLERANCE_MS = 30_000;
const BEACON_MS = 5000;
const MAX_RETRY_AFTER_SEC = 300;
/** More exclusions make a URL too long. */
const MAX_IN_URL = 100;

export class Client {
  private readonly visitor: Visitor;
  private readonly queue: Queue;
  private readonly lists = new Set<ShownList>();
  private readonly leaving = () => this.leave();
  private readonly back = () => this.queue.adopt();
  private readonly hiddenOrBack = () => {
    for (const list of this.lists) list.restart();
    if (document.hidden) this.leave();
    else this.queue.adopt();
  };
  private readonly mended = new Set<string>();
  private clockBehindMs = 0;

  constructor(private readonly options: ClientOptions) {
    const storage = browserStorage();
    const prefix = options.prefix ?? "reco.";
    this.visitor = new Visitor(storage, prefix);
    this.queue = new Queue(
      (body, leaving) => this.post(body, leaving),
      storage ? new LocalStore(storage, `${prefix}event.`) : noStore,
      {
        maxWaiting: 1000,
        batchEvents: 100,
        intervalMs: 1000,
        backoffMs: 1000,
        maxBackoffMs: 60_000,
        onLost: (body, reason) => console.warn(`reco: an event is given up: ${reason}`, body),
        mend: (body, result) => this.mend(body, result),
        owner: (body) => Object.values(this.credentialsOf(JSON.parse(body))).join(),
        ...options.queue,
      },
    );
    if (typeof document !== "undefined") {
      addEventListener("pagehide", this.leaving);
      addEventListener("online", this.back);
      document.addEventListener("visibilitychange", this.hiddenOrBack);
    }
  }

  /** The user that was identified, or else the anonymous id of this browser. */
  get user(): string {
    return this.visitor.user;
  }

  /** Events that wait to be answered for. */
  get waiting(): number {
    return this.queue.size;
  }

  /**
   * From now on events and lists are this user's. The next event joins what was done anonymously into them. With a key
   * for browsers, a `token` that your server has signed says that it is this user.
   */
  identify(userId: string, token?: string): void {
    this.visitor.identify(userId, token);
  }

  /** Another person uses this browser. */
  reset(): void {
    this.visitor.reset();
  }

  /** Puts an event into the queue, and returns its id. */
  send(event: RecoEvent): string {
    const nowMs = Date.now() + this.clockBehindMs;
    const known = given(event);
    const id = known.event_id ?? uuid7(nowMs);
    const { user, session, anonymous } = this.visitor;
    const about = { user_id: user, session_id: session, ts_ms: nowMs };
    // Of another user that the event names, nothing is known.
    const whole = { ...about, ...(known.user_id ? {} : { anonymous_id: anonymous }), ...known, event_id: id };
    this.queue.add(id, JSON.stringify(whole));
    return id;
  }

  /** Sends what waits; resolves when the service has answered for all of it. */
  flush(): Promise<void> {
    for (const list of this.lists) list.flush();
    return this.queue.flush();
  }

  /** Sends what waits for up to `timeoutMs`, and stops. What is left stays in localStorage, where there is one. */
  async close(timeoutMs = 5000): Promise<void> {
    if (typeof document !== "undefined") {
      removeEventListener("pagehide", this.leaving);
      removeEventListener("online", this.back);
      document.removeEventListener("visibilitychange", this.hiddenOrBack);
    }
    for (const list of this.lists) list.stop();
    this.lists.clear();
    await Promise.race([this.queue.flush(), new Promise((resolve) => setTimeout(resolve, timeoutMs))]);
    this.queue.stop();
  }

  recommend(options: RecommendOptions & PostedOptions = {}): Promise<RecommendationList> {
    const asked = { user_id: this.visitor.user, session_id: this.visitor.session, ...given(options) };
    const { exclude = [], exclude_id = [], ...others } = asked;
    const excluded = [...exclude, ...exclude_id];
    if (asked.history || asked.candidates || asked.context || excluded.length > MAX_IN_URL) {
      return this.ask("/reco", { ...others, exclude: excluded });
    }
    return this.get("/reco", asked);
  }

  /** Up to 1,000 items of yours, the best for the user first. */
  rank(items: string[], options: RankOptions = {}): Promise<RankedList> {
    return this.ask("/rank", { user_id: this.visitor.user, session_id: this.visitor.session, ...given(options), items });
  }

  /** Not of an item named `.` or `..`: URLs in browsers cannot have these as a part of their path. */
  similar(itemId: string, options: ListOptions = {}): Promise<RecommendationList> {
    return this.get(`/similar/${encodeURIComponent(itemId)}`, { ...options });
  }

  popular(options: ListOptions = {}): Promise<RecommendationList> {
    return this.get("/popular", { ...options });
  }

  boughtTogether(itemId: string, options: ListOptions = {}): Promise<RecommendationList> {
    return this.get(`/bought-together/${encodeURIComponent(itemId)}`, { ...options });
  }

  trending(options: TrendingOptions = {}): Promise<RecommendationList> {
    return this.get("/trending", { ...options });
  }

  /** What the user of this browser did last. Not for a user named `.` or `..`, as `similar`. */
  recent(options: RecentOptions = {}): Promise<RecommendationList> {
    return this.get(`/users/${encodeURIComponent(this.visitor.user)}/recent`, { ...options });
  }

  buyAgain(options: ListOptions = {}): Promise<RecommendationList> {
    return this.get(`/users/${encodeURIComponent(this.visitor.user)}/buy-again`, { ...options });
  }

  /** Logs which places of a list were seen: give each element with its position to `observe`. */
  shown(list: RecommendationList, place: Pick<ShownItem, "feed_id" | "slot"> = {}): ShownList {
    const found = new ShownList(list, (event) => this.send(event), place);
    this.lists.add(found);
    return found;
  }

  private leave(): void {
    for (const list of this.lists) list.flush();
    this.queue.leave();
  }

  private async post(body: string, leaving: boolean): Promise<Answer> {
    const { url, key, keyInQuery } = this.options;
    const first = (JSON.parse(body) as About[])[0]!;
    const credentials = this.credentialsOf(first);
    if (leaving && (!key || keyInQuery) && typeof navigator !== "undefined" && navigator.sendBeacon) {
      const query = new URLSearchParams(key ? { key } : {});
      const { "x-visitor-id": visitor, "x-user-token": token } = credentials;
      if (key && visitor) query.set("visitor_id", visitor);
      if (key && token) query.set("user_token", token);
      navigator.sendBeacon(`${url}/log/batch${key ? `?${query}` : ""}`, body);
      // A beacon has no answer: the events stay until a request confirms them, if the page does.
      await new Promise((resolve) => setTimeout(resolve, BEACON_MS));
      throw new Error("a beacon has no answer");
    }
    // A browser refuses to let more outlast the page.
    const keepalive = bytesOf(body) <= MAX_KEPT_BYTES;
    const answer = await this.fetch("/log/batch", { method: "POST", body, keepalive }, first);
    // A timer of more than 24 days would fire at once.
    const retryAfter = Math.min(Number(answer.headers.get("retry-after")), MAX_RETRY_AFTER_SEC);
    const results = answer.status === 200 ? ((await answer.json()) as { results: EventResult[] }).results : undefined;
    // Until `identify` or `renewToken` has another token, the events wait.
    const status = answer.status === 401 && credentials["x-user-token"] ? 503 : answer.status;
    return { status, retryAfterSec: retryAfter || undefined, results };
  }

  /** Of the user whose event it is; of this browser's user where it is none. */
  private credentialsOf(event?: About): Credentials {
    return this.visitor.credentials(event?.user_id, event?.anonymous_id);
  }

  private async get(path: string, options: object): Promise<RecommendationList> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(options)) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one == null) continue;
        // The service divides values of `exclude` at commas. Here each entry of a list is one id.
        const whole = name === "exclude" && Array.isArray(value) && String(one).includes(",");
        query.append(whole ? "exclude_id" : name, String(one));
      }
    }
    return this.answer(`${path}?${query}`, {});
  }

  private ask<T>(path: string, body: object): Promise<T> {
    return this.answer(path, { method: "POST", body: JSON.stringify(body) });
  }

  private async answer<T>(path: string, request: RequestInit): Promise<T> {
    const answer = await this.fetch(path, request);
    if (!answer.ok) throw new RecoError(answer.status, await answer.json().catch(() => undefined));
    return (await answer.json()) as T;
  }

  private async fetch(path: string, request: RequestInit, of?: About, renewed = false): Promise<Response> {
    const { url, key, timeoutMs, renewToken } = this.options;
    const credentials = this.credentialsOf(of);
    const headers: Record<string, string> = key ? { authorization: `Bearer ${key}`, ...credentials } : {};
    const signal = AbortSignal.timeout(timeoutMs ?? 10_000);
    // Each list has a request id of its own, by which views are told apart: a browser keeps none.
    const answer = await fetch(url + path, { ...request, headers, signal, cache: "no-store" });
    const user = of?.user_id ?? this.user;
    if (answer.status === 401 && renewToken && !renewed && credentials["x-user-token"] && user === this.user) {
      this.visitor.identify(user, await renewToken(user));
      return this.fetch(path, request, of, true);
    }
    const date = Date.parse(answer.headers.get("date") ?? "");
    if (date) {
      const behindMs = date - Date.now();
      this.clockBehindMs = Math.abs(behindMs) < CLOCK_TOLERANCE_MS ? 0 : behindMs;
    }
    return answer;
  }

  /** An event whose time the service refused, since the clock of this device is wrong: once more by the service's. */
  private mend(body: string, result: EventResult): string | undefined {
    const event = JSON.parse(body) as { event_id: string; ts_ms: number };
    const refusedTime = result.errors?.some((error) => error.path === "$.ts_ms");
    if (!refusedTime || !this.clockBehindMs || this.mended.has(event.event_id)) return undefined;
    this.mended.add(event.event_id);
    return JSON.stringify({ ...event, ts_ms: event.ts_ms + this.clockBehindMs });
  }
}

/** Without what is undefined or null, which would hide a default: `user?.id` of nobody is no user. */
function given<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value != null)) as T;
}

function browserStorage(): Storage | undefined {
  try {
    return typeof document === "undefined" ? undefined : localStorage;
  } catch {
    return undefined; // forbidden by the browser
  }
}
