// Starts Chromium with access to the server under test only, and records the errors and sockets of its pages.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const url = process.env.DUOLOGUE_URL ?? "http://127.0.0.1:8000/graphql";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** The reason to skip the tests, or false. In CI, a missing browser is a failure. */
export const skip =
  !existsSync(executablePath) && process.env.CI !== "true" ? `no browser: ${executablePath} does not exist` : false;

/** Opens the playground of the server at `at`. The test asserts that `problems` of the result is empty. */
export async function open(t, { at = url, ...options } = {}) {
  const { context, page, problems, sockets } = await browse(t, at, options);
  await page.goto(at);
  await ready(page);
  return { context, page, problems, sockets };
}

/** Starts a browser with an empty page. It can connect only to the host of `at`. */
export async function browse(t, at, options = {}) {
  const profile = await mkdtemp(join(tmpdir(), "duologue-browser-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    viewport: { width: 1400, height: 900 },
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      `--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE ${new URL(at).hostname}`,
    ],
    ...options,
  });
  t.after(async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  });
  const page = await context.newPage();
  return { context, page, problems: watch(context, page, new URL(at)), sockets: listen(page) };
}

/** Waits for the editors, which appear later than the buttons. */
export async function ready(page) {
  for (const name of ["query-editor", "response"]) await page.locator(`.graphiql-${name} .monaco-editor`).waitFor();
}

/**
 * Records requests to other hosts, and errors and warnings in the console, which include violations of the content
 * security policy.
 */
function watch(context, page, { hostname }) {
  const problems = [];
  context.on("request", (request) => {
    const address = new URL(request.url());
    if (address.protocol.startsWith("http") && address.hostname !== hostname) problems.push(`request to ${address}`);
    if (address.protocol === "data:" && request.resourceType() === "script") problems.push("a script from a data address");
  });
  page.on("websocket", (socket) => {
    if (new URL(socket.url()).hostname !== hostname) problems.push(`socket to ${socket.url()}`);
  });
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(error.message));
  return problems;
}

/** Records the messages of every WebSocket of the page, with the times of the received ones. */
function listen(page) {
  const sockets = [];
  page.on("websocket", (socket) => {
    const record = { sent: [], received: [] };
    sockets.push(record);
    socket.on("framesent", ({ payload }) => record.sent.push(JSON.parse(payload)));
    socket.on("framereceived", ({ payload }) => record.received.push({ at: Date.now(), ...JSON.parse(payload) }));
  });
  return sockets;
}

/** Executes a prepared tab and returns the response of the server. */
export async function run(page, name) {
  const operation = new RegExp(`^(query|mutation) ${name}\\b`, "m");
  const answer = page.waitForResponse((response) => operation.test(response.request().postDataJSON()?.query));
  await start(page, name);
  return (await answer).json();
}

/** Opens a prepared tab. */
export async function show(page, name) {
  await page.getByRole("tablist").getByRole("button", { name, exact: true }).click();
}

/** Opens a prepared tab and clicks its Execute button. */
export async function start(page, name) {
  await show(page, name);
  await page.getByRole("button", { name: /^Execute/ }).click();
}

/** Saves a screenshot in the folder PICTURES, if that variable is set. */
export async function picture(page, name) {
  if (process.env.PICTURES) await page.screenshot({ path: join(process.env.PICTURES, `${name}.png`) });
}

/** Registers a new user with the dialog. Returns the username. */
export async function signUp(page) {
  const username = `browser-${Math.random().toString(36).slice(2, 10)}`;
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: "Create an account" }).click();
  await page.getByLabel("Username").fill(username);
  await page.getByLabel("E-mail").fill(`${username}@example.com`);
  await page.getByLabel("Password").fill("seven-Quiet-lanterns-41");
  await picture(page, "sign-up");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await page.getByText(`Signed in as ${username}`).waitFor();
  return username;
}

/** The tokens that the page has stored. */
export async function tokens(page) {
  const session = JSON.parse(await page.evaluate(() => sessionStorage.getItem("duologue:session")));
  assert.ok(session?.accessToken, "no tokens are stored");
  return session;
}

/** Sends a message to a model with the prepared tab. Returns the id of the reply. */
export async function send(page, model) {
  await run(page, "Characters");
  await page.evaluate((model) => {
    const known = new Map(JSON.parse(sessionStorage.getItem("duologue:known") ?? "[]"));
    sessionStorage.setItem("duologue:known", JSON.stringify([...known.set("model", model)]));
  }, model);
  await page.reload();
  await ready(page);
  const { data, errors } = await run(page, "SendMessage");
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data.sendMessage.reply.id;
}

/** The reply panel. */
export const panelOf = (page) => page.getByRole("region", { name: "Reply" });

/** Waits until the panel shows this state. */
export async function state(page, name) {
  await panelOf(page).getByRole("status").getByText(name, { exact: true }).waitFor();
}

/** Executes an operation from outside the page. */
export async function ask(at, accessToken, query, variables) {
  const headers = { "content-type": "application/json", ...(accessToken && { authorization: `Bearer ${accessToken}` }) };
  const answer = await fetch(at, { method: "POST", headers, body: JSON.stringify({ query, variables }) });
  return answer.json();
}

/** Changes the stored tokens of the page and reloads it. */
export async function withTokens(page, changes) {
  const session = { ...(await tokens(page)), ...changes };
  await page.evaluate((text) => sessionStorage.setItem("duologue:session", text), JSON.stringify(session));
  await page.reload();
  await ready(page);
}
