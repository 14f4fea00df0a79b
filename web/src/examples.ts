// The prepared tabs: one for each step from registration to a streamed reply.

import type { GraphiQL } from "graphiql";
import type { ComponentProps } from "react";
import characters from "./examples/characters.graphql?raw";
import chats from "./examples/chats.graphql?raw";
import login from "./examples/login.graphql?raw";
import refreshSession from "./examples/refresh-session.graphql?raw";
import register from "./examples/register.graphql?raw";
import reply from "./examples/reply.graphql?raw";
import sendMessage from "./examples/send-message.graphql?raw";
import stopReply from "./examples/stop-reply.graphql?raw";
import welcome from "./examples/welcome.graphql?raw";

type Tab = NonNullable<ComponentProps<typeof GraphiQL>["defaultTabs"]>[number];

const username = `ada-${Math.random().toString(36).slice(2, 7)}`;
// Random, because this file is public: accounts with a password from it would be open to everybody.
const password = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(36).padStart(2, "0")).join("");

function tab(query: string, variables?: object): Tab {
  return { query, variables: variables ? JSON.stringify(variables, null, 2) : null };
}

export const examples: Tab[] = [
  // GraphiQL loses the variables of its first tab, so the first tab has none.
  tab(welcome),
  tab(register, { input: { username, email: `${username}@example.com`, password, device: "Playground" } }),
  tab(login, { input: { login: username, password, device: "Playground" } }),
  tab(characters),
  tab(sendMessage, {
    input: {
      content: "Tell me about the sea.",
      newChat: { characterId: "{{character}}", modelId: "{{model}}", title: "First words" },
    },
  }),
  tab(reply, { messageId: "{{reply}}", after: 0 }),
  tab(stopReply, { input: { messageId: "{{reply}}" } }),
  tab(chats),
  tab(refreshSession, { input: { refreshToken: "{{refreshToken}}" } }),
];
