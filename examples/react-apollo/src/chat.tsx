import { useMutation, useQuery, useSubscription } from "@apollo/client/react";
import { type FormEvent, useState } from "react";
import { graphql } from "./gql";
import type { ChatsQuery, MessageFieldsFragment } from "./gql/graphql";

graphql(`fragment MessageFields on Message { id role status content position error { code message } }`);

const CHAT = graphql(`
  query Chat($id: ID!) { chat(id: $id) { id title messages(last: 50) { nodes { ...MessageFields } } } }
`);

const SEND = graphql(`
  mutation SendMessage($input: SendMessageInput!) { sendMessage(input: $input) { chat { id title } reply { id } } }
`);

const STOP = graphql(`
  mutation StopReply($input: StopReplyInput!) { stopReply(input: $input) { message { ...MessageFields } } }
`);

const REPLY = graphql(`
  subscription Reply($messageId: ID!, $after: Int) {
    reply(messageId: $messageId, after: $after) {
      __typename start
      ... on ReplyText { text }
      ... on ReplyFinished { message { ...MessageFields } }
    }
  }
`);

/** The messages of a chat, and the input for the next one. Without an id, the first message creates a chat. */
export function Chat({ id, models }: { id: string | null; models: ChatsQuery["models"] }) {
  const { data, error } = useQuery(CHAT, id ? { variables: { id } } : { skip: true, variables: { id: "" } });
  const messages = data?.chat?.messages.nodes ?? [];
  const streaming = messages.find(({ status }) => status === "STREAMING");
  return (
    <>
      <h1>{data?.chat?.title ?? (id ? "" : "New chat")}</h1>
      {error && <p role="alert">{error.message}</p>}
      {data && !data.chat && <p role="alert">This chat does not exist.</p>}
      <section role="log" aria-label="Messages"><div>
        {messages.map((message) => (
          <article key={message.id} className={message.role.toLowerCase()} data-status={message.status}>
            {message.status === "STREAMING" ? <Streaming message={message} /> : message.content}
            {message.status === "STOPPED" && <small>Stopped.</small>}
            {message.error && <small role="alert">{message.error.message}</small>}
          </article>
        ))}
      </div></section>
      {streaming ? <Stop messageId={streaming.id} /> : <Composer id={id} models={models} />}
    </>
  );
}

/** A reply while it is written. Its last event contains the final message, which the cache stores by itself. */
function Streaming({ message }: { message: MessageFieldsFragment }) {
  // The part of the reply that the query returned. The subscription returns the rest.
  const [{ position, content }] = useState(message);
  const [text, setText] = useState("");
  const [problem, setProblem] = useState<string>();
  useSubscription(REPLY, {
    variables: { messageId: message.id, after: position },
    ignoreResults: true,
    onData({ data: { data } }) {
      const event = data?.reply;
      if (!event) return;
      const added = event.__typename === "ReplyText" ? event.text : "";
      // After a reconnect the same `after` is sent, so all events after it are sent again.
      setText((before) => (event.start === position ? added : before + added));
    },
    onError: ({ message }) => setProblem(message),
  });
  return <>{content + text}<span className="cursor" />{problem && <small role="alert">{problem}</small>}</>;
}

function Stop({ messageId }: { messageId: string }) {
  const [stop, { loading, error }] = useMutation(STOP);
  const click = () => stop({ variables: { input: { messageId } } });
  return (
    <div className="composer">
      {error && <p role="alert">{error.message}</p>}
      <button disabled={loading} onClick={() => void click().catch(() => undefined)}>Stop</button>
    </div>
  );
}

function Composer({ id, models }: { id: string | null; models: ChatsQuery["models"] }) {
  const [content, setContent] = useState("");
  // One key for each message: a repeated request does not send the message twice.
  const [idempotencyKey, setKey] = useState(() => crypto.randomUUID());
  // The new messages are read with the query of the chat.
  const [send, { loading, error }] = useMutation(SEND, { refetchQueries: id ? ["Chats", "Chat"] : ["Chats"] });

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const modelId = new FormData(event.currentTarget).get("model") as string;
    const to = id ? { chatId: id } : { newChat: { modelId, title: content.slice(0, 40) } };
    const { data } = await send({ variables: { input: { ...to, content, idempotencyKey } } });
    setContent("");
    setKey(crypto.randomUUID());
    if (!id && data?.sendMessage) location.hash = data.sendMessage.chat.id;
  }

  const edit = (text: string) => {
    setContent(text);
    setKey(crypto.randomUUID());
  };
  return (
    <form className="composer" onSubmit={(event) => void submit(event).catch(() => undefined)}>
      {error && <p role="alert">{error.message}</p>}
      {!id && (
        <select name="model" aria-label="Model" key={models.length} defaultValue={models.find((m) => m.isDefault)?.id}>
          {models.map(({ id, displayName }) => <option key={id} value={id}>{displayName}</option>)}
        </select>
      )}
      <textarea aria-label="Message" required value={content} onChange={({ target }) => edit(target.value)} />
      <button disabled={loading}>Send</button>
    </form>
  );
}
