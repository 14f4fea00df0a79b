// Executes GraphiQL's operations: subscriptions over the WebSocket, queries and mutations by POST.

import type { Fetcher, FetcherOpts, Observable } from "@graphiql/toolkit";
import { type ExecutionResult, GraphQLError, Kind, OperationTypeNode, parse } from "graphql";
import { type Operation, post } from "./http";
import { fill, remember } from "./memory";
import { follow } from "./reply";
import { type Headers, signed } from "./signed";
import { clientFor, reasonOf } from "./socket";

const MODELS = "query Models { models { id isDefault isAvailable } }";

export const fetcher: Fetcher = async (parameters, options) => {
  try {
    let filled = fill(parameters.variables);
    if ("missing" in filled && filled.missing === "model") {
      remember(await post({ query: MODELS }));
      filled = fill(parameters.variables);
    }
    if ("missing" in filled) return problem(filled.why);
    const { kind, name } = operationOf(parameters.query, parameters.operationName);
    const operation: Operation = { query: parameters.query, operationName: name, variables: filled.value };
    const headers: Headers = lowerCase(options);
    if (kind === OperationTypeNode.SUBSCRIPTION) return watch(operation, headers);
    return await run(operation, headers, kind);
  } catch (error) {
    return problem(reasonOf(error));
  }
};

/** An error of the playground itself, as a GraphQL result. */
function problem(message: string): ExecutionResult {
  return { errors: [new GraphQLError(message)] };
}

async function run(operation: Operation, headers: Headers, kind: OperationTypeNode | undefined): Promise<ExecutionResult> {
  const result = await signed(operation, headers);
  remember(result);
  if (kind === OperationTypeNode.MUTATION) {
    for (const payload of Object.values(result.data ?? {})) {
      const id = (payload as { reply?: { id?: unknown } } | null)?.reply?.id;
      if (typeof id === "string") follow(id, headers["authorization"]);
    }
  }
  return result;
}

interface Sink {
  next(result: ExecutionResult): void;
  error(error: unknown): void;
  complete(): void;
}

function watch(operation: Operation, headers: Headers): Observable<ExecutionResult> {
  const own = headers["authorization"];
  const variables = (operation.variables ?? {}) as Record<string, unknown>;
  const subscribe = (sink: Sink) => {
    const { messageId } = variables;
    if (/\breply\s*\(/.test(operation.query) && typeof messageId === "string") follow(messageId, own);
    const unsubscribe = clientFor(own).subscribe({ ...operation, variables }, {
      next: (result) => sink.next(result as ExecutionResult),
      error(error) {
        // Errors of the server are shown unchanged.
        if (Array.isArray(error)) return sink.error(error);
        sink.next(problem(reasonOf(error)));
        sink.complete();
      },
      complete: () => sink.complete(),
    });
    return { unsubscribe };
  };
  // GraphiQL calls `subscribe` only with an observer object.
  return { subscribe: subscribe as Observable<ExecutionResult>["subscribe"] };
}

/**
 * The kind and the name of the operation to execute. Both are read from the query: for a moment after a change of tabs,
 * GraphiQL still passes the name and the document of the previous tab.
 */
function operationOf(query: string, wanted: string | null | undefined): { kind?: OperationTypeNode; name?: string | null | undefined } {
  try {
    const operations = parse(query).definitions.filter((definition) => definition.kind === Kind.OPERATION_DEFINITION);
    const chosen = operations.length === 1 ? operations[0] : operations.find(({ name }) => name?.value === wanted);
    return chosen ? { kind: chosen.operation, name: chosen.name?.value } : { name: wanted };
  } catch {
    // The server returns the syntax error.
    return { name: wanted };
  }
}

function lowerCase(options: FetcherOpts | undefined): Headers {
  const headers: unknown = options?.headers ?? {};
  return Object.fromEntries(Object.entries(headers as Headers).map(([name, value]) => [name.toLowerCase(), value]));
}
