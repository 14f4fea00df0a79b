// A chat list that stays up to date: queried at every EventsStarted, then changed by events.

const CHAT = `fragment ListedChat on Chat { id title isPinned isArchived updatedAt }`;
const CHATS = `query Chats { me { chats(first: 100) { nodes { ...ListedChat } } } } ${CHAT}`;
const EVENTS = `subscription ChatEvents {
  chatEvents {
    __typename
    ... on ChatAdded { chat { ...ListedChat } }
    ... on ChatChanged { chat { ...ListedChat } }
    ... on ChatDeleted { chatId }
    ... on MessageAdded { message { chat { ...ListedChat } } }
  }
} ${CHAT}`;

/** Applies an event to the chats by id. Events can be repeated and in any order: each has the current object. */
function apply(chats, event) {
  const chat = event.chat ?? event.message?.chat;
  if (chat) chats.set(chat.id, chat);
  if (event.__typename === "ChatDeleted") chats.delete(event.chatId);
}

/**
 * Yields the chats, latest activity first, after every change. `client` is a graphql-ws client with automatic
 * reconnects; `query` executes a query and returns its data.
 */
export async function* chatList(client, query) {
  for (;;) {
    let chats = new Map();
    for await (const { data, errors } of client.iterate({ query: EVENTS })) {
      // UNAVAILABLE: the events were read too slowly. Subscribe again.
      if (errors?.[0].extensions.code === "UNAVAILABLE") break;
      if (errors) throw new Error(errors[0].message);
      if (data.chatEvents.__typename === "EventsStarted") {
        const { me } = await query(CHATS);
        chats = new Map(me.chats.nodes.map((chat) => [chat.id, chat]));
      } else {
        apply(chats, data.chatEvents);
      }
      yield [...chats.values()].sort((a, b) => b.updatedAt.localeCompare(a.updatedAt));
    }
  }
}
