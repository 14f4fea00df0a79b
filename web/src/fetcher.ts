// How GraphiQL's operations reach the server: subscriptions over the socket, all else by POST.

import type { Fetcher, FetcherOpts, Observable } from "@graphiql/toolkit";
import { type ExecutionResult, GraphQLError, Kind, OperationTypeNode, parse } from "graphql";
import { type Client, CloseCode, createClient } from "graphql-ws";
import { codes, ENDPOINT, type Operation, post } from "./http";
import { fill, remember } from "./memory";
import { begin, take } from "./reply";
import { authorization, expire, refresh, session } from "./session";

type Headers = Record<string, string>;

export const fetcher: Fetcher = (parameters, options) => {
  const filled = fill(parameters.variables);
  if ("missing" in filled) return problem(filled.missing);
  const { kind, name } = look(parameters.query, parameters.operationName);
  const operation: Operation = { query: parameters.query, operationName: name, variables: filled.value };
  const headers: Headers = lowerCase(options);
  return kind === OperationTypeNode.SUBSCRIPTION ? watch(operation, headers) : run(operation, headers);
};

/** Something that went wrong here, in the form of an answer. */
function problem(message: string): ExecutionResult {
  return { errors: [new GraphQLError(message)] };
}

async function run(operation: Operation, headers: Headers): Promise<ExecutionResult> {
  let result = await signed(operation, headers);
  const isRefused = codes(result).includes("UNAUTHENTICATED");
  // What ran already must not run twice.
  const hasRun = Object.values(result.data ?? {}).some((value) => value !== null);
  if (isRefused && !hasRun && !headers["authorization"] && session.get() && (await refresh())) {
    result = await signed(operation, headers);
  }
  remember(result);
  return result;
}

async function signed(operation: Operation, headers: Headers): Promise<ExecutionResult> {
  // The headers that somebody typed win.
  const own = headers["authorization"] ?? (await authorization());
  return post(operation, own ? { ...headers, authorization: own } : headers);
}

function connect(credentials: () => Promise<string | undefined>): Client {
  return createClient({
    url: new URL(ENDPOINT, location.href).href.replace(/^http/, "ws"),
    connectionParams: async () => {
      const value = await credentials();
      return value ? { authorization: value } : {};
    },
    retryAttempts: 8,
    retryWait: (retries) => new Promise((done) => setTimeout(done, Math.min(250 * 2 ** retries, 8_000))),
    shouldRetry: () => true,
    on: {
      // The server closes a socket whose token expired: the next attempt brings a new one.
      closed: (event) => (event as CloseEvent).code === CloseCode.Forbidden && expire(),
    },
  });
}

const socket = connect(authorization);
let signedInAs = session.get()?.id;
session.subscribe(() => {
  const id = session.get()?.id;
  if (id !== signedInAs) socket.terminate();
  signedInAs = id;
});

interface Sink {
  next(result: ExecutionResult): void;
  error(error: unknown): void;
  complete(): void;
}

function watch(operation: Operation, headers: Headers): Observable<ExecutionResult> {
  const own = headers["authorization"];
  const client = own ? connect(async () => own) : socket;
  const subscribe = (sink: Sink) => {
    begin();
    const payload = { ...operation, variables: operation.variables as Record<string, unknown> };
    const unsubscribe = client.subscribe(payload, {
      next(result) {
        const answer = result as ExecutionResult;
        take(answer);
        sink.next(answer);
      },
      error(error) {
        // A close event has no message of its own.
        if (!(error instanceof CloseEvent)) return sink.error(error);
        sink.next(problem(`The socket closed with ${error.code}${error.reason && `: ${error.reason}`}.`));
        sink.complete();
      },
      complete: () => sink.complete(),
    });
    return { unsubscribe };
  };
  // GraphiQL calls the form with one object only.
  return { subscribe: subscribe as Observable<ExecutionResult>["subscribe"] };
}

/**
 * What kind of operation is to run, and its name. For a moment after a change of tabs GraphiQL still names that of the tab
 * before, and gives its document too: the query alone is believed.
 */
function look(query: string, wanted: string | null | undefined): { kind?: OperationTypeNode; name?: string | null | undefined } {
  try {
    const operations = parse(query).definitions.filter((definition) => definition.kind === Kind.OPERATION_DEFINITION);
    const chosen = operations.length === 1 ? operations[0] : operations.find(({ name }) => name?.value === wanted);
    return chosen ? { kind: chosen.operation, name: chosen.name?.value } : { name: wanted };
  } catch {
    // The server says what is wrong with it.
    return { name: wanted };
  }
}

function lowerCase(options: FetcherOpts | undefined): Headers {
  const headers: unknown = options?.headers ?? {};
  return Object.fromEntries(Object.entries(headers as Headers).map(([name, value]) => [name.toLowerCase(), value]));
}
