// The WebSocket that subscriptions share.

import { type Client, CloseCode, createClient } from "graphql-ws";
import { ENDPOINT, UNREACHABLE } from "./http";
import { authorization, expire, session } from "./session";

/** A client that signs in with what `credentials` answers at each connection. */
function connect(credentials: () => Promise<string | undefined>): Client {
  return createClient({
    url: new URL(ENDPOINT, location.href).href.replace(/^http/, "ws"),
    connectionParams: async () => {
      const value = await credentials();
      return value ? { authorization: value } : {};
    },
    retryAttempts: 8,
    retryWait: (retries) => new Promise((done) => setTimeout(done, Math.min(250 * 2 ** retries, 8_000))),
    shouldRetry: () => true,
    on: {
      // The server closes a socket whose token expired: the next attempt brings a new one.
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

/** The shared client of the session, or one of its own for an `Authorization` header that somebody typed. */
export function clientFor(own: string | undefined): Client {
  return own ? connect(async () => own) : socket;
}

/** Why a subscription ended, for people: a refusal's messages, or the code that the socket closed with. */
export function reasonOf(error: unknown): string {
  if (Array.isArray(error)) return error.map(({ message }: { message: string }) => message).join(" ");
  if (error instanceof CloseEvent) {
    // 1006 is the browser's own: no connection came about, or it broke off.
    return error.code === 1006 ? UNREACHABLE : `The WebSocket closed with ${error.code}${error.reason && `: ${error.reason}`}.`;
  }
  return error instanceof Error ? error.message : UNREACHABLE;
}
