import { type FormEvent, useEffect, useState } from "react";
import { useMutation, useQuery, useSubscription } from "urql";
import { graphql } from "./gql";
import type { ChatsQuery, MessageFieldsFragment, ReplySubscription, ReplySubscriptionVariables } from "./gql/graphql";

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
    reply(messageId: $messageId, after: $after) { __typename start ... on ReplyText { text } }
  }
`);

/** The messages of a chat, and the input for the next one. Without an id, the first message creates a chat. */
export function Chat({ id, models }: { id: string | null; models: ChatsQuery["models"] }) {
  const [{ data, error }, reload] = useQuery({ query: CHAT, variables: { id: id ?? "" }, pause: !id });
  const onEnd = () => reload({ requestPolicy: "network-only" });
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
            {message.status === "STREAMING" ? <Streaming message={message} onEnd={onEnd} /> : message.content}
            {message.status === "STOPPED" && <small>Stopped.</small>}
            {message.error && <small role="alert">{message.error.message}</small>}
          </article>
        ))}
      </div></section>
      {streaming ? <Stop messageId={streaming.id} /> : <Composer id={id} models={models} />}
    </>
  );
}

/** A reply while it is written; `onEnd` is called when the stored message is final. */
function Streaming({ message, onEnd }: { message: MessageFieldsFragment; onEnd: () => void }) {
  // The part of the reply that the query returned. The subscription returns the rest.
  const [{ id: messageId, position, content }] = useState(message);
  type State = { text: string; isOver: boolean };
  const [{ data, error }] = useSubscription<ReplySubscription, State, ReplySubscriptionVariables>(
    { query: REPLY, variables: { messageId, after: position } },
    (before, { reply }) => {
      const added = reply.__typename === "ReplyText" ? reply.text : "";
      // After a reconnect the same `after` is sent, so all events after it are sent again.
      const text = before && reply.start !== position ? before.text + added : added;
      return { text, isOver: reply.__typename === "ReplyFinished" };
    },
  );
  useEffect(() => {
    if (data?.isOver) onEnd();
  }, [data?.isOver]);
  const text = content + (data?.text ?? "");
  return <>{text}<span className="cursor" />{error && <small role="alert">{error.message}</small>}</>;
}

function Stop({ messageId }: { messageId: string }) {
  const [{ fetching, error }, stop] = useMutation(STOP);
  return (
    <div className="composer">
      {error && <p role="alert">{error.message}</p>}
      <button disabled={fetching} onClick={() => void stop({ input: { messageId } })}>Stop</button>
    </div>
  );
}

function Composer({ id, models }: { id: string | null; models: ChatsQuery["models"] }) {
  const [content, setContent] = useState("");
  // One key for each message: a repeated request does not send the message twice.
  const [idempotencyKey, setKey] = useState(() => crypto.randomUUID());
  // The payload contains a chat and a message, so the cache repeats every query with these types.
  const [{ fetching, error }, send] = useMutation(SEND);

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const modelId = new FormData(event.currentTarget).get("model") as string;
    const to = id ? { chatId: id } : { newChat: { modelId, title: content.slice(0, 40) } };
    const { data, error } = await send({ input: { ...to, content, idempotencyKey } });
    if (error) return;
    setContent("");
    setKey(crypto.randomUUID());
    if (!id && data?.sendMessage) location.hash = data.sendMessage.chat.id;
  }

  const edit = (text: string) => {
    setContent(text);
    setKey(crypto.randomUUID());
  };
  return (
    <form className="composer" onSubmit={(event) => void submit(event)}>
      {error && <p role="alert">{error.message}</p>}
      {!id && (
        <select name="model" aria-label="Model" key={models.length} defaultValue={models.find((m) => m.isDefault)?.id}>
          {models.map(({ id, displayName }) => <option key={id} value={id}>{displayName}</option>)}
        </select>
      )}
      <textarea aria-label="Message" required value={content} onChange={({ target }) => edit(target.value)} />
      <button disabled={fetching}>Send</button>
    </form>
  );
}
