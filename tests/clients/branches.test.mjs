// The documents and the code of docs/clients.md for branches: swipes, edits, and switching between them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ask, register, send, stored } from "./account.mjs";
import { Server } from "./server.mjs";
import * as branches from "./set-up/branches.mjs";

test("a client shows siblings and switches between them", { timeout: 120_000 }, async (t) => {
  const server = await Server.start(t);
  const { accessToken } = await register(server.url);
  const { chatId, messageId } = await send(server.url, accessToken, "demo/fast");
  const run = (document, input) => ask(server.url, document, { input }, accessToken);
  const branch = async () => (await ask(server.url, branches.BRANCH, { chatId }, accessToken)).chat.messages.nodes;
  const ended = async (id) => {
    while ((await stored(server.url, accessToken, id)).status === "STREAMING") {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return id;
  };

  await ended(messageId);
  const [question, only] = await branch();
  assert.deepEqual([branches.place(question), branches.place(only)], [null, null]);

  // Swipe to the right of the last reply: another one is generated.
  const again = await run(branches.REGENERATE_REPLY, { messageId: only.id });
  const second = await ended(again.regenerateReply.reply.id);
  let shown = (await branch()).at(-1);
  assert.equal(shown.id, second);
  assert.deepEqual(branches.place(shown), { number: 2, count: 2, previous: only.id, next: undefined });

  // Back to the first.
  await run(branches.SELECT_BRANCH, { chatId, messageId: branches.place(shown).previous });
  shown = (await branch()).at(-1);
  assert.deepEqual(branches.place(shown), { number: 1, count: 2, previous: undefined, next: second });

  // An edited question begins a branch with its own reply; the first one has both replies.
  const edited = await run(branches.EDIT_MESSAGE, { messageId: question.id, content: "And the wind?" });
  const { message, reply } = edited.editMessage;
  await ended(reply.id);
  assert.deepEqual((await branch()).map(({ id }) => id), [message.id, reply.id]);
  assert.deepEqual(branches.place((await branch())[0]), { number: 2, count: 2, previous: question.id, next: undefined });

  // Deleted with its reply: the branch ends in the newest message that is left.
  const deleted = await run(branches.DELETE_MESSAGE, { messageId: message.id });
  assert.deepEqual(deleted.deleteMessage.chat, { id: chatId, messageCount: 3, lastMessage: { id: second } });
  assert.deepEqual((await branch()).map(({ id }) => id), [question.id, second]);
});
