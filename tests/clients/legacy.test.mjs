// Tests the set-up of docs/clients.md for npm subscriptions-transport-ws.

import assert from "node:assert/strict";
import { test } from "node:test";

import { register, send, stored } from "./account.mjs";
import { Proxy } from "./proxy.mjs";
import { Server, within } from "./server.mjs";
import { textOf } from "./set-up/reply.mjs";
import { Session } from "./set-up/session.mjs";
import { connect, readReply } from "./set-up/subscriptions-transport-ws.mjs";

test("subscriptions-transport-ws: reads a reply through a lost connection and a restart of the server", async (t) => {
  const server = await Server.start(t);
  const tokens = await register(server.url);
  const proxy = await Proxy.start(t, server.port);
  const { messageId } = await send(server.url, tokens.accessToken, "demo/long");
  const client = connect(proxy.url, new Session(server.url, tokens));
  let restarted;
  const restart = async () => {
    await server.stop();
    await server.start();
  };
  const steps = [[60, () => proxy.cut()], [1500, () => (restarted = restart())]];
  let shown = "";
  const reading = readReply(client, messageId, (events) => {
    const text = textOf(events);
    assert.ok(text.startsWith(shown) || shown.startsWith(text), JSON.stringify(text));
    shown = text;
    if (steps.length && text.length >= steps[0][0]) steps.shift()[1]();
  });
  // Closed before the server stops: without a connection, the client's timers would keep the process running.
  const events = await within("the reply", reading).finally(() => client.close());
  await restarted;
  assert.equal(steps.length, 0);
  const { status, content } = await stored(server.url, tokens.accessToken, messageId);
  assert.equal(status, "COMPLETE");
  assert.equal(textOf(events.slice(0, -1)), content);
});
