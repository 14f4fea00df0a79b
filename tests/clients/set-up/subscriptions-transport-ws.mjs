// The legacy subprotocol `graphql-ws` of npm subscriptions-transport-ws, for clients that cannot move on yet.

import { SubscriptionClient } from "subscriptions-transport-ws";
import WebSocket from "ws"; // Browsers have their own.

import { REPLY, add } from "./reply.mjs";

export function connect(url, session) {
  return new SubscriptionClient(
    url.replace(/^http/, "ws"),
    {
      reconnect: true,
      timeout: 60_000, // The server says that it is alive every 25 s.
      connectionParams: async () => ({ Authorization: `Bearer ${await session.accessToken()}` }),
    },
    WebSocket,
  );
}

/** Reads a reply to its end; tells of the events so far after each one. After a reconnect the client asks again by itself. */
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
