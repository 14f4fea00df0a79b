// @apollo/client, as docs/clients.md sets it up.

import assert from "node:assert/strict";
import { test } from "node:test";
import { gql } from "@apollo/client";

import { register, shortLived, stored } from "./account.mjs";
import { Proxy } from "./proxy.mjs";
import { Server, within } from "./server.mjs";
import { createClient, readReply, sendMessage } from "./set-up/apollo.mjs";
import { CHAT } from "./set-up/reply.mjs";
import { Session } from "./set-up/session.mjs";

/** A client, and how its cache shows the last message of a chat as time goes by. */
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

/** Does each once, when what is shown is so long. */
const once = (...steps) => (content) => {
  if (steps.length && content.length >= steps[0][0]) steps.shift()[1]();
};

test("apollo: the cache follows a reply through a lost connection", async (t) => {
  const server = await Server.start(t);
  const tokens = await register(server.url);
  const proxy = await Proxy.start(t, server.port);
  const { client, send, watch } = open(t, proxy.url, new Session(server.url, tokens));
  const { chat, reply } = await send({ newChat: { modelId: "demo" }, content: "Hello" });
  const { shown } = watch(chat.id, once([60, () => proxy.cut()], [150, () => proxy.cut()]));
  const final = await within("the reply", readReply(client, reply.id));
  const { content } = await stored(server.url, tokens.accessToken, reply.id);
  assert.equal(final.content, content);
  assert.deepEqual(shown.at(-1), ["COMPLETE", content], "the message of the query is the one of the subscription");
  for (const [, text] of shown) assert.ok(content.startsWith(text), JSON.stringify(text));
  assert.ok(shown.length > 20, `it grows: ${shown.length}`);
  assert.ok(proxy.count >= 3);

  const next = await send({ chatId: chat.id, content: "And again" });
  const { edges } = client.cache.readQuery({ query: gql(CHAT), variables: { id: chat.id } }).chat.messages;
  assert.deepEqual(edges.length, 4, "and no message twice");
  assert.equal(edges.at(-1).node.id, next.reply.id);
  await within("the second reply", readReply(client, next.reply.id));
  const second = await stored(server.url, tokens.accessToken, next.reply.id);
  assert.deepEqual(shown.at(-1), ["COMPLETE", second.content], "and the page shows it");
});

test("apollo: a subscription survives its token and a restart of the server", async (t) => {
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
  // 500 pieces, 25 ms apart: the token has expired at the first mark, and a quarter is still to come at the second.
  const { shown } = watch(chat.id, once([2000, () => (restarted = restart())]));
  const final = await within("the reply", readReply(client, reply.id));
  await restarted;
  assert.notEqual(await session.accessToken(), short.accessToken, "the token has been refreshed meanwhile");
  const signedIn = await register(server.url);
  assert.equal(await stored(server.url, signedIn.accessToken, reply.id), null, "it is nobody else's");
  const { data } = await client.query({ query: gql(CHAT), variables: { id: chat.id }, fetchPolicy: "network-only" });
  const { status, content } = data.chat.messages.edges.at(-1).node;
  assert.equal(status, "COMPLETE");
  assert.equal(final.content, content);
  for (const [, text] of shown) assert.ok(content.startsWith(text), JSON.stringify(text));
});

test("apollo: a dead token is refreshed and the query asked again", async (t) => {
  const server = await Server.start(t);
  const dead = shortLived(await register(server.url), -10);
  dead.accessTokenExpiresAt = new Date(Date.now() + 600_000).toISOString();
  const { client } = open(t, server.url, new Session(server.url, dead));
  const query = gql`{ me { id ...Named } } fragment Named on User { username chats(first: 1) { nodes { id } } }`;
  const [one, two] = await Promise.all([client.query({ query }), client.query({ query, context: { queryDeduplication: false } })]);
  assert.match(one.data.me.username, /^reader-/);
  assert.equal(two.data.me.username, one.data.me.username);
});
