// The WebSocket of all subscriptions.

import { type Client, CloseCode, createClient } from "graphql-ws";
import { ENDPOINT, UNREACHABLE } from "./http";
import { authorization, expire, session } from "./session";

/** Creates a client that calls `credentials` for each connection and sends the result in `connection_init`. */
function connect(credentials: () => Promise<string | undefined>): Client {
  return createClient({
    url: new URL(ENDPOINT, location.href).href.replace(/^http/, "ws"),
    connectionParams: async () => {
      const value = await credentials();
      return value ? { authorization: value } : {};
    },
    retryAttempts: 8,
    retryWait: (retries) => new Promise((resolve) => setTimeout(resolve, Math.min(250 * 2 ** retries, 8_000))),
    shouldRetry: () => true,
    on: {
      // The server closes a socket when its token expires. The reconnect sends a new token.
      closed: (event) => (event as CloseEvent).code === CloseCode.Forbidden && expire(),
    },
  });
}

const socket = connect(authorization);
let signedInAs = session.get()?.id;
session.subscribe(() => {
  const id = session.get()?.id;
  if (id !== signedInAs) socket.terminate();
  signedInAs = id;
});

/** The shared client of the session, or a separate client for an `Authorization` header from the header editor. */
export function clientFor(own: string | undefined): Client {
  return own ? connect(async () => own) : socket;
}

/** Says why a subscription ended, in words for the user: the error messages, or the close code of the WebSocket. */
export function reasonOf(error: unknown): string {
  if (Array.isArray(error)) return error.map(({ message }: { message: string }) => message).join(" ");
  if (error instanceof CloseEvent) {
    // Browsers report 1006 if the connection failed or was lost without a close frame.
    return error.code === 1006 ? UNREACHABLE : `The WebSocket was closed with ${error.code}${error.reason && `: ${error.reason}`}.`;
  }
  return error instanceof Error ? error.message : UNREACHABLE;
}
