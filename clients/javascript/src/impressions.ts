import type { Impression, RecommendationList, ShownItem } from "./types";

const VISIBLE_SHARE = 0.5;
const VISIBLE_MS = 1000;

/** The places of a list that somebody saw: half of the element, for a second of the tab in sight, each place once. */
export class ShownList {
  private readonly places = new Map<Element, number>();
  private readonly inView = new Set<Element>();
  private readonly timers = new Map<Element, ReturnType<typeof setTimeout>>();
  private readonly observer: IntersectionObserver;
  private seen: number[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly list: RecommendationList,
    private readonly send: (event: Impression) => void,
    private readonly place: Pick<ShownItem, "feed_id" | "slot">,
  ) {
    this.observer = new IntersectionObserver((entries) => entries.forEach((entry) => this.changed(entry)), {
      threshold: VISIBLE_SHARE,
    });
  }

  /** The element shows the item at `position` of the list, from 0. */
  observe(element: Element, position: number): void {
    this.places.set(element, position);
    this.observer.observe(element);
  }

  /** Sends what was seen and is not sent yet. */
  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const items = this.seen.splice(0).map((position) => ({ position, item: this.list.items[position] }));
    const shown = items.flatMap(({ position, item }) => (item ? [{ item, position }] : []));
    if (!shown.length) return;
    this.send({
      event_type: "impression",
      request_id: this.list.request_id,
      items: shown.map(({ item, position }) => ({ item_id: item.item_id, position, ...this.place })),
      context: {
        model_version: this.list.model_version,
        sources: shown.map(({ item }) => item.source),
        ...(this.list.variant === undefined ? {} : { variant: this.list.variant }),
        ...(this.list.experiment === undefined ? {} : { experiment: this.list.experiment }),
      },
    });
  }

  /** The list is no longer on the page. */
  stop(): void {
    this.observer.disconnect();
    this.inView.clear();
    this.restart();
    this.flush();
  }

  /** Begins anew with what is in view: the tab came into sight, where seconds count, or went out of it. */
  restart(): void {
    for (const timer of this.timers.values()) clearTimeout(timer);
    this.timers.clear();
    for (const element of this.inView) this.time(element);
  }

  private changed({ target, intersectionRatio }: IntersectionObserverEntry): void {
    clearTimeout(this.timers.get(target));
    this.timers.delete(target);
    this.inView.delete(target);
    if (intersectionRatio < VISIBLE_SHARE) return;
    this.inView.add(target);
    this.time(target);
  }

  private time(element: Element): void {
    if (!document.hidden) this.timers.set(element, setTimeout(() => this.saw(element), VISIBLE_MS));
  }

  private saw(element: Element): void {
    this.observer.unobserve(element);
    this.inView.delete(element);
    this.seen.push(this.places.get(element)!);
    this.timer ??= setTimeout(() => this.flush(), VISIBLE_MS);
  }
}
