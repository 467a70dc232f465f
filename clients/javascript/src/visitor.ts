import { uuid7 } from "./ids";

const SESSION_MS = 30 * 60_000;

/** Who uses this browser. Without a storage it is forgotten with the page. */
export class Visitor {
  private readonly memory = new Map<string, string>();

  constructor(
    private readonly storage: Storage | undefined,
    private readonly prefix: string,
  ) {}

  /** The user that was identified, or else the anonymous id. */
  get user(): string {
    return this.get("user") ?? this.get("visitor") ?? this.set("visitor", uuid7(Date.now()));
  }

  /** What this browser called the identified user before, if anything was done then. */
  get anonymous(): string | undefined {
    return this.get("user") === undefined ? undefined : this.get("visitor");
  }

  /** One for all tabs; it ends half an hour after the last event. */
  get session(): string {
    const [id, lastMs] = (this.get("session") ?? "").split(" ");
    const nowMs = Date.now();
    const current = id && nowMs - Number(lastMs) < SESSION_MS ? id : uuid7(nowMs);
    this.set("session", `${current} ${nowMs}`);
    return current;
  }

  identify(userId: string): void {
    this.set("user", userId);
  }

  /** Another person: a new anonymous id and a new session. */
  reset(): void {
    for (const name of ["user", "visitor", "session"]) {
      this.memory.delete(name);
      this.storage?.removeItem(this.prefix + name);
    }
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
