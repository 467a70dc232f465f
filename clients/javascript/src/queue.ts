import type { Store } from "./store";
import type { EventResult } from "./types";

/** An answer to a batch; `results` where it is 200. */
export interface Answer {
  status: number;
  retryAfterSec?: number | undefined;
  results?: EventResult[] | undefined;
}

/** Sends a body. Rejects when there is no answer. `leaving`: the page goes away, and the answer may never be seen. */
export type Post = (body: string, leaving: boolean) => Promise<Answer>;

export interface QueueOptions {
  /** Events that wait at most; beyond that the oldest are dropped. */
  maxWaiting: number;
  batchEvents: number;
  intervalMs: number;
  backoffMs: number;
  maxBackoffMs: number;
  /** Told of an event that is given up, as it was sent, and why. */
  onLost: (body: string, reason: string) => void;
  /** An event in another form that is to be tried once more after the service refused it; or nothing. */
  mend: (body: string, result: EventResult) => string | undefined;
  /** Whose an event is: those of one batch have one owner. */
  owner: (body: string) => string;
}

const TOO_LARGE = 413;
/** Browsers let requests of 64 KiB in total outlast the page: one that is on its way, and the last one. */
export const MAX_KEPT_BYTES = 28_000;
/** The service did not take it, or a proxy (those of CDNs answer 520 to 530) does not know whether it did. */
const isRetried = (status: number) => [408, 429, 502, 503, 504].includes(status) || (status >= 520 && status <= 530);

const encoder = new TextEncoder();
export const bytesOf = (body: string) => encoder.encode(body).length;

/** Sends what waits, a batch at a time; an event leaves it when the service has answered for it. */
export class Queue {
  private readonly waiting = new Map<string, string>();
  private readonly inFlight = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private dueMs = 0;
  private failures = 0;
  /** Of a batch. Less, once one was too large for somebody on the way to the service. */
  private maxBytes = MAX_KEPT_BYTES;
  private stopped = false;
  private idle: (() => void)[] = [];

  constructor(
    private readonly post: Post,
    private readonly store: Store,
    private readonly options: QueueOptions,
  ) {
    this.adopt();
  }

  get size(): number {
    return this.waiting.size;
  }

  add(id: string, body: string): void {
    this.keep(id, body);
    this.store.put(id, body);
    if (!this.failures) this.schedule(this.waiting.size < this.options.batchEvents ? this.options.intervalMs : 0);
  }

  /** Takes over what the store has from earlier pages and other tabs. */
  adopt(): void {
    for (const [id, body] of this.store.all()) if (!this.waiting.has(id)) this.keep(id, body);
    if (this.waiting.size) this.schedule(0);
  }

  /** Sends now, whatever the backoff says; resolves when nothing waits any more. */
  flush(): Promise<void> {
    if (!this.waiting.size) return Promise.resolve();
    this.schedule(0);
    return new Promise((resolve) => this.idle.push(resolve));
  }

  /** The page goes away: sends what is not on its way, without waiting. What is lost on the way stays in the store. */
  leave(): void {
    const batch = this.batch();
    if (batch.length) void this.send(batch, true);
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  private keep(id: string, body: string): void {
    this.waiting.set(id, body);
    for (const oldest of this.waiting.keys()) {
      if (this.waiting.size <= this.options.maxWaiting) break;
      // One on its way may be stored already.
      if (!this.inFlight.has(oldest)) this.lose(oldest, "more events wait than may");
    }
  }

  private schedule(afterMs: number): void {
    const dueMs = Date.now() + afterMs;
    if (this.stopped || (this.timer !== undefined && this.dueMs <= dueMs)) return;
    clearTimeout(this.timer);
    this.dueMs = dueMs;
    this.timer = setTimeout(() => void this.turn(), afterMs);
  }

  private async turn(): Promise<void> {
    this.timer = undefined;
    if (this.inFlight.size) return; // its end makes the next turn
    const batch = this.batch();
    if (batch.length) await this.send(batch, false);
  }

  private batch(): string[] {
    const ids: string[] = [];
    let size = 2;
    let owner: string | undefined;
    for (const [id, body] of this.waiting) {
      if (this.inFlight.has(id)) continue;
      const whose = this.options.owner(body);
      if (whose !== (owner ??= whose)) continue;
      size += bytesOf(body) + 1;
      if (ids.length && (size > this.maxBytes || ids.length === this.options.batchEvents)) break;
      ids.push(id);
    }
    return ids;
  }

  private async send(ids: string[], leaving: boolean): Promise<void> {
    for (const id of ids) this.inFlight.add(id);
    let afterMs = 0;
    try {
      const bodies = ids.map((id) => this.waiting.get(id)!);
      const answer = await this.post(`[${bodies.join()}]`, leaving);
      if (answer.results?.length === ids.length) {
        answer.results.forEach((result, place) => this.settle(ids[place]!, bodies[place]!, result));
      } else if (isRetried(answer.status)) {
        afterMs = this.wait() + (answer.retryAfterSec ?? 0) * 1000;
      } else if (answer.status === TOO_LARGE && ids.length > 1) {
        this.maxBytes = Math.min(this.maxBytes, bytesOf(bodies.join()) / 2);
      } else {
        for (const id of ids) this.lose(id, `the service answered ${answer.status}`);
      }
    } catch {
      afterMs = this.wait();
    }
    for (const id of ids) this.inFlight.delete(id);
    if (!afterMs) this.failures = 0;
    if (this.waiting.size) this.schedule(afterMs);
    else for (const resolve of this.idle.splice(0)) resolve();
  }

  /** A random time that doubles with each failure in a row. */
  private wait(): number {
    const most = Math.min(this.options.maxBackoffMs, this.options.backoffMs * 2 ** this.failures++);
    return 1 + Math.random() * most;
  }

  private settle(id: string, body: string, result: EventResult): void {
    if (result.status === "accepted" || result.status === "duplicate") {
      this.forget(id);
      return;
    }
    const mended = this.options.mend(body, result);
    if (mended === undefined) {
      this.lose(id, [result.status, ...(result.errors ?? []).map((error) => `${error.path}: ${error.message}`)].join(" "));
    } else {
      this.waiting.set(id, mended);
      this.store.put(id, mended);
    }
  }

  private lose(id: string, reason: string): void {
    const body = this.waiting.get(id);
    this.forget(id);
    if (body !== undefined) this.options.onLost(body, reason);
  }

  private forget(id: string): void {
    this.waiting.delete(id);
    this.store.remove(id);
  }
}
