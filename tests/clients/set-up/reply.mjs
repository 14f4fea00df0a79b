// The documents for sending messages and reading replies, and the code that builds a reply's text from its events.
// Every set-up uses this file.

export const MESSAGE = `fragment MessageFields on Message {
  id role status content position
  error { code message isRetryable }
  usage { inputTokens outputTokens cost }
}`;

export const SEND_MESSAGE = `mutation SendMessage($input: SendMessageInput!) {
  sendMessage(input: $input) {
    chat { id title }
    message { ...MessageFields }
    reply { ...MessageFields }
  }
}
${MESSAGE}`;

export const CHAT = `query Chat($id: ID!, $before: String) {
  chat(id: $id) {
    id title
    messages(last: 20, before: $before) {
      edges { cursor node { ...MessageFields } }
      pageInfo { hasPreviousPage startCursor }
    }
  }
}
${MESSAGE}`;

export const REPLY = `subscription Reply($messageId: ID!, $after: Int) {
  reply(messageId: $messageId, after: $after) {
    start position
    ... on ReplyText { text }
    ... on ReplyReasoning { text }
    ... on ReplyToolCall { toolCall { id name status } }
    ... on ReplyFinished { message { ...MessageFields } }
    __typename
  }
}
${MESSAGE}`;

/** The possible types of each interface and union in the documents. A normalised cache needs them. */
export const POSSIBLE_TYPES = {
  MessagePart: ["TextPart", "ReasoningPart", "ToolCall"],
  ReplyEvent: ["ReplyText", "ReplyReasoning", "ReplyToolCall", "ReplyFinished"],
};

/**
 * Returns `events` with `event` added. After a reconnect, the transport repeats the subscription with its original
 * `after`, so an event can overlap with received ones: it replaces everything from its `start` on. Positions are in
 * bytes of UTF-8.
 */
export function add(events, event) {
  const kept = events.filter(({ start }) => start < event.start);
  const last = kept.at(-1);
  if (last?.position > event.start) {
    const bytes = new TextEncoder().encode(last.text).subarray(0, event.start - last.start);
    kept[kept.length - 1] = { ...last, position: event.start, text: new TextDecoder().decode(bytes) };
  }
  const end = kept.at(-1);
  if (end && end.text !== undefined && end.__typename === event.__typename) {
    kept[kept.length - 1] = { ...end, position: event.position, text: end.text + event.text };
  } else {
    kept.push(event);
  }
  return kept;
}

/**
 * The text of the reply so far. For a finished reply it is the stored text, which can be shorter than the received text
 * if the server crashed.
 */
export function textOf(events) {
  const last = events.at(-1);
  if (last?.__typename === "ReplyFinished") return last.message.content;
  return events.map((event) => (event.__typename === "ReplyText" ? event.text : "")).join("");
}
