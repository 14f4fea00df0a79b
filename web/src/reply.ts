// The text of the reply that is being watched, joined from its events.

import type { ExecutionResult } from "graphql";
import { Store } from "./store";

export interface Reply {
  pieces: { start: number; position: number; text: string }[];
  /** The status of the finished message; null while it is written. */
  status: string | null;
}

export const reply = new Store<Reply | null>(null);

/** Forgets the reply before: another is watched from now on. */
export function begin(): void {
  reply.set(null);
}

/** Takes an event of `reply`; what is no such event is passed over. */
export function take(result: ExecutionResult): void {
  const event = (result.data?.["reply"] ?? {}) as {
    __typename?: string;
    start?: number;
    position?: number;
    text?: string;
    message?: { status?: string };
  };
  const { __typename, start, position, text } = event;
  const current = reply.get() ?? { pieces: [], status: null };
  if (__typename === "ReplyText" && start !== undefined && position !== undefined && text !== undefined) {
    // A socket that came back sends again from where it began: such an event replaces what follows its start.
    const before = current.pieces.filter((piece) => piece.position <= start);
    reply.set({ pieces: [...before, { start, position, text }], status: null });
  } else if (__typename === "ReplyFinished") {
    reply.set({ ...current, status: event.message?.status ?? "COMPLETE" });
  }
}
