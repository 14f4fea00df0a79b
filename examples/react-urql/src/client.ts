// urql: queries and mutations over HTTP, subscriptions over graphql-ws. Its document cache asks again after a mutation.

import { authExchange } from "@urql/exchange-auth";
import { createClient } from "graphql-ws";
import { cacheExchange, Client, fetchExchange, subscriptionExchange } from "urql";
import { accessToken, expire, SERVER } from "./session";

export function createUrql(): Client {
  const sockets = createClient({
    url: SERVER.replace(/^http/, "ws"),
    connectionParams: async () => ({ Authorization: `Bearer ${await accessToken()}` }),
    // The server writes on while the connection is lost, so a reply is worth any number of attempts.
    retryAttempts: Infinity,
    shouldRetry: () => true,
    retryWait: (retries) =>
      new Promise((go) => setTimeout(go, Math.min(200 * 2 ** retries, 10_000) * (0.5 + Math.random()))),
    // 4403: the access token has expired. connectionParams is asked again and takes the next one.
    on: { closed: (event) => (event as CloseEvent).code === 4403 && expire() },
  });
  const auth = authExchange(async ({ appendHeaders }) => {
    let token = await accessToken().catch(() => undefined);
    return {
      addAuthToOperation: (operation) => appendHeaders(operation, { Authorization: `Bearer ${token}` }),
      didAuthError: (error) => error.graphQLErrors.some(({ extensions }) => extensions.code === "UNAUTHENTICATED"),
      // The server refused the token: take the next one, and the operation is sent once more.
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
