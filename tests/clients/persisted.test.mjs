// Tests the set-ups of docs/clients.md for automatic persisted queries (@apollo/client and urql), and hashes over a
// WebSocket.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { createPersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { Client, fetchExchange } from "@urql/core";
import { print } from "graphql";

import { register, send } from "./account.mjs";
import { Server, within } from "./server.mjs";
import { connect } from "./set-up/graphql-ws.mjs";
import { persistedExchange, persistedLink, sha256 } from "./set-up/persisted.mjs";
import { Session } from "./set-up/session.mjs";

/** A `fetch` that records the method of each request, and whether it contains a hash and a document text. */
function recorder() {
  const requests = [];
  const recording = (url, options) => {
    const { method = "GET" } = options;
    const parameters = method === "GET" ? Object.fromEntries(new URL(url).searchParams) : JSON.parse(options.body);
    const hash = parameters.extensions && /"?sha256Hash/.test(JSON.stringify(parameters.extensions));
    requests.push(`${method}${hash ? " hash" : ""}${parameters.query ? " text" : ""}`);
    return fetch(url, options);
  };
  const recorded = () => requests.splice(0);
  return { recording, recorded };
}

const apollo = (url, link, fetch) =>
  new ApolloClient({ link: ApolloLink.from([link, new HttpLink({ uri: url, fetch })]), cache: new InMemoryCache() });

test("apollo sends the text of a document once", async (t) => {
  const server = await Server.start(t);
  const { recording, recorded } = recorder();
  const query = gql`query Name { server { id name } }`;
  const ask = async (client) => {
    const { data } = await client.query({ query, fetchPolicy: "network-only" });
    assert.equal(typeof data.server.name, "string");
    return recorded();
  };
  const client = apollo(server.url, persistedLink(), recording);
  assert.deepEqual(await ask(client), ["POST hash", "POST hash text"]);
  assert.deepEqual(await ask(client), ["POST hash"]);
  const other = apollo(server.url, persistedLink(), recording);
  assert.deepEqual(await ask(other), ["POST hash"], "another client does not send the text either");

  const byGet = apollo(server.url, createPersistedQueryLink({ sha256, useGETForHashedQueries: true }), recording);
  assert.deepEqual(await ask(byGet), ["GET hash"]);
  await server.stop();
  await server.start();
  const [first, second] = await ask(byGet);
  assert.equal(first, "GET hash");
  assert.match(second, / hash text$/, "a restarted server requires the text again");
  assert.deepEqual(await ask(byGet), ["GET hash"]);
});

test("apollo sends mutations by POST, and the server does not store invalid documents", async (t) => {
  const server = await Server.start(t);
  const { recording, recorded } = recorder();
  const client = apollo(server.url, createPersistedQueryLink({ sha256, useGETForHashedQueries: true }), recording);
  const mutation = gql`mutation ($input: LoginInput!) { login(input: $input) { accessToken } }`;
  const variables = { input: { login: "nobody", password: "velvet otter counts 41 lanterns" } };
  for (const wanted of [["POST hash", "POST hash text"], ["POST hash"]]) {
    const { error } = await client.mutate({ mutation, variables, errorPolicy: "all" });
    assert.equal(error.errors[0].extensions.code, "INVALID_CREDENTIALS");
    assert.deepEqual(recorded(), wanted);
  }
  for (let round = 0; round < 2; round += 1) {
    const { error } = await client.query({ query: gql`{ nothing }`, errorPolicy: "all", fetchPolicy: "network-only" });
    assert.equal(error.errors[0].extensions.code, "INVALID_DOCUMENT");
    assert.equal(recorded().length, 2, "an invalid document is not stored");
  }
});

test("urql sends the text of a document once", async (t) => {
  const server = await Server.start(t);
  const { recording, recorded } = recorder();
  const open = (options) =>
    new Client({ url: server.url, fetch: recording, exchanges: [persistedExchange(options), fetchExchange], requestPolicy: "network-only" });
  const ask = async (client) => {
    const { data, error } = await client.query("query Name { server { id name } }", {}).toPromise();
    assert.equal(error, undefined, String(error));
    assert.equal(typeof data.server.name, "string");
    return recorded();
  };
  const client = open({});
  const [first, second] = await ask(client);
  assert.equal(first, "GET hash", "urql sends short queries by GET");
  assert.match(second, / hash text$/);
  assert.deepEqual(await ask(client), ["GET hash"]);
  assert.deepEqual(await ask(open({ preferGetForPersistedQueries: false })), ["POST hash"]);
});

test("hashes over a WebSocket", async (t) => {
  const server = await Server.start(t);
  const tokens = await register(server.url);
  const { messageId } = await send(server.url, tokens.accessToken, "demo");
  const sockets = connect(server.url, new Session(server.url, tokens));
  t.after(() => sockets.dispose());
  const query = gql`subscription ($messageId: ID!) { reply(messageId: $messageId) { __typename position } }`;
  const last = (link) =>
    within("the reply", new Promise((resolve, reject) => {
      const client = new ApolloClient({ link, cache: new InMemoryCache() });
      let event;
      client.subscribe({ query, variables: { messageId } }).subscribe({
        next: ({ data, error }) => (error ? reject(error) : (event = data.reply)),
        error: reject,
        complete: () => resolve(event),
      });
    }));
  // Apollo's WebSocket link sends the text with the hash. graphql-ws sends an empty text if there is none.
  assert.equal((await last(ApolloLink.from([persistedLink(), new GraphQLWsLink(sockets)]))).__typename, "ReplyFinished");
  const extensions = { persistedQuery: { version: 1, sha256Hash: await sha256(print(query)) } };
  const iterate = async (payload) => {
    const results = [];
    for await (const result of sockets.iterate(payload)) results.push(result);
    return results;
  };
  const known = await iterate({ query: "", variables: { messageId }, extensions });
  assert.equal(known.at(-1).data.reply.__typename, "ReplyFinished");
  const other = { persistedQuery: { version: 1, sha256Hash: await sha256("{ me { id } }") } };
  await assert.rejects(iterate({ query: "", extensions: other }), ([error]) => error.message === "PersistedQueryNotFound");
});
