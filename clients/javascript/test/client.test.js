import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Client } from "../src/client";

let asked, client;

beforeEach(() => {
  asked = [];
  mock.method(globalThis, "fetch", async (url, request) => {
    asked.push([url, request.body && JSON.parse(request.body)]);
    const results = url.endsWith("/log/batch") ? asked.at(-1)[1].map(({ event_id }) => ({ event_id, status: "accepted" })) : [];
    return Response.json({ items: [], results });
  });
  client = new Client({ url: "http://reco" });
});
afterEach(async () => {
  await client.close();
  mock.restoreAll();
});

for (const nobody of [undefined, null]) {
  test(`a user who is ${nobody} is the visitor`, async () => {
    client.send({ event_type: "click", item_id: "a", user_id: nobody, session_id: nobody, ts_ms: nobody, event_id: nobody });
    await client.flush();
    await client.recommend({ user_id: nobody, category: nobody });
    await client.recommend({ user_id: nobody, candidates: ["a"] });
    await client.rank(["a"], { user_id: nobody, session_id: nobody });
    const [[, [event]], [url], [, posted], [, ranked]] = asked;
    for (const { user_id, session_id } of [event, posted, ranked]) {
      assert.equal(user_id, client.user);
      assert.equal(session_id, event.session_id);
    }
    assert.equal(typeof event.ts_ms, "number");
    assert.equal(typeof event.event_id, "string");
    const query = new URL(url).searchParams;
    assert.deepEqual([...query.keys()], ["user_id", "session_id"]);
    assert.equal(query.get("user_id"), client.user);
  });
}
