// Branches: other replies to a message, and other versions of an edited message. They are siblings: messages with the
// same parent. `chat { messages }` is the active branch.

export const BRANCH = `query Branch($chatId: ID!, $before: String) {
  chat(id: $chatId) {
    id
    messages(last: 20, before: $before) {
      nodes { id role status content siblings { id } }
      pageInfo { hasPreviousPage startCursor }
    }
  }
}`;

export const SELECT_BRANCH = `mutation SelectBranch($input: SelectBranchInput!) {
  selectBranch(input: $input) { chat { id lastMessage { id } } }
}`;

export const REGENERATE_REPLY = `mutation RegenerateReply($input: RegenerateReplyInput!) {
  regenerateReply(input: $input) { chat { id lastMessage { id } } reply { id status } }
}`;

export const EDIT_MESSAGE = `mutation EditMessage($input: EditMessageInput!) {
  editMessage(input: $input) { chat { id lastMessage { id } } message { id content } reply { id status } }
}`;

export const DELETE_MESSAGE = `mutation DeleteMessage($input: DeleteMessageInput!) {
  deleteMessage(input: $input) { messageId chat { id messageCount lastMessage { id } } }
}`;

/**
 * The place of a message among its siblings, for "2 / 5" between two arrows: `previous` and `next` are the ids for
 * `selectBranch`, undefined at the ends. Null if there is nothing to select.
 */
export function place(message) {
  const ids = message.siblings.map(({ id }) => id);
  const index = ids.indexOf(message.id);
  if (ids.length < 2 || index < 0) return null;
  return { number: index + 1, count: ids.length, previous: ids[index - 1], next: ids[index + 1] };
}
