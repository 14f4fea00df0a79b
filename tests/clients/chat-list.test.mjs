// Tests the live chat list of docs/clients.md: changes of another device, and changes during a lost connection.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ask, register } from "./account.mjs";
import { Proxy } from "./proxy.mjs";
import { Server, within } from "./server.mjs";
import { chatList } from "./set-up/chat-list.mjs";
import { connect } from "./set-up/graphql-ws.mjs";
import { Session } from "./set-up/session.mjs";

test("a chat list follows the changes of another device", async (t) => {
  const server = await Server.start(t);
  const tokens = await register(server.url);
  const mutate = async (field, selection, input) => {
    const type = `${field[0].toUpperCase()}${field.slice(1)}Input`;
    const query = `mutation ($input: ${type}!) { ${field}(input: $input) { ${selection} } }`;
    return (await ask(server.url, query, { input }, tokens.accessToken))[field];
  };
  const create = async (title) => (await mutate("createChat", "chat { id }", { title })).chat.id;
  const first = await create("First");

  const proxy = await Proxy.start(t, server.port);
  const client = connect(proxy.url, new Session(server.url, tokens));
  t.after(() => client.dispose());
  const lists = chatList(client, (query) => ask(server.url, query, {}, tokens.accessToken));
  /** Reads lists until one has these titles. */
  const until = (...titles) =>
    within(titles.join(", "), (async () => {
      for (;;) {
        const { value } = await lists.next();
        if (JSON.stringify(value.map((chat) => chat.title)) === JSON.stringify(titles)) return;
      }
    })());

  await until("First");
  const second = await create("Second");
  await until("Second", "First");
  await mutate("updateChat", "chat { id }", { chatId: second, title: "Renamed" });
  await until("Renamed", "First");
  await mutate("sendMessage", "reply { id }", { chatId: first, content: "Hi" });
  await until("First", "Renamed");

  // Changes during a lost connection are found by the query at the next EventsStarted.
  proxy.cut();
  await mutate("deleteChat", "chatId", { chatId: second });
  await create("Third");
  await until("Third", "First");
  await mutate("deleteChat", "chatId", { chatId: first });
  await until("Third");
  await lists.return();
});
