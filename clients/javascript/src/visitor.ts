import { uuid7, visitorId } from "./ids";

const SESSION_MS = 30 * 60_000;
/** Before the ids of visitors, which so are no ids of users. */
const PREFIX = "visitor:";

export type Credentials = Record<string, string>;

/** Who uses this browser. Without a storage it is forgotten with the page. */
export class Visitor {
  private readonly memory = new Map<string, string>();
  /** Of users who have left since the page was opened. */
  private readonly tokens = new Map<string, string>();

  constructor(
    private readonly storage: Storage | undefined,
    private readonly prefix: string,
  ) {}

  /** The user that was identified, or else the anonymous id. */
  get user(): string {
    return this.get("user") ?? PREFIX + this.id;
  }

  private get id(): string {
    return this.get("visitor") ?? this.set("visitor", visitorId());
  }

  /** What a key for browsers needs beside it, to send events of this user, or to ask for lists of theirs. */
  credentials(user = this.user, anonymous = PREFIX + this.id): Credentials {
    const visitor = user.startsWith(PREFIX) ? user : anonymous;
    const token = (user === this.get("user") && this.get("token")) || this.tokens.get(user);
    return { "x-visitor-id": visitor.slice(PREFIX.length), ...(token ? { "x-user-token": token } : {}) };
  }

  /** What this browser called the identified user before, if anything was done then. */
  get anonymous(): string | undefined {
    const id = this.get("visitor");
    return this.get("user") === undefined || id === undefined ? undefined : PREFIX + id;
  }

  /** One for all tabs; it ends half an hour after the last event. */
  get session(): string {
    const [id, lastMs] = (this.get("session") ?? "").split(" ");
    const nowMs = Date.now();
    const current = id && nowMs - Number(lastMs) < SESSION_MS ? id : uuid7(nowMs);
    this.set("session", `${current} ${nowMs}`);
    return current;
  }

  /** Without a token, the one of the same user stays. */
  identify(userId: string, token?: string): void {
    if (userId !== this.get("user")) this.leave();
    this.set("user", userId);
    if (token) this.set("token", token);
  }

  /** Another person: a new anonymous id and a new session. */
  reset(): void {
    this.leave();
    for (const name of ["user", "visitor", "session"]) this.remove(name);
  }

  /** The token stays as long as the page, for what the user did and is not sent yet. */
  private leave(): void {
    const [user, token] = [this.get("user"), this.get("token")];
    if (user && token) this.tokens.set(user, token);
    this.remove("token");
  }

  private remove(name: string): void {
    this.memory.delete(name);
    this.storage?.removeItem(this.prefix + name);
  }

  private get(name: string): string | undefined {
    return this.storage?.getItem(this.prefix + name) ?? this.memory.get(name);
  }

  private set(name: string, value: string): string {
    this.memory.set(name, value);
    try {
      this.storage?.setItem(this.prefix + name, value);
    } catch {
      // Full, or forbidden by the browser: the memory has it.
    }
    return value;
  }
}
