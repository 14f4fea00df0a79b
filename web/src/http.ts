import type { ExecutionResult } from "graphql";

/** What GraphiQL, the sign-in and the socket send. */
export interface Operation {
  query: string;
  operationName?: string | null | undefined;
  variables?: unknown;
}

/** Where this page came from answers everything. */
export const ENDPOINT = "/graphql";

/** No answer came at all. */
export const UNREACHABLE =
  `The server at ${location.host} cannot be reached. Check that it is running, then try again.`;

/**
 * Sends an operation by POST.
 *
 * @throws when no GraphQL answer arrives, with a sentence for people: the server is away, or something else answers for it.
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
    throw new Error(`The server answered ${response.status} ${response.statusText} without GraphQL.`);
  }
  return answer;
}

/** The codes of an answer's errors. */
export function codes(result: ExecutionResult): unknown[] {
  return (result.errors ?? []).map((error) => error.extensions?.["code"]);
}
