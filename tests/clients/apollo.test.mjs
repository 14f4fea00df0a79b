// Tests the set-up of docs/clients.md for @apollo/client.

import assert from "node:assert/strict";
import { test } from "node:test";
import { gql } from "@apollo/client";

import { register, shortLived, stored } from "./account.mjs";
import { Proxy } from "./proxy.mjs";
import { Server, within } from "./server.mjs";
import { createClient, readReply, sendMessage } from "./set-up/apollo.mjs";
import { CHAT } from "./set-up/reply.mjs";
import { Session } from "./set-up/session.mjs";

/** Creates a client. `watch` records each state of a chat's last message in the client's cache. */
function open(t, url, session) {
  const { client, close } = createClient(url, session);
  t.after(close);
  const send = (input) => sendMessage(client, input);
  const watch = (chatId, each = () => {}) => {
    const shown = [];
    const query = client.watchQuery({ query: gql(CHAT), variables: { id: chatId } });
    const watched = query.subscribe(({ data }) => {
      const last = data?.chat?.messages.edges.at(-1)?.node;
      if (!last) return;
      shown.push([last.status, last.content]);
      each(last.content);
    });
    t.after(() => watched.unsubscribe());
    return { shown };
  };
  return { client, send, watch };
}

/** Runs each step once, as soon as the shown text has the length of the step. */
const once = (...steps) => (content) => {
  if (steps.length && content.length >= steps[0][0]) steps.shift()[1]();
};

test("apollo: the cache is updated through lost connections", async (t) => {
  const server = await Server.start(t);
  const tokens = await register(server.url);
  const proxy = await Proxy.start(t, server.port);
  const { client, send, watch } = open(t, proxy.url, new Session(server.url, tokens));
  const { chat, reply } = await send({ newChat: { modelId: "demo" }, content: "Hello" });
  const { shown } = watch(chat.id, once([60, () => proxy.cut()], [150, () => proxy.cut()]));
  const final = await within("the reply", readReply(client, reply.id));
  const { content } = await stored(server.url, tokens.accessToken, reply.id);
  assert.equal(final.content, content);
  assert.deepEqual(shown.at(-1), ["COMPLETE", content], "the subscription updates the message of the query");
  for (const [, text] of shown) assert.ok(content.startsWith(text), JSON.stringify(text));
  assert.ok(shown.length > 20, `number of updates: ${shown.length}`);
  assert.ok(proxy.count >= 3);

  const next = await send({ chatId: chat.id, content: "And again" });
  const { edges } = client.cache.readQuery({ query: gql(CHAT), variables: { id: chat.id } }).chat.messages;
  assert.deepEqual(edges.length, 4, "each message once");
  assert.equal(edges.at(-1).node.id, next.reply.id);
  await within("the second reply", readReply(client, next.reply.id));
  const second = await stored(server.url, tokens.accessToken, next.reply.id);
  assert.deepEqual(shown.at(-1), ["COMPLETE", second.content], "the query shows the new reply");
});

test("apollo: a subscription continues after its token expires and the server restarts", async (t) => {
  const server = await Server.start(t);
  const tokens = await register(server.url);
  const short = shortLived(tokens, 3);
  const session = new Session(server.url, short);
  const { client, send, watch } = open(t, server.url, session);
  const { chat, reply } = await send({ newChat: { modelId: "demo/long" }, content: "Hello" });
  let restarted;
  const restart = async () => {
    await server.stop();
    await server.start();
  };
  // The reply has 500 chunks, 25 ms apart. The token expires after 3 s, long before the end of the reply.
  const { shown } = watch(chat.id, once([2000, () => (restarted = restart())]));
  const final = await within("the reply", readReply(client, reply.id));
  await restarted;
  assert.notEqual(await session.accessToken(), short.accessToken, "the token was refreshed");
  const otherUser = await register(server.url);
  assert.equal(await stored(server.url, otherUser.accessToken, reply.id), null, "other users cannot read it");
  const { data } = await client.query({ query: gql(CHAT), variables: { id: chat.id }, fetchPolicy: "network-only" });
  const { status, content } = data.chat.messages.edges.at(-1).node;
  assert.equal(status, "COMPLETE");
  assert.equal(final.content, content);
  for (const [, text] of shown) assert.ok(content.startsWith(text), JSON.stringify(text));
});

test("apollo: after a rejected token, the client refreshes it and repeats the query", async (t) => {
  const server = await Server.start(t);
  const rejected = shortLived(await register(server.url), -10);
  rejected.accessTokenExpiresAt = new Date(Date.now() + 600_000).toISOString();
  const { client } = open(t, server.url, new Session(server.url, rejected));
  const query = gql`{ me { id ...Named } } fragment Named on User { username chats(first: 1) { nodes { id } } }`;
  const [one, two] = await Promise.all([client.query({ query }), client.query({ query, context: { queryDeduplication: false } })]);
  assert.match(one.data.me.username, /^reader-/);
  assert.equal(two.data.me.username, one.data.me.username);
});
