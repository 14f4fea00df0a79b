import type { ExecutionResult } from "graphql";

/** What GraphiQL, the sign-in and the socket send. */
export interface Operation {
  query: string;
  operationName?: string | null | undefined;
  variables?: unknown;
}

/** Where this page came from answers everything. */
export const ENDPOINT = "/graphql";

/**
 * Sends an operation by POST.
 *
 * @throws when no GraphQL answer arrives: the server is away, or something else answers for it.
 */
export async function post(operation: Operation, headers: Record<string, string> = {}): Promise<ExecutionResult> {
  const response = await fetch(ENDPOINT, {
    method: "POST",
    headers: {
      accept: "application/graphql-response+json, application/json;q=0.9",
      "content-type": "application/json",
      ...headers,
    },
    body: JSON.stringify(operation),
    credentials: "omit",
  });
  const answer: unknown = await response.json().catch(() => null);
  if (typeof answer !== "object" || answer === null) {
    throw new Error(`The server answered ${response.status} ${response.statusText} without GraphQL.`);
  }
  return answer;
}

/** The codes of an answer's errors. */
export function codes(result: ExecutionResult): unknown[] {
  return (result.errors ?? []).map((error) => error.extensions?.["code"]);
}
