// urql: queries and mutations over HTTP, subscriptions over graphql-ws. Its document cache
// repeats queries after a mutation.

import { authExchange } from "@urql/exchange-auth";
import { createClient } from "graphql-ws";
import { cacheExchange, Client, fetchExchange, subscriptionExchange } from "urql";
import { accessToken, expire, SERVER } from "./session";

export function createUrql(): Client {
  const sockets = createClient({
    url: SERVER.replace(/^http/, "ws"),
    connectionParams: async () => ({ Authorization: `Bearer ${await accessToken()}` }),
    // The server continues a reply while the connection is lost, so the client reconnects without a limit.
    retryAttempts: Infinity,
    shouldRetry: () => true,
    retryWait: (retries) =>
      new Promise((resolve) => setTimeout(resolve, Math.min(200 * 2 ** retries, 10_000) * (0.5 + Math.random()))),
    // 4403: the access token has expired. The reconnect calls connectionParams again, which refreshes it.
    on: { closed: (event) => (event as CloseEvent).code === 4403 && expire() },
  });
  const auth = authExchange(async ({ appendHeaders }) => {
    let token = await accessToken().catch(() => undefined);
    return {
      addAuthToOperation: (operation) => appendHeaders(operation, { Authorization: `Bearer ${token}` }),
      didAuthError: (error) => error.graphQLErrors.some(({ extensions }) => extensions.code === "UNAUTHENTICATED"),
      // The server rejected the access token: refresh it. urql then repeats the operation once.
      async refreshAuth() {
        expire();
        token = await accessToken();
      },
    };
  });
  const replies = subscriptionExchange({
    forwardSubscription: ({ query = "", variables }) => ({
      subscribe: (sink) => ({ unsubscribe: sockets.subscribe({ query, variables: { ...variables } }, sink) }),
    }),
  });
  return new Client({ url: SERVER, preferGetMethod: false, exchanges: [cacheExchange, auth, fetchExchange, replies] });
}
