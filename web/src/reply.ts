// The state of the reply panel. The panel has its own subscription, so it does not depend on the open tab or on the
// operation that runs there.

import type { ExecutionResult } from "graphql";
import { notice, session } from "./session";
import { signed } from "./signed";
import { clientFor, reasonOf } from "./socket";
import { Store } from "./store";

export interface Reply {
  id: string;
  /**
   * `following`: the subscription is active. `reconnecting`: the connection was lost, and the client reconnects.
   * `ended`: `status` is final. `lost`: the subscription ended before the reply, whose current state is not known.
   */
  phase: "following" | "reconnecting" | "ended" | "lost";
  /** The status of the message; null until the first event. */
  status: string | null;
  pieces: Piece[];
  /** The reason why the reply failed, is no longer followed, or could not be stopped. */
  reason: string | null;
  isStopping: boolean;
}

interface Piece {
  start: number;
  position: number;
  text: string;
}

interface Message {
  status: string;
  content: string;
  error: { code: string; message: string } | null;
}

const FIELDS = "status content error { code message }";
const FOLLOW = `subscription FollowReply($messageId: ID!) {
  reply(messageId: $messageId) {
    __typename start position
    ... on ReplyText { text }
    ... on ReplyFinished { message { ${FIELDS} } }
  }
}`;
const STOP = `mutation StopReply($input: StopReplyInput!) { stopReply(input: $input) { message { ${FIELDS} } } }`;
const KEY = "duologue:followed";

export const reply = new Store<Reply | null>(null);

let own: string | undefined;
let end: () => void = () => {};
/** The username of the session that follows the reply. */
let owner: string | undefined;

session.subscribe(() => {
  const username = session.get()?.username;
  // With credentials from the header editor, the reply does not depend on the session.
  if (!reply.get() || own || username === owner) return;
  const why = notice.get();
  if (username === undefined && why !== null) lose(why);
  else close();
});

// After a reload, the same reply is followed.
const followed = sessionStorage.getItem(KEY);
if (followed && session.get()) follow(followed);

/** Shows a reply and follows it to its end. `credentials`: an `Authorization` header from the header editor. */
export function follow(id: string, credentials?: string): void {
  const current = reply.get();
  const isFollowed = current?.phase === "following" || current?.phase === "reconnecting";
  if (current?.id === id && isFollowed && own === credentials) return;
  end();
  own = credentials;
  owner = session.get()?.username;
  // Credentials from the header editor are not stored.
  if (own) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, id);
  reply.set({ id, phase: "following", status: null, pieces: [], reason: null, isStopping: false });
  end = subscribe(id);
}

/** Whether there are credentials for the subscription. */
export const canFollow = (): boolean => own !== undefined || session.get() !== null;

/** Subscribes again to the reply, after its subscription ended early. */
export function followAgain(): void {
  const current = reply.get();
  if (current) follow(current.id, own);
}

/** Removes the reply from the panel. The server continues it. */
export function close(): void {
  end();
  sessionStorage.removeItem(KEY);
  reply.set(null);
}

/** Stops the reply on the server. */
export async function stop(): Promise<void> {
  const current = reply.get();
  if (!current || current.isStopping) return;
  update({ isStopping: true, reason: null });
  const operation = { query: STOP, variables: { input: { messageId: current.id } } };
  const result = await signed(operation, own ? { authorization: own } : {}).catch((error: unknown) => reasonOf(error));
  // The panel can show another reply by now.
  if (reply.get()?.id !== current.id || reply.get()?.phase === "ended") return;
  const payload = typeof result === "string" ? null : (result.data?.["stopReply"] as { message: Message } | null);
  if (payload) return finish(payload.message);
  const why = typeof result === "string" ? result : reasonOf(result.errors ?? []);
  update({ isStopping: false, reason: `The reply could not be stopped. ${why}` });
}

function subscribe(id: string): () => void {
  const client = clientFor(own);
  const on = (event: "connected" | "closed", from: Reply["phase"], to: Reply["phase"], reason: string | null) =>
    client.on(event, () => reply.get()?.phase === from && update({ phase: to, reason }));
  const listeners = [
    on("closed", "following", "reconnecting", "The connection to the server was lost. Trying again…"),
    on("connected", "reconnecting", "following", null),
  ];
  let isOver = false;
  const over = () => {
    isOver = true;
    for (const remove of listeners) remove();
  };
  const unsubscribe = client.subscribe({ query: FOLLOW, variables: { messageId: id } }, {
    next: (result) => isOver || take(result as ExecutionResult),
    error: (error) => isOver || lose(notice.get() ?? reasonOf(error)),
    complete: () => isOver || lose("The server ended the subscription before the end of the reply."),
  });
  return () => {
    over();
    unsubscribe();
  };
}

function take(result: ExecutionResult): void {
  if (result.errors) return lose(reasonOf(result.errors));
  const event = result.data?.["reply"] as { __typename: string; message?: Message } & Piece;
  if (event.message) return finish(event.message);
  // After a reconnect, events are sent again: an event replaces the text from its start on.
  const before = (reply.get()?.pieces ?? []).filter(({ position }) => position <= event.start);
  const piece = { start: event.start, position: event.position, text: event.__typename === "ReplyText" ? event.text : "" };
  update({ phase: "following", status: "STREAMING", pieces: [...before, piece] });
}

/** Shows the final message. After a crash of the server, its text can be shorter than the received text. */
function finish({ status, content, error }: Message): void {
  end();
  const pieces = [{ start: 0, position: 0, text: content }];
  update({ phase: "ended", status, pieces, reason: error && `${error.code}: ${error.message}`, isStopping: false });
}

function lose(reason: string): void {
  end();
  if (reply.get()?.phase !== "ended") update({ phase: "lost", reason, isStopping: false });
}

function update(changes: Partial<Reply>): void {
  const current = reply.get();
  if (current) reply.set({ ...current, ...changes });
}
