/**
 * Events that outlast the page: an entry of localStorage each, so that tabs share them without locks. A tab also sends
 * what another one left; the service tells by the id that it has an event already.
 */
export interface Store {
  /** The bodies by id, the oldest first. */
  all(): Map<string, string>;
  put(id: string, body: string): void;
  remove(id: string): void;
}

export class LocalStore implements Store {
  constructor(
    private readonly storage: Storage,
    private readonly prefix: string,
  ) {}

  all(): Map<string, string> {
    const ids = Object.keys(this.storage).filter((key) => key.startsWith(this.prefix));
    const found = new Map<string, string>();
    for (const key of ids.sort()) {
      const body = this.storage.getItem(key);
      if (isEvent(body)) found.set(key.slice(this.prefix.length), body);
      // Cut off, or another program's: nobody could send it.
      else this.storage.removeItem(key);
    }
    return found;
  }

  put(id: string, body: string): void {
    try {
      this.storage.setItem(this.prefix + id, body);
    } catch {
      // Full, or forbidden by the browser: the event lasts as long as the page.
    }
  }

  remove(id: string): void {
    this.storage.removeItem(this.prefix + id);
  }
}

function isEvent(body: string | null): body is string {
  try {
    return JSON.parse(body ?? "").event_id != null;
  } catch {
    return false;
  }
}

/** Where there is no localStorage: the queue itself keeps the events. */
export const noStore: Store = { all: () => new Map(), put: () => undefined, remove: () => undefined };
