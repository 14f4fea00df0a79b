// The legacy subprotocol `graphql-ws` of npm subscriptions-transport-ws, for clients that cannot use graphql-ws yet.

import { SubscriptionClient } from "subscriptions-transport-ws";
import WebSocket from "ws"; // Not needed in browsers.

import { REPLY, add } from "./reply.mjs";

export function connect(url, session) {
  return new SubscriptionClient(
    url.replace(/^http/, "ws"),
    {
      reconnect: true,
      timeout: 60_000, // The server sends a keep-alive message every 25 s.
      connectionParams: async () => ({ Authorization: `Bearer ${await session.accessToken()}` }),
    },
    WebSocket,
  );
}

/**
 * Reads a reply to its end. Calls `onEvents` with all events so far after each event. After a reconnect, the client
 * repeats the subscription by itself.
 */
export function readReply(client, messageId, onEvents) {
  let events = [];
  return new Promise((resolve, reject) => {
    client.request({ query: REPLY, variables: { messageId } }).subscribe({
      next: ({ data, errors }) => {
        if (errors) return reject(new Error(errors[0].message));
        events = add(events, data.reply);
        onEvents(events);
      },
      error: reject,
      complete: () => resolve(events),
    });
  });
}
