// Tests both WebSocket subprotocols with npm clients and with raw sockets, without fields of the product's schema.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createClient } from "graphql-ws";
import { SubscriptionClient } from "subscriptions-transport-ws";
import WebSocket from "ws";

import { Server } from "./server.mjs";

let url;
const ends = [];
before(async () => {
  const server = await Server.start({ after: (end) => ends.push(end) });
  url = server.url.replace(/^http/, "ws");
});
after(() => Promise.all(ends.map((end) => end())));

/** A graphql-ws client that does not reconnect. */
const newClient = (options = {}) => createClient({ url, webSocketImpl: WebSocket, retryAttempts: 0, ...options });

/** Executes an operation and returns all its results. */
const run = async (client, query) => {
  const results = [];
  for await (const result of client.iterate({ query })) results.push(result);
  return results;
};

/** Sends messages over a raw socket and returns its close code and reason. */
const closed = (protocols, messages, { waitForAck = false } = {}) =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(url, protocols);
    const sendAll = () => messages.forEach((message) => socket.send(message));
    socket.on("open", () => (waitForAck ? socket.send(JSON.stringify({ type: "connection_init" })) : sendAll()));
    socket.on("message", (data) => {
      if (waitForAck && JSON.parse(data).type === "connection_ack") sendAll();
    });
    socket.on("close", (code, reason) => resolve([code, reason.toString()]));
    socket.on("error", reject);
  });

test("graphql-ws: executes a query", async () => {
  const client = newClient();
  assert.deepEqual(await run(client, "{ __typename }"), [{ data: { __typename: "Query" } }]);
  await client.dispose();
});

test("graphql-ws: many operations over one socket", async () => {
  let sockets = 0;
  const client = newClient({ lazyCloseTimeout: 1000, on: { opened: () => sockets++ } });
  const answers = await Promise.all(Array.from({ length: 50 }, () => run(client, "{ __typename }")));
  assert.ok(answers.every(([answer]) => answer.data.__typename === "Query"));
  assert.equal(sockets, 1);
  await client.dispose();
});

test("graphql-ws: an invalid document is an error with a code, and the socket stays open", async () => {
  const client = newClient({ lazyCloseTimeout: 1000 });
  for (const query of ["{", "{ unknownField }", "subscription { unknownField }"]) {
    await assert.rejects(run(client, query), ([error]) => {
      assert.equal(error.extensions.code, "INVALID_DOCUMENT");
      assert.ok(error.extensions.requestId);
      return true;
    });
  }
  assert.equal((await run(client, "{ __typename }")).length, 1);
  await client.dispose();
});

test("graphql-ws: invalid credentials close the socket with 4403", async () => {
  const client = newClient({ connectionParams: { Authorization: "Bearer invalid" } });
  await assert.rejects(run(client, "{ __typename }"), { code: 4403 });
});

test("graphql-ws: the server answers pings", async () => {
  let client;
  await new Promise((resolve) => {
    client = newClient({ lazy: false, keepAlive: 50, on: { pong: resolve } });
  });
  await client.dispose();
});

test("subscriptions-transport-ws: executes a valid query and rejects an invalid one", async () => {
  const client = new SubscriptionClient(url, { reconnect: false, timeout: 5000 }, WebSocket);
  const request = (query) =>
    new Promise((resolve, reject) => {
      let last;
      client.request({ query }).subscribe({ next: (value) => (last = value), error: reject, complete: () => resolve(last) });
    });
  assert.deepEqual(await request("{ __typename }"), { data: { __typename: "Query" } });
  const error = await request("{ unknownField }").then(assert.fail, (error) => error);
  client.close();
  assert.match(error.message, /unknownField/);
  assert.equal(error.extensions.code, "INVALID_DOCUMENT");
});

test("subscriptions-transport-ws: invalid credentials are rejected with a reason", async () => {
  let client;
  const error = await new Promise((connectionCallback) => {
    const connectionParams = { Authorization: "Bearer invalid" };
    client = new SubscriptionClient(url, { reconnect: false, connectionParams, connectionCallback }, WebSocket);
  });
  assert.equal(error.message, "Forbidden");
  client.close();
});

const init = JSON.stringify({ type: "connection_init" });
const subscribe = JSON.stringify({ type: "subscribe", id: "1", payload: { query: "{ __typename }" } });
const modern = "graphql-transport-ws";

test("close codes", async (t) => {
  const cases = [
    ["a message that is not JSON is 4400", 4400, modern, ["{"]],
    ["an unknown message type is 4400", 4400, modern, [JSON.stringify({ type: "unknown" })]],
    ["a subscription without an id is 4400", 4400, modern, [JSON.stringify({ ...JSON.parse(subscribe), id: undefined })]],
    ["a binary frame is 4400", 4400, modern, [Buffer.from(init)]],
    ["a subscribe message before the acknowledgement is 4401", 4401, modern, [subscribe]],
    ["an unknown subprotocol is 4406", 4406, "unknown", []],
    ["no subprotocol is 4406", 4406, undefined, []],
    ["no connection_init within ten seconds is 4408", 4408, modern, []],
    ["a second connection_init is 4429", 4429, modern, [init, init]],
  ];
  for (const [name, code, protocol, messages] of cases) {
    await t.test(name, async () => assert.equal((await closed(protocol, messages))[0], code));
  }
  await t.test("a duplicate id is 4409", async () => {
    // A query ends quickly, so many are sent at once: some arrive while another one runs.
    const answer = await closed(modern, Array(50).fill(subscribe), { waitForAck: true });
    assert.deepEqual(answer, [4409, "Subscriber for 1 already exists"]);
  });
});
