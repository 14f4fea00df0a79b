// Operations by POST, signed with the session.

import type { ExecutionResult } from "graphql";
import { codes, type Operation, post } from "./http";
import { authorization, refresh, session } from "./session";

export type Headers = Record<string, string>;

/** Runs an operation; once more with new tokens when its token was refused. Headers that somebody typed win. */
export async function signed(operation: Operation, headers: Headers = {}): Promise<ExecutionResult> {
  const result = await once(operation, headers);
  const isRefused = codes(result).includes("UNAUTHENTICATED");
  // What ran already must not run twice.
  const hasRun = Object.values(result.data ?? {}).some((value) => value !== null);
  if (!isRefused || hasRun || headers["authorization"] || !session.get() || !(await refresh())) return result;
  return once(operation, headers);
}

async function once(operation: Operation, headers: Headers): Promise<ExecutionResult> {
  const own = headers["authorization"] ?? (await authorization());
  return post(operation, own ? { ...headers, authorization: own } : headers);
}
