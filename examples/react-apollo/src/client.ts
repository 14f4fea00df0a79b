// Apollo Client: queries and mutations over HTTP, subscriptions over graphql-ws, one normalised cache.

import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, Observable } from "@apollo/client";
import { CombinedGraphQLErrors } from "@apollo/client/errors";
import { SetContextLink } from "@apollo/client/link/context";
import { ErrorLink } from "@apollo/client/link/error";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { createClient } from "graphql-ws";
import { accessToken, expire, SERVER } from "./session";

export function createApollo(): ApolloClient {
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
  const withToken = new SetContextLink(async ({ headers }) => ({
    headers: { ...headers, authorization: `Bearer ${await accessToken()}` },
  }));
  // The server rejected the access token: refresh it and repeat the request once.
  const refresh = new ErrorLink(({ error, operation, forward }) => {
    if (!CombinedGraphQLErrors.is(error) || operation.getContext().isRetry) return;
    if (!error.errors.some(({ extensions }) => extensions?.code === "UNAUTHENTICATED")) return;
    expire();
    operation.setContext({ isRetry: true });
    return new Observable((observer) => forward(operation).subscribe(observer));
  });
  const http = ApolloLink.from([refresh, withToken, new HttpLink({ uri: SERVER })]);
  return new ApolloClient({
    link: ApolloLink.split(({ operationType }) => operationType === "subscription", new GraphQLWsLink(sockets), http),
    cache: new InMemoryCache({
      possibleTypes: { ReplyEvent: ["ReplyText", "ReplyReasoning", "ReplyToolCall", "ReplyFinished"] },
      // A new result replaces the whole list.
      typePolicies: { Chat: { fields: { messages: { merge: false } } }, User: { fields: { chats: { merge: false } } } },
    }),
  });
}
