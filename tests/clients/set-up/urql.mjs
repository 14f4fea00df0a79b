// @urql/core with graphcache: queries and mutations over HTTP, subscriptions over graphql-ws, one normalised cache.

import { Client, fetchExchange, gql, subscriptionExchange } from "@urql/core";
import { authExchange } from "@urql/exchange-auth";
import { cacheExchange } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";

import { connect } from "./graphql-ws.mjs";
import { add, textOf } from "./reply.mjs";

const SHOWN = gql`fragment Shown on Message { id content }`;

/** Types without an id. graphcache stores them inside their parent object. */
const embedded = ["ReplyText", "ReplyReasoning", "ReplyToolCall", "ReplyFinished", "ReplyError", "TokenUsage"]
  .concat(["TextPart", "ReasoningPart", "PageInfo", "MessageConnection", "MessageEdge", "ChatConnection", "ChatEdge"])
  .concat(["SendMessagePayload", "StopReplyPayload", "CreateChatPayload", "UpdateChatPayload", "DeleteChatPayload"]);

/** `introspection`: the result of `getIntrospectionQuery()` (npm graphql). Save it at build time. */
export function createClient(url, session, introspection, options = {}) {
  const sockets = connect(url, session);
  const replies = new Map();
  const cache = cacheExchange({
    keys: Object.fromEntries(embedded.map((type) => [type, () => null])),
    schema: introspection,
    resolvers: { Chat: { messages: relayPagination() } },
    updates: {
      Mutation: {
        // The chat has two new messages, so its message list is fetched again.
        sendMessage: ({ sendMessage }, _args, cache) => {
          const chat = cache.keyOfEntity(sendMessage?.chat);
          for (const { fieldName, arguments: args } of cache.inspectFields(chat)) {
            if (fieldName === "messages") cache.invalidate(chat, fieldName, args);
          }
        },
      },
      Subscription: {
        // Updates the message in the cache, and with it every query that shows it. The last event contains the final
        // message, which the cache stores by itself.
        reply: ({ reply }, { messageId }, cache) => {
          if (reply.__typename === "ReplyFinished") return replies.delete(messageId);
          replies.set(messageId, add(replies.get(messageId) ?? [], reply));
          cache.writeFragment(SHOWN, { id: messageId, __typename: "Message", content: textOf(replies.get(messageId)) });
        },
      },
    },
    ...options,
  });
  const auth = authExchange(async ({ appendHeaders }) => {
    let token = await session.accessToken();
    return {
      addAuthToOperation: (operation) => appendHeaders(operation, { Authorization: `Bearer ${token}` }),
      didAuthError: (error) => error.graphQLErrors.some(({ extensions }) => extensions.code === "UNAUTHENTICATED"),
      refreshAuth: async () => {
        session.expire();
        token = await session.accessToken();
      },
    };
  });
  const forwardSubscription = (request) => ({
    subscribe: (sink) => ({ unsubscribe: sockets.subscribe({ ...request, query: request.query ?? "" }, sink) }),
  });
  const exchanges = [cache, auth, fetchExchange, subscriptionExchange({ forwardSubscription })];
  return { client: new Client({ url, exchanges }), close: () => sockets.dispose() };
}
