// Tests the set-up of docs/clients.md for @urql/core with graphcache.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { buildSchema, introspectionFromSchema } from "graphql";

import { register, shortLived, stored } from "./account.mjs";
import { Proxy } from "./proxy.mjs";
import { Server, within } from "./server.mjs";
import { CHAT, REPLY, SEND_MESSAGE } from "./set-up/reply.mjs";
import { Session } from "./set-up/session.mjs";
import { createClient } from "./set-up/urql.mjs";

/** Reads a subscription to its end and returns all results. */
const collect = (source, each = () => {}) =>
  within("the reply", new Promise((resolve) => {
    const results = [];
    source.subscribe((result) => {
      results.push(result);
      each(result);
      if (result.error || result.data?.reply.__typename === "ReplyFinished") resolve(results);
    });
  }));

test("urql", async (t) => {
  const server = await Server.start(t);
  const tokens = await register(server.url);
  const proxy = await Proxy.start(t, server.port);
  const schema = await readFile(new URL("../../schema.graphql", import.meta.url), "utf8");
  const introspection = introspectionFromSchema(buildSchema(schema));
  const warnings = [];
  const logger = (severity, message) => severity !== "debug" && warnings.push(message);
  const { client, close } = createClient(proxy.url, new Session(server.url, tokens), introspection, { logger });
  t.after(close);
  const send = async (input) => {
    const { data, error } = await client.mutation(SEND_MESSAGE, { input });
    assert.equal(error, undefined, String(error));
    return data.sendMessage;
  };

  await t.test("the cache is updated through lost connections", async () => {
    const { chat, reply } = await send({ newChat: { modelId: "demo" }, content: "Hello" });
    const shown = [];
    const watched = client.query(CHAT, { id: chat.id }).subscribe(({ data }) => {
      const last = data?.chat.messages.edges.at(-1)?.node;
      if (last) shown.push([last.status, last.content]);
    });
    let cuts = 0;
    await collect(client.subscription(REPLY, { messageId: reply.id }), () => {
      if (shown.at(-1)?.[1].length > 60 * (cuts + 1) && cuts < 2) {
        cuts += 1;
        proxy.cut();
      }
    });
    assert.equal(cuts, 2);
    const { content } = await stored(server.url, tokens.accessToken, reply.id);
    assert.deepEqual(shown.at(-1), ["COMPLETE", content], "the subscription updates the message of the query");
    for (const [, text] of shown) assert.ok(content.startsWith(text), JSON.stringify(text));
    assert.ok(shown.length > 20, `number of updates: ${shown.length}`);
    watched.unsubscribe();
    const cached = await client.query(CHAT, { id: chat.id }, { requestPolicy: "cache-only" });
    assert.equal(cached.data.chat.messages.edges.at(-1).node.content, content);

    const next = await send({ chatId: chat.id, content: "And again" });
    const after = await client.query(CHAT, { id: chat.id });
    assert.equal(after.data.chat.messages.edges.length, 4, "the list is fetched again");
    assert.equal(after.data.chat.messages.edges.at(-1).node.id, next.reply.id);
    await collect(client.subscription(REPLY, { messageId: next.reply.id }));
  });

  await t.test("after a rejected token, the client refreshes it and repeats the query", async () => {
    const rejected = shortLived(await register(server.url), -10);
    rejected.accessTokenExpiresAt = new Date(Date.now() + 600_000).toISOString();
    const other = createClient(server.url, new Session(server.url, rejected), introspection, { logger });
    const { data, error } = await other.client.query("{ me { id username chats(first: 1) { nodes { id } } } }", {});
    assert.equal(error, undefined, String(error));
    assert.match(data.me.username, /^reader-/);
    other.close();
  });

  assert.deepEqual(warnings, [], "graphcache logs no warnings");
});
