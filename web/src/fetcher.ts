// How GraphiQL's operations reach the server: subscriptions over the socket, all else by POST.

import type { Fetcher, FetcherOpts, Observable } from "@graphiql/toolkit";
import { getOperationAST, GraphQLError, Kind, parse, type DocumentNode, type ExecutionResult } from "graphql";
import { type Client, CloseCode, createClient } from "graphql-ws";
import { codes, ENDPOINT, type Operation, post } from "./http";
import { fill, remember } from "./memory";
import { begin, take } from "./reply";
import { authorization, expire, refresh, session } from "./session";

type Headers = Record<string, string>;

export const fetcher: Fetcher = (parameters, options) => {
  const operation: Operation = { ...parameters, variables: fill(parameters.variables) };
  const headers: Headers = lowerCase(options);
  return isSubscription(operation, options?.documentAST) ? watch(operation, headers) : run(operation, headers);
};

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
      error: (error) => sink.error(explain(error)),
      complete: () => sink.complete(),
    });
    return { unsubscribe };
  };
  // GraphiQL calls the form with one object only.
  return { subscribe: subscribe as Observable<ExecutionResult>["subscribe"] };
}

/** Something that can be shown: a close event has no message of its own. */
function explain(error: unknown): unknown {
  if (error instanceof CloseEvent) {
    return new GraphQLError(`The socket closed with ${error.code}${error.reason && `: ${error.reason}`}.`);
  }
  return error;
}

function isSubscription({ query, operationName }: Operation, document: DocumentNode | undefined): boolean {
  try {
    const operation = getOperationAST(document ?? parse(query), operationName);
    return operation?.kind === Kind.OPERATION_DEFINITION && operation.operation === "subscription";
  } catch {
    return false;
  }
}

function lowerCase(options: FetcherOpts | undefined): Headers {
  const headers: unknown = options?.headers ?? {};
  return Object.fromEntries(Object.entries(headers as Headers).map(([name, value]) => [name.toLowerCase(), value]));
}
