// The documents of the main job, and how the events of a reply become what a page shows. The same for every client.

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

/** What a normalised cache must know: which types an interface or a union of your documents stands for. */
export const POSSIBLE_TYPES = {
  MessagePart: ["TextPart", "ReasoningPart", "ToolCall"],
  ReplyEvent: ["ReplyText", "ReplyReasoning", "ReplyToolCall", "ReplyFinished"],
};

/**
 * Adds an event to those before it. A transport that reconnected by itself asked with the old `after`, so what comes may
 * begin before the end of what is here: it replaces everything from its `start` on. Positions count bytes of UTF-8.
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

/** The answer so far; of a finished reply the stored one, which a crash may have made shorter than what was shown. */
export function textOf(events) {
  const last = events.at(-1);
  if (last?.__typename === "ReplyFinished") return last.message.content;
  return events.map((event) => (event.__typename === "ReplyText" ? event.text : "")).join("");
}
