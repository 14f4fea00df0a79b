// graphql-ws only: the smallest client that handles lost connections, expired tokens and restarts of the server.

import { createClient } from "graphql-ws";
import WebSocket from "ws"; // In browsers and Node 22 or later, remove this line and `webSocketImpl`.

import { REPLY, add } from "./reply.mjs";

export function connect(url, session) {
  return createClient({
    url: url.replace(/^http/, "ws"),
    webSocketImpl: WebSocket,
    connectionParams: async () => ({ Authorization: `Bearer ${await session.accessToken()}` }),
    retryAttempts: Infinity,
    shouldRetry: () => true,
    // Exponential backoff with jitter.
    retryWait: (retries) => {
      const milliseconds = Math.min(200 * 2 ** retries, 10_000) * (0.5 + Math.random());
      return new Promise((resolve) => setTimeout(resolve, milliseconds));
    },
    on: {
      // 4403: the token has expired. The reconnect calls connectionParams again, which then refreshes it.
      closed: (event) => event.code === 4403 && session.expire(),
    },
  });
}

/** Reads a reply to its end. Yields all events so far after each event. */
export async function* readReply(client, messageId) {
  let events = [];
  for await (const { data, errors } of client.iterate({ query: REPLY, variables: { messageId } })) {
    if (errors) throw new Error(errors[0].message);
    events = add(events, data.reply);
    yield events;
  }
}
