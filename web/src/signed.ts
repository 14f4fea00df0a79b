// Operations by POST, with the credentials of the session.

import type { ExecutionResult } from "graphql";
import { codes, type Operation, post } from "./http";
import { authorization, refresh, session } from "./session";

export type Headers = Record<string, string>;

/**
 * Executes an operation, and repeats it once with new tokens if its token was rejected. An `Authorization` header from
 * the header editor takes precedence over the session.
 */
export async function signed(operation: Operation, headers: Headers = {}): Promise<ExecutionResult> {
  const result = await once(operation, headers);
  const isRefused = codes(result).includes("UNAUTHENTICATED");
  // A field that was executed must not be executed twice.
  const hasRun = Object.values(result.data ?? {}).some((value) => value !== null);
  if (!isRefused || hasRun || headers["authorization"] || !session.get() || !(await refresh())) return result;
  return once(operation, headers);
}

async function once(operation: Operation, headers: Headers): Promise<ExecutionResult> {
  const own = headers["authorization"] ?? (await authorization());
  return post(operation, own ? { ...headers, authorization: own } : headers);
}
