// Test accounts, and requests with plain fetch, so that they do not depend on a client library under test.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";

import { JWT_SECRET } from "./server.mjs";

let count = 0;

/** Executes an operation and returns its data. An error fails the test. */
export async function ask(url, query, variables, accessToken) {
  const headers = { "content-type": "application/json" };
  if (accessToken) headers.authorization = `Bearer ${accessToken}`;
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify({ query, variables }) });
  const { data, errors } = await response.json();
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data;
}

/** Registers a new user and returns the tokens. */
export async function register(url) {
  const username = `reader-${process.pid}-${(count += 1)}`;
  const input = { username, email: `${username}@example.com`, password: "velvet otter counts 41 lanterns" };
  const query = `mutation ($input: RegisterInput!) {
    register(input: $input) { accessToken accessTokenExpiresAt refreshToken }
  }`;
  return (await ask(url, query, { input })).register;
}

/** Sends a message in a new chat. Returns the ids of the chat and of the reply. */
export async function send(url, accessToken, modelId = "demo") {
  const query = `mutation ($input: SendMessageInput!) { sendMessage(input: $input) { chat { id } reply { id } } }`;
  const input = { newChat: { modelId }, content: "Tell me about the sea, in ten words: Grüße, 世界!" };
  const { chat, reply } = (await ask(url, query, { input }, accessToken)).sendMessage;
  return { chatId: chat.id, messageId: reply.id };
}

/** Reads a message from the server, without a client's cache. */
export async function stored(url, accessToken, id) {
  const query = `query ($id: ID!) { node(id: $id) { ... on Message { id status content position } } }`;
  return (await ask(url, query, { id }, accessToken)).node;
}

/** The same tokens, with an access token that expires in the given number of seconds. */
export function shortLived(tokens, seconds) {
  const [header, payload] = tokens.accessToken.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url"));
  claims.exp = Math.floor(Date.now() / 1000) + seconds;
  const signed = `${header}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}`;
  const signature = createHmac("sha256", JWT_SECRET).update(signed).digest("base64url");
  const accessTokenExpiresAt = new Date(claims.exp * 1000).toISOString();
  return { ...tokens, accessToken: `${signed}.${signature}`, accessTokenExpiresAt };
}
