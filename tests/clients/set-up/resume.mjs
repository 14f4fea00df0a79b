// Resumes a reply after a lost connection or a page load. `after` is the position up to which the client has the reply.

import { createClient } from "graphql-ws";
import WebSocket from "ws";

import { REPLY, add } from "./reply.mjs";

export async function* readReplyFrom(url, session, messageId, events = []) {
  while (events.at(-1)?.__typename !== "ReplyFinished") {
    const client = createClient({
      url: url.replace(/^http/, "ws"),
      webSocketImpl: WebSocket,
      connectionParams: async () => ({ Authorization: `Bearer ${await session.accessToken()}` }),
      retryAttempts: 0,
    });
    const after = events.at(-1)?.position;
    try {
      for await (const { data, errors } of client.iterate({ query: REPLY, variables: { messageId, after } })) {
        if (errors) throw new Error(errors[0].message);
        events = add(events, data.reply);
        yield events;
      }
    } catch (lost) {
      // A lost connection is a close event or an error event. Anything else is a real error.
      if (lost instanceof Error || Array.isArray(lost)) throw lost;
      if (lost.code === 4403) session.expire();
      await new Promise((resolve) => setTimeout(resolve, 200 + 300 * Math.random()));
    } finally {
      await client.dispose();
    }
  }
}
