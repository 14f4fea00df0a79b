import { graphql } from "relay-runtime";

export const query = graphql`
  query PageQuery($id: ID!) {
    chat(id: $id) {
      ...Page_chat
    }
  }
`;

export const chat = graphql`
  fragment Page_chat on Chat
  @argumentDefinitions(count: { type: "Int", defaultValue: 20 }, before: { type: "String" })
  @refetchable(queryName: "PageOlderQuery") {
    title
    character {
      name
    }
    messages(last: $count, before: $before) @connection(key: "Page_messages") {
      edges {
        node {
          ...Page_message
        }
      }
    }
  }
`;

export const message = graphql`
  fragment Page_message on Message {
    status
    content
    position
    parts {
      __typename
      ... on TextPart {
        text
      }
      ... on ToolCall {
        name
        status
      }
    }
  }
`;

export const send = graphql`
  mutation PageSendMutation($input: SendMessageInput!, $connections: [ID!]!) {
    sendMessage(input: $input) {
      message @appendNode(connections: $connections, edgeTypeName: "MessageEdge") {
        ...Page_message
      }
      reply @appendNode(connections: $connections, edgeTypeName: "MessageEdge") {
        ...Page_message
      }
    }
  }
`;

export const remove = graphql`
  mutation PageDeleteMutation($input: DeleteChatInput!, $connections: [ID!]!) {
    deleteChat(input: $input) {
      chatId @deleteEdge(connections: $connections) @deleteRecord
    }
  }
`;

export const reply = graphql`
  subscription PageReplySubscription($messageId: ID!, $after: Int) {
    reply(messageId: $messageId, after: $after) {
      __typename
      start
      position
      ... on ReplyText {
        text
      }
      ... on ReplyFinished {
        message {
          ...Page_message
        }
      }
    }
  }
`;
