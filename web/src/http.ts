import type { ExecutionResult } from "graphql";

/** A GraphQL request. */
export interface Operation {
  query: string;
  operationName?: string | null | undefined;
  variables?: unknown;
}

/** The path of the GraphQL API, at the origin of this page. */
export const ENDPOINT = "/graphql";

/** The message for a request without a response. */
export const UNREACHABLE =
  `The server at ${location.host} cannot be reached. Check that it is running, then try again.`;

/**
 * Sends an operation by POST.
 *
 * @throws an error with a message for users, if the server cannot be reached or the response is not GraphQL.
 */
export async function post(operation: Operation, headers: Record<string, string> = {}): Promise<ExecutionResult> {
  const request = new Request(ENDPOINT, {
    method: "POST",
    headers: {
      accept: "application/graphql-response+json, application/json;q=0.9",
      "content-type": "application/json",
      ...headers,
    },
    body: JSON.stringify(operation),
    credentials: "omit",
  });
  const response = await fetch(request).catch(() => {
    throw new Error(UNREACHABLE);
  });
  const answer: unknown = await response.json().catch(() => null);
  if (typeof answer !== "object" || answer === null) {
    throw new Error(`The server responded with ${response.status} ${response.statusText}, which is not a GraphQL response.`);
  }
  return answer;
}

/** The error codes of a result. */
export function codes(result: ExecutionResult): unknown[] {
  return (result.errors ?? []).map((error) => error.extensions?.["code"]);
}
