// Automatic persisted queries: the hash of a document goes over the wire instead of its text.

import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { persistedExchange as exchange } from "@urql/exchange-persisted";

/** The hash. Browsers have `crypto.subtle` on pages of https and of localhost. */
export async function sha256(text) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** For Apollo, in front of its `HttpLink`: `ApolloLink.from([refresh, withToken, persistedLink(), new HttpLink({ uri })])`. */
export const persistedLink = (options) => new PersistedQueryLink({ sha256, ...options });

/** For urql, in front of its `fetchExchange`: `[cache, auth, persistedExchange(), fetchExchange, …]`. */
export const persistedExchange = (options) => exchange({ generateHash: sha256, enableForMutation: true, ...options });
