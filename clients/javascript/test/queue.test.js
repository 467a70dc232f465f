import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Queue } from "../src/queue";
import { LocalStore, noStore } from "../src/store";

const OPTIONS = { maxWaiting: 1000, batchEvents: 3, intervalMs: 1000, backoffMs: 1000, maxBackoffMs: 8000 };
let posted, lost, answers;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  mock.method(Math, "random", () => 0.5);
  [posted, lost, answers] = [[], [], []];
});
afterEach(() => mock.reset() ?? mock.timers.reset());

/** A body becomes the ids in it; it is answered as the next of `answers` says, or accepted. */
async function post(body, leaving) {
  const ids = JSON.parse(body).map((event) => event.event_id);
  posted.push(leaving ? { leaving: ids } : ids);
  const answer = (await answers.shift()) ?? { status: 200 };
  if (answer instanceof Error) throw answer;
  const results = ids.map((event_id) => ({ event_id, status: "accepted", ...answer.as?.[event_id] }));
  return answer.status === 200 ? { ...answer, results } : answer;
}

function queue(store = noStore, options = {}) {
  return new Queue(post, store, {
    ...OPTIONS,
    onLost: (body, reason) => lost.push([JSON.parse(body).event_id, reason]),
    mend: () => undefined,
    owner: (body) => JSON.parse(body).user_id,
    ...options,
  });
}

function add(queue, ...ids) {
  for (const id of ids) queue.add(id, JSON.stringify({ event_id: id }));
}

/** Time passes; what was promised on the way happens. */
async function pass(ms) {
  mock.timers.tick(ms);
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

function storage(entries = {}) {
  const methods = {
    getItem: { value: (key) => entries[key] ?? null },
    setItem: { value: (key, value) => void (entries[key] = value), configurable: true },
    removeItem: { value: (key) => void delete entries[key] },
  };
  return Object.defineProperties(entries, methods);
}

test("events of an interval are one batch, and a full batch does not wait", async () => {
  const sending = queue();
  add(sending, "a", "b");
  await pass(999);
  assert.deepEqual(posted, []);
  await pass(1);
  assert.deepEqual(posted, [["a", "b"]]);
  add(sending, "c", "d", "e", "f");
  await pass(0);
  await pass(0);
  assert.deepEqual(posted.slice(1), [["c", "d", "e"], ["f"]]);
  assert.equal(sending.size, 0);
});

for (const failure of [new Error("away"), { status: 503 }, { status: 429 }]) {
  test(`batch is sent again after ${failure.status ?? "no answer"}, later each time`, async () => {
    const sending = queue();
    answers.push(failure, failure, failure);
    add(sending, "a");
    await pass(1000);
    for (const waitMs of [501, 1001, 2001]) {
      const before = posted.length;
      await pass(waitMs - 1);
      assert.equal(posted.length, before);
      await pass(1);
      assert.equal(posted.length, before + 1);
    }
    assert.equal(sending.size, 0);
    assert.deepEqual(lost, []);
  });
}

test("new events do not shorten the wait that the service asks for", async () => {
  const sending = queue();
  answers.push({ status: 503, retryAfterSec: 20 });
  add(sending, "a");
  await pass(1000);
  add(sending, "b", "c", "d");
  await pass(20_000);
  assert.equal(posted.length, 1);
  await pass(501);
  assert.equal(posted.length >= 2, true);
  await pass(0);
  assert.equal(sending.size, 0);
});

test("flush does not wait, and resolves when nothing waits", async () => {
  const sending = queue();
  answers.push(new Error("away"));
  add(sending, "a");
  let done = false;
  sending.flush().then(() => (done = true));
  await pass(0);
  assert.equal(done, false);
  await pass(501);
  assert.equal(done, true);
});

test("answer that a retry would not change gives up its batch alone", async () => {
  const sending = queue();
  answers.push({ status: 401 });
  add(sending, "a");
  await pass(1000);
  add(sending, "b");
  await pass(1000);
  assert.deepEqual(lost, [["a", "the service answered 401"]]);
  assert.equal(sending.size, 0);
});

test("invalid event is given up alone, or sent once more as it was mended", async () => {
  const invalid = { status: "invalid", errors: [{ path: "$.item_id", message: "missing" }] };
  const mended = (body) => (body.includes('"b"') && !body.includes("again") ? '{"event_id":"b","again":1}' : undefined);
  const sending = queue(noStore, { mend: mended });
  answers.push({ status: 200, as: { a: invalid, b: invalid } });
  add(sending, "a", "b", "c");
  await pass(0);
  await pass(0);
  assert.deepEqual(lost, [["a", "invalid $.item_id: missing"]]);
  assert.deepEqual(posted, [["a", "b", "c"], ["b"]]);
});

test("batch has as many bytes as outlast the page, and a larger event is alone", async () => {
  const sending = queue(noStore, { batchEvents: 100 });
  const sizes = { a: 30_000, b: 20, c: 5_000, d: 5_000 };
  for (const [event_id, size] of Object.entries(sizes)) {
    sending.add(event_id, JSON.stringify({ event_id, note: "\u5e83".repeat(size) }));
  }
  await pass(1000);
  for (let turn = 0; turn < 3; turn++) await pass(0);
  assert.deepEqual(posted, [["a"], ["b", "c"], ["d"]]);
});

test("batch that is too large for a proxy goes in parts, later ones are no larger, and an event alone is given up", async () => {
  const sending = queue(noStore, { batchEvents: 8 });
  answers.push({ status: 413 }, { status: 413 }, { status: 200 }, { status: 413 });
  add(sending, ..."abcdefgh");
  for (let turn = 0; turn < 12; turn++) await pass(0);
  assert.deepEqual(posted.map((ids) => ids.join("")), ["abcdefgh", "abc", ..."abcdefgh"]);
  assert.deepEqual([lost, sending.size], [[["b", "the service answered 413"]], 0]);
});

test("answer of a proxy that did not reach the service is no reason to give up", async () => {
  const sending = queue();
  answers.push({ status: 522 });
  add(sending, "a");
  await pass(1000);
  await pass(501);
  assert.deepEqual([posted.length, sending.size, lost], [2, 0, []]);
});

test("full queue drops the oldest and tells", async () => {
  const sending = queue(noStore, { maxWaiting: 2 });
  add(sending, "a", "b", "c");
  assert.deepEqual(lost, [["a", "more events wait than may"]]);
  assert.equal(sending.size, 2);
});

test("full queue does not give up what is on its way", async () => {
  const sending = queue(noStore, { maxWaiting: 2 });
  let answer;
  answers.push(new Promise((resolve) => (answer = resolve)));
  add(sending, "a");
  await pass(1000);
  add(sending, "b", "c");
  assert.deepEqual(lost, [["b", "more events wait than may"]]);
  answer({ status: 200 });
  await pass(0);
  await pass(1000);
  await pass(0);
  assert.deepEqual([posted, sending.size, lost.length], [[["a"], ["c"]], 0, 1]);
});

test("leaving page sends what is not on its way, and keeps it until it is answered for", async () => {
  const kept = storage();
  const sending = queue(new LocalStore(kept, "e."));
  let answer;
  answers.push(new Promise((resolve) => (answer = resolve)));
  add(sending, "a");
  await pass(1000);
  add(sending, "b");
  sending.leave();
  sending.leave();
  assert.deepEqual(posted, [["a"], { leaving: ["b"] }]);
  assert.deepEqual(Object.keys(kept), ["e.a", "e.b"]);
  answer({ status: 200 });
  await pass(0);
  assert.deepEqual(Object.keys(kept), []);
});

test("events of an earlier page are sent by the next one, and nothing else is touched", async () => {
  const kept = storage({ "e.b": '{"event_id":"b"}', "e.a": '{"event_id":"a"}', other: "x" });
  queue(new LocalStore(kept, "e."));
  await pass(0);
  assert.deepEqual(posted, [["a", "b"]]);
  assert.deepEqual(Object.keys(kept), ["other"]);
});

test("storage that is full or forbidden costs the event its life beyond the page alone", async () => {
  const full = storage();
  Object.defineProperty(full, "setItem", { value: () => { throw new Error("QuotaExceededError"); } });
  const sending = queue(new LocalStore(full, "e."));
  add(sending, "a");
  await pass(1000);
  assert.deepEqual(posted, [["a"]]);
});

test("events of two owners are never in one batch", async () => {
  const sending = queue();
  const owned = { a: "ann", b: "bob", c: "ann" };
  for (const [event_id, user_id] of Object.entries(owned)) sending.add(event_id, JSON.stringify({ event_id, user_id }));
  await pass(0);
  await pass(0);
  assert.deepEqual(posted, [["a", "c"], ["b"]]);
  assert.equal(sending.size, 0);
});

test("an entry that is no event is removed, and holds up no other", async () => {
  const whole = JSON.stringify({ event_id: "kept" });
  const entries = { "own.a": "{", "own.b": "null", "own.c": "[]", "own.kept": whole, other: "{" };
  const sending = queue(new LocalStore(storage(entries), "own."));
  await pass(1000);
  assert.deepEqual(posted, [["kept"]]);
  assert.equal(sending.size, 0);
  assert.deepEqual(entries, { other: "{" });
});
