// Automatic persisted queries: a request contains the hash of a document instead of its text.

import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { persistedExchange as exchange } from "@urql/exchange-persisted";

/** The hash of a document. In browsers, `crypto.subtle` is available only on pages from https or localhost. */
export async function sha256(text) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Apollo: place it before `HttpLink`, as in `ApolloLink.from([refresh, withToken, persistedLink(), httpLink])`. */
export const persistedLink = (options) => new PersistedQueryLink({ sha256, ...options });

/** urql: place it before `fetchExchange`, as in `[cache, auth, persistedExchange(), fetchExchange, …]`. */
export const persistedExchange = (options) => exchange({ generateHash: sha256, enableForMutation: true, ...options });
