export { Client, type ClientOptions, RecoError } from "./client";
export type { ShownList } from "./impressions";
export type { QueueOptions } from "./queue";
export type * from "./types";
