// graphql-ws alone: the smallest client that survives a lost connection, an expired token and a restarted server.

import { createClient } from "graphql-ws";
import WebSocket from "ws"; // Browsers, and Node from 22 on, have their own.

import { REPLY, add } from "./reply.mjs";

export function connect(url, session) {
  return createClient({
    url: url.replace(/^http/, "ws"),
    webSocketImpl: WebSocket,
    connectionParams: async () => ({ Authorization: `Bearer ${await session.accessToken()}` }),
    retryAttempts: Infinity,
    shouldRetry: () => true,
    // Soon at first, then less and less often, and not everybody at the same moment.
    retryWait: (retries) => new Promise((go) => setTimeout(go, Math.min(200 * 2 ** retries, 10_000) * (0.5 + Math.random()))),
    on: {
      // 4403: the token has expired. connectionParams, which is asked again, then takes the next one.
      closed: (event) => event.code === 4403 && session.expire(),
    },
  });
}

/** Reads a reply to its end; yields the events so far after each one. */
export async function* readReply(client, messageId) {
  let events = [];
  for await (const { data, errors } of client.iterate({ query: REPLY, variables: { messageId } })) {
    if (errors) throw new Error(errors[0].message);
    events = add(events, data.reply);
    yield events;
  }
}
