// The reply that the panel shows. It is followed by a subscription of its own, so what the panel says does not depend on
// which tab is open or what runs in it.

import type { ExecutionResult } from "graphql";
import { notice, session } from "./session";
import { signed } from "./signed";
import { clientFor, reasonOf } from "./socket";
import { Store } from "./store";

export interface Reply {
  id: string;
  /**
   * `following`: events arrive. `reconnecting`: the connection was lost and is being made again. `ended`: `status` is
   * final. `lost`: the reply is not followed any more, and how it went on is not known here.
   */
  phase: "following" | "reconnecting" | "ended" | "lost";
  /** The status of the message; null until an event has come. */
  status: string | null;
  pieces: Piece[];
  /** Why it failed, why it is not followed, or why it could not be stopped. */
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
/** Whose session the reply is followed with. */
let owner: string | undefined;

session.subscribe(() => {
  const username = session.get()?.username;
  // A reply that is followed with credentials that somebody typed is not the session's.
  if (!reply.get() || own || username === owner) return;
  const why = notice.get();
  if (username === undefined && why !== null) lose(why);
  else close();
});

// A reload goes on where it was.
const followed = sessionStorage.getItem(KEY);
if (followed && session.get()) follow(followed);

/** Shows a reply and follows it to its end, with the session or with an `Authorization` header that somebody typed. */
export function follow(id: string, credentials?: string): void {
  const current = reply.get();
  const isFollowed = current?.phase === "following" || current?.phase === "reconnecting";
  if (current?.id === id && isFollowed && own === credentials) return;
  end();
  own = credentials;
  owner = session.get()?.username;
  // Credentials that somebody typed are kept nowhere.
  if (own) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, id);
  reply.set({ id, phase: "following", status: null, pieces: [], reason: null, isStopping: false });
  end = subscribe(id);
}

/** Whether there are credentials to follow a reply with. */
export const canFollow = (): boolean => own !== undefined || session.get() !== null;

/** Follows the reply that was lost. */
export function again(): void {
  const current = reply.get();
  if (current) follow(current.id, own);
}

/** Takes the reply from the panel. It goes on at the server. */
export function close(): void {
  end();
  sessionStorage.removeItem(KEY);
  reply.set(null);
}

/** Stops the reply at the server. */
export async function stop(): Promise<void> {
  const current = reply.get();
  if (!current || current.isStopping) return;
  update({ isStopping: true, reason: null });
  const operation = { query: STOP, variables: { input: { messageId: current.id } } };
  const result = await signed(operation, own ? { authorization: own } : {}).catch((error: unknown) => reasonOf(error));
  // Another reply may be shown by now.
  if (reply.get()?.id !== current.id || reply.get()?.phase === "ended") return;
  const payload = typeof result === "string" ? null : (result.data?.["stopReply"] as { message: Message } | null);
  if (payload) return finish(payload.message);
  const why = typeof result === "string" ? result : reasonOf(result.errors ?? []);
  update({ isStopping: false, reason: `It could not be stopped. ${why}` });
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
    complete: () => isOver || lose("The server ended the subscription before the reply."),
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
  // A socket that came back sends again from where it began: an event replaces what follows its start.
  const before = (reply.get()?.pieces ?? []).filter(({ position }) => position <= event.start);
  const piece = { start: event.start, position: event.position, text: event.__typename === "ReplyText" ? event.text : "" };
  update({ phase: "following", status: "STREAMING", pieces: [...before, piece] });
}

/** The stored text is the truth: after a crash of the server it may be shorter than what had arrived. */
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
