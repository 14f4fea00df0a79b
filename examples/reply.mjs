// Prints a reply while it is written: TOKEN=<access token> node examples/reply.mjs <id of the reply>

import { createClient } from "graphql-ws";
import WebSocket from "ws";

const client = createClient({
  url: process.env.DUOLOGUE_URL ?? "ws://127.0.0.1:8000/graphql",
  webSocketImpl: WebSocket,
  connectionParams: { Authorization: `Bearer ${process.env.TOKEN}` },
});

const query = `subscription ($messageId: ID!) {
  reply(messageId: $messageId) {
    ... on ReplyText { text }
    ... on ReplyFinished { message { status usage { outputTokens } } }
  }
}`;

const events = client.iterate({ query, variables: { messageId: process.argv[2] } });
for await (const { data, errors } of events) {
  if (errors) throw new Error(errors[0].message);
  const { text, message } = data.reply;
  if (text) process.stdout.write(text);
  if (message) console.log(`\n[${message.status}, ${message.usage?.outputTokens ?? 0} tokens]`);
}
