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
    // The server writes on while the connection is lost, so a reply is worth any number of attempts.
    retryAttempts: Infinity,
    shouldRetry: () => true,
    retryWait: (retries) =>
      new Promise((go) => setTimeout(go, Math.min(200 * 2 ** retries, 10_000) * (0.5 + Math.random()))),
    // 4403: the access token has expired. connectionParams is asked again and takes the next one.
    on: { closed: (event) => (event as CloseEvent).code === 4403 && expire() },
  });
  const withToken = new SetContextLink(async ({ headers }) => ({
    headers: { ...headers, authorization: `Bearer ${await accessToken()}` },
  }));
  // The server refused the token: take the next one and ask once more.
  const refresh = new ErrorLink(({ error, operation, forward }) => {
    if (!CombinedGraphQLErrors.is(error) || operation.getContext().isSecondTry) return;
    if (!error.errors.some(({ extensions }) => extensions?.code === "UNAUTHENTICATED")) return;
    expire();
    operation.setContext({ isSecondTry: true });
    return new Observable((observer) => forward(operation).subscribe(observer));
  });
  const http = ApolloLink.from([refresh, withToken, new HttpLink({ uri: SERVER })]);
  return new ApolloClient({
    link: ApolloLink.split(({ operationType }) => operationType === "subscription", new GraphQLWsLink(sockets), http),
    cache: new InMemoryCache({
      possibleTypes: { ReplyEvent: ["ReplyText", "ReplyReasoning", "ReplyToolCall", "ReplyFinished"] },
      // A newer answer takes the place of the whole list.
      typePolicies: { Chat: { fields: { messages: { merge: false } } }, User: { fields: { chats: { merge: false } } } },
    }),
  });
}
