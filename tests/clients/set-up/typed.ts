import { graphql, useFragment } from "./gql";
import type { FragmentType } from "./gql";
import type { ReplySubscription, SendMessageInput, SendMessageMutation } from "./gql/graphql";
import type { ErrorExtensions } from "./schema";
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

const Bubble = graphql(`
  fragment Bubble on Message {
    id
    status
    content
    error { code message }
    createdAt
  }
`);

const SendMessage = graphql(`
  mutation SendMessage($input: SendMessageInput!) {
    sendMessage(input: $input) {
      chat { id title }
      reply { ...Bubble }
    }
  }
`);

const Reply = graphql(`
  subscription Reply($messageId: ID!, $after: Int) {
    reply(messageId: $messageId, after: $after) {
      __typename
      start
      position
      ... on ReplyText { text }
      ... on ReplyFinished { message { ...Bubble } }
    }
  }
`);

/** The signature of a client's function that executes typed documents. */
type Run = <Data, Variables>(document: TypedDocumentNode<Data, Variables>, variables: Variables) => Promise<Data>;

export async function send(run: Run, content: string): Promise<string | undefined> {
  const input: SendMessageInput = { content, newChat: { modelId: "demo" } };
  const { sendMessage }: SendMessageMutation = await run(SendMessage, { input });
  return sendMessage ? bubble(sendMessage.reply) : undefined;
}

export function bubble(message: FragmentType<typeof Bubble>): string {
  const { content, createdAt, error } = useFragment(Bubble, message);
  const since: string = createdAt;
  return error ? `${error.message} (${since})` : content;
}

export function show(event: ReplySubscription["reply"]): string {
  switch (event.__typename) {
    case "ReplyText":
      return event.text;
    case "ReplyFinished":
      return bubble(event.message);
    default:
      return ""; // New types of events can be added.
  }
}

export const watch = (run: Run, messageId: string) => run(Reply, { messageId });

export const mustSignIn = ({ code }: ErrorExtensions): boolean => code === "UNAUTHENTICATED";
