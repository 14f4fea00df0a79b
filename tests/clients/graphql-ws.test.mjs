// Tests the set-ups of docs/clients.md for npm graphql-ws: lost connections, an expired token, a restart and a crash.
// No text may be missing or duplicated.

import assert from "node:assert/strict";
import { test } from "node:test";

import { register, send, shortLived, stored } from "./account.mjs";
import { Proxy } from "./proxy.mjs";
import { Server } from "./server.mjs";
import { connect, readReply } from "./set-up/graphql-ws.mjs";
import { add, textOf } from "./set-up/reply.mjs";
import { readReplyFrom } from "./set-up/resume.mjs";
import { Session } from "./set-up/session.mjs";

/**
 * Reads a reply to its end. Each disturbance is `[length, action]`: the action runs as soon as the text has that
 * length. Asserts that of two successive texts, one is a prefix of the other.
 */
async function read(replies, disturbances) {
  const pending = [...disturbances];
  let events;
  let shown = "";
  for await (events of replies) {
    const text = textOf(events);
    assert.ok(text.startsWith(shown) || shown.startsWith(text), `${JSON.stringify(shown)} became ${JSON.stringify(text)}`);
    shown = text;
    if (pending.length && text.length >= pending[0][0]) pending.shift()[1]();
  }
  assert.equal(pending.length, 0, "every disturbance ran before the end");
  assert.equal(events.at(-1).__typename, "ReplyFinished");
  return events;
}

const open = async (t, url, session) => {
  const client = connect(url, session);
  t.after(() => client.dispose());
  return client;
};

test("an event is appended, or replaces the text from its start on", () => {
  const text = (start, text) => ({ __typename: "ReplyText", start, position: start + Buffer.byteLength(text), text });
  const call = { __typename: "ReplyToolCall", start: 7, position: 8, toolCall: { id: "call_1" } };
  const events = [text(0, "Grü"), text(4, "ße"), call, text(8, "世界")].reduce(add, []);
  assert.deepEqual(events, [text(0, "Grüße"), call, text(8, "世界")]);
  assert.equal(textOf(events), "Grüße世界");
  assert.deepEqual(add(events, text(0, "Grüße")), [text(0, "Grüße")]);
  assert.deepEqual(add(events, text(4, "n")), [text(0, "Grün")]);
  assert.deepEqual(add(events, text(11, "!")), [text(0, "Grüße"), call, text(8, "世!")]);
});

test("graphql-ws", async (t) => {
  const server = await Server.start(t);
  const tokens = await register(server.url);

  await t.test("a whole reply", async (t) => {
    const { messageId } = await send(server.url, tokens.accessToken);
    const events = await read(readReply(await open(t, server.url, new Session(server.url, tokens)), messageId), []);
    const reply = await stored(server.url, tokens.accessToken, messageId);
    assert.equal(reply.status, "COMPLETE");
    assert.ok(reply.content.length > 200);
    assert.equal(textOf(events.slice(0, -1)), reply.content);
    assert.equal(events.at(-1).position, reply.position);
  });

  await t.test("the connection is lost, and the transport reconnects automatically", async (t) => {
    const proxy = await Proxy.start(t, server.port);
    const { messageId } = await send(server.url, tokens.accessToken);
    const client = await open(t, proxy.url, new Session(server.url, tokens));
    const cut = () => proxy.cut();
    const events = await read(readReply(client, messageId), [[30, cut], [120, cut]]);
    const { content } = await stored(server.url, tokens.accessToken, messageId);
    assert.equal(textOf(events.slice(0, -1)), content);
    assert.equal(proxy.count, 3);
  });

  await t.test("the connection is lost, and the client resumes with after", async (t) => {
    const proxy = await Proxy.start(t, server.port);
    const { messageId } = await send(server.url, tokens.accessToken);
    const cut = () => proxy.cut();
    const replies = readReplyFrom(proxy.url, new Session(server.url, tokens), messageId);
    const events = await read(replies, [[30, cut], [120, cut]]);
    const { content } = await stored(server.url, tokens.accessToken, messageId);
    assert.equal(textOf(events.slice(0, -1)), content);
    assert.equal(proxy.count, 3);
  });

  await t.test("a reply of another user is NOT_FOUND", async (t) => {
    const { messageId } = await send(server.url, tokens.accessToken);
    const client = await open(t, server.url, new Session(server.url, await register(server.url)));
    await assert.rejects(readReply(client, messageId).next(), ([error]) => error.extensions.code === "NOT_FOUND");
  });

  await t.test("the access token expires during a reply", async (t) => {
    const proxy = await Proxy.start(t, server.port);
    const { messageId } = await send(server.url, tokens.accessToken, "demo/slow");
    const session = new Session(server.url, shortLived(tokens, 3));
    const seen = [];
    for await (const events of readReply(await open(t, proxy.url, session), messageId)) {
      seen.push(textOf(events));
      if (proxy.count > 1) break;
    }
    for (const [index, text] of seen.entries()) {
      assert.ok(index === 0 || text.startsWith(seen[index - 1]), "the text only grows");
    }
    const { content } = await stored(server.url, await session.accessToken(), messageId);
    assert.ok(content.startsWith(seen.at(-1)));
  });
});

test("graphql-ws: the server restarts during a reply", async (t) => {
  const server = await Server.start(t);
  const tokens = await register(server.url);
  const { messageId } = await send(server.url, tokens.accessToken);
  let restarted;
  const restart = async () => {
    await server.stop();
    await server.start();
  };
  const client = await open(t, server.url, new Session(server.url, tokens));
  const events = await read(readReply(client, messageId), [[60, () => (restarted = restart())]]);
  await restarted;
  const reply = await stored(server.url, tokens.accessToken, messageId);
  assert.equal(reply.status, "COMPLETE", "running replies finish before the server stops");
  assert.equal(textOf(events.slice(0, -1)), reply.content);
});

test("graphql-ws: the server crashes during a reply", async (t) => {
  const server = await Server.start(t);
  const tokens = await register(server.url);
  const { messageId } = await send(server.url, tokens.accessToken);
  let restarted;
  let shown = "";
  const restart = async () => {
    await server.stop("SIGKILL");
    await server.start();
  };
  for await (const events of readReply(await open(t, server.url, new Session(server.url, tokens)), messageId)) {
    shown = textOf(events).length > shown.length ? textOf(events) : shown;
    if (shown.length > 150) restarted ??= restart();
    if (events.at(-1).__typename === "ReplyFinished") {
      const reply = await stored(server.url, tokens.accessToken, messageId);
      assert.equal(reply.status, "INTERRUPTED");
      assert.equal(textOf(events), reply.content, "the shown text is the stored text");
      assert.ok(reply.content.length > 0 && shown.startsWith(reply.content), "a prefix of the text shown before");
    }
  }
  await restarted;
});
