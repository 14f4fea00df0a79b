// Prints a reply while it is written, through lost connections and restarts of the server.
// Usage: TOKEN=<access token> node examples/reply.mjs <id of the reply>

import { createClient } from "graphql-ws";
import WebSocket from "ws";

const url = process.env.DUOLOGUE_URL ?? "ws://127.0.0.1:8000/graphql";
const [, , messageId] = process.argv;
const { TOKEN } = process.env;
if (!messageId || !TOKEN) fail("Usage: TOKEN=<access token> node examples/reply.mjs <id of the reply>");

/** The number of connection attempts in a row, one per second. */
const MAX_ATTEMPTS = 60;

const query = `subscription ($messageId: ID!, $after: Int) {
  reply(messageId: $messageId, after: $after) {
    position
    ... on ReplyText { text }
    ... on ReplyFinished { message { status error { code message } usage { outputTokens } } }
  }
}`;

const client = createClient({
  url,
  webSocketImpl: WebSocket,
  connectionParams: { Authorization: `Bearer ${TOKEN}` },
  retryAttempts: 0, // The loop below reconnects with `after`, so that no text is printed twice.
});

let after;
let message;
for (let attempts = 0; !message; attempts += 1) {
  try {
    for await (const { data, errors } of client.iterate({ query, variables: { messageId, after } })) {
      if (errors) fail(errors[0].message);
      attempts = 0;
      after = data.reply.position;
      message = data.reply.message;
      process.stdout.write(data.reply.text ?? "");
    }
  } catch (lost) {
    if (Array.isArray(lost)) fail(lost[0].message);
    if (lost instanceof Error) throw lost;
    if (lost.code === 4403) fail("The access token has expired or its session has ended: sign in again.");
    if (attempts === MAX_ATTEMPTS) fail(`The server at ${url} cannot be reached.`);
    if (attempts === 0) console.error("\n[the connection was lost; trying again]");
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}
console.log(`\n[${message.status}, ${message.usage?.outputTokens ?? 0} tokens]`);
if (message.error) fail(`${message.error.code}: ${message.error.message}`);
process.exit(); // Do not wait for the WebSocket to close.

function fail(reason) {
  console.error(reason);
  process.exit(1);
}
