/** What is sent and received, as the service's OpenAPI document says. */

export interface About {
  /** 8 to 64 characters; made by `send` where it is left out. */
  event_id?: string;
  /** The `user` of the client where it is left out. */
  user_id?: string;
  session_id?: string;
  /** The `request_id` of the list that led here. */
  request_id?: string;
  /** Milliseconds since 1970; now where it is left out. */
  ts_ms?: number;
  /** When this is sent, by the device's clock; the client corrects the clock without it. */
  sent_at?: number | string;
  context?: Record<string, unknown>;
  /** The user's id before the log-in, whose history is joined into the user's. `send` fills it in after `identify`. */
  anonymous_id?: string;
}

export interface Interaction extends About {
  /** One of the service, or a type of your own (`PUT /event-types/{name}`). */
  event_type:
    | "view"
    | "click"
    | "purchase"
    | "cart"
    | "like"
    | "dislike"
    | "rating"
    | "share"
    | "hide"
    | (string & {});
  item_id: string;
  /** What all of it was worth. */
  value?: number;
  /** Of the value: three letters of ISO 4217. */
  currency?: string;
  quantity?: number;
  rating?: number;
}

/** Takes an event of the same person back. Its own `event_id` is made from `cancels`. */
export interface Cancellation extends About {
  event_type: "cancel";
  cancels: string;
}

export interface Watch extends About {
  event_type: "watch";
  item_id: string;
  watch_time_sec: number;
  percent_watched?: number;
  ended?: boolean;
  playback_speed?: number;
  rebuffer_count?: number;
}

export interface ShownItem {
  item_id: string;
  /** 0 is the first place. */
  position: number;
  feed_id?: string;
  slot?: string;
}

export interface Impression extends About {
  event_type: "impression";
  items: ShownItem[];
}

export type RecoEvent = Interaction | Cancellation | Watch | Impression;

export interface RecommendedItem {
  item_id: string;
  score: number;
  source: string;
  title?: string | null;
  /** The attribute of this name, where it is an https URL or a path. */
  picture_url?: string | null;
  because?: string[];
  why?: string;
  rules?: string[];
  parts?: { features: Record<string, number>; factor: number };
}

export interface RecommendationList {
  request_id: string;
  items: RecommendedItem[];
  model_version: string;
  strategy: string;
  variant?: string;
  experiment?: string;
  /** Asks for the next page, where there is one. */
  cursor?: string;
}

export interface ListOptions {
  k?: number;
  category?: string;
  /** Each entry is one id; those with commas are sent as `exclude_id`. */
  exclude?: string[];
  exclude_id?: string[];
  max_per_category?: number;
  explain?: boolean;
  /** Such as `price < 50 and categories has 'camping'`. */
  filter?: string;
  /** `start`, or the `cursor` of an answer. */
  cursor?: string;
}

export interface RecentOptions extends ListOptions {
  did?: ("view" | "click" | "watch" | "purchase")[];
}

export interface TrendingOptions extends ListOptions {
  window?: "hour" | "day" | "week";
}

export interface RecommendOptions extends ListOptions {
  user_id?: string;
  session_id?: string;
  exclude_seen?: string[];
  repeats?: "learned" | "avoid" | "only" | "allow";
  variant?: string;
}

/** With one of these, or more than a hundred exclusions, the list is asked for with a POST. */
export interface PostedOptions {
  history?: PastEvent[];
  candidates?: string[];
  context?: Record<string, unknown>;
}

export interface PastEvent {
  item_id: string;
  event_type?: string;
  ts_ms?: number;
  /** Of an event of a type with a scale. */
  rating?: number;
}

export interface RankOptions {
  user_id?: string;
  session_id?: string;
  /** What the person did, the latest first: counts for somebody unknown. */
  history?: PastEvent[];
  category?: string;
  filter?: string;
  explain?: boolean;
  variant?: string;
}

export interface RankedList {
  request_id: string;
  items: RecommendedItem[];
  left_out: string[];
  model_version: string;
  variant?: string;
  experiment?: string;
}

export interface EventResult {
  status: "accepted" | "duplicate" | "conflict" | "invalid";
  event_id: string | null;
  errors?: { path: string; message: string }[];
}
