// @apollo/client: queries and mutations over HTTP, subscriptions over graphql-ws, one normalised cache.

import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, Observable, gql } from "@apollo/client";
import { CombinedGraphQLErrors } from "@apollo/client/errors";
import { SetContextLink } from "@apollo/client/link/context";
import { ErrorLink } from "@apollo/client/link/error";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { relayStylePagination } from "@apollo/client/utilities";

import { connect } from "./graphql-ws.mjs";
import { CHAT, POSSIBLE_TYPES, REPLY, SEND_MESSAGE, add, textOf } from "./reply.mjs";

export function createClient(url, session) {
  const sockets = connect(url, session);
  const withToken = new SetContextLink(async ({ headers }) => {
    const token = await session.accessToken();
    return { headers: { ...headers, authorization: `Bearer ${token}` } };
  });
  // The server rejected the access token: refresh it and repeat the request once.
  const refresh = new ErrorLink(({ error, operation, forward }) => {
    if (!CombinedGraphQLErrors.is(error) || operation.getContext().isRetry) return;
    if (!error.errors.some(({ extensions }) => extensions?.code === "UNAUTHENTICATED")) return;
    session.expire();
    operation.setContext({ isRetry: true });
    return new Observable((observer) => forward(operation).subscribe(observer));
  });
  const http = ApolloLink.from([refresh, withToken, new HttpLink({ uri: url })]);
  const link = ApolloLink.split(({ operationType }) => operationType === "subscription", new GraphQLWsLink(sockets), http);
  const cache = new InMemoryCache({
    possibleTypes: POSSIBLE_TYPES,
    typePolicies: {
      Chat: { fields: { messages: relayStylePagination() } },
      User: { fields: { chats: relayStylePagination(["filter"]) } },
    },
  });
  return { client: new ApolloClient({ link, cache }), close: () => sockets.dispose() };
}

/**
 * Sends a message, and fetches the chat again to get the two new messages. The fetch is awaited, so that its result
 * cannot overwrite newer events of the subscription.
 */
export async function sendMessage(client, input) {
  const { data } = await client.mutate({
    mutation: gql(SEND_MESSAGE),
    variables: { input },
    refetchQueries: ({ data }) => [{ query: gql(CHAT), variables: { id: data.sendMessage.chat.id } }],
    awaitRefetchQueries: true,
  });
  return data.sendMessage;
}

/** Reads a reply into the cache, which updates every query that shows the message. Resolves to the final message. */
export function readReply(client, messageId) {
  const id = client.cache.identify({ __typename: "Message", id: messageId });
  let events = [];
  return new Promise((resolve, reject) => {
    client.subscribe({ query: gql(REPLY), variables: { messageId } }).subscribe({
      next: ({ data, error }) => {
        if (error) return reject(error);
        events = add(events, data.reply);
        // The last event contains the final message, which the cache stores by itself.
        if (data.reply.__typename === "ReplyFinished") return resolve(data.reply.message);
        client.cache.modify({ id, fields: { content: () => textOf(events) } });
      },
      error: reject,
    });
  });
}
