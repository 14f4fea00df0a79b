// A Chromium that reaches nothing but the server under test, and a watch over what its pages do.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const url = process.env.DUOLOGUE_URL ?? "http://127.0.0.1:8000/graphql";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Why there is nothing to test with; false when there is. In CI a missing browser is a failure. */
export const skip =
  !existsSync(executablePath) && process.env.CI !== "true" ? `no browser: ${executablePath} is not there` : false;

/** Opens the playground, of another server where `at` names one; the answer's `problems` are what must stay empty. */
export async function open(t, { at = url, ...options } = {}) {
  const { context, page, problems, sockets } = await browse(t, at, options);
  await page.goto(at);
  await ready(page);
  return { context, page, problems, sockets };
}

/** A browser with an empty page, which may reach only the host of `at`. */
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

/** The editors are there only a moment after the buttons. */
export async function ready(page) {
  for (const name of ["query-editor", "response"]) await page.locator(`.graphiql-${name} .monaco-editor`).waitFor();
}

/** Requests to anywhere else, errors in the console, and breaches of the page's policy, which are errors there too. */
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

/** Every socket of the page: the messages that went each way, and when they came. */
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

/** Runs one of the prepared tabs, and answers what the server said to it. */
export async function run(page, name) {
  const operation = new RegExp(`^(query|mutation) ${name}\\b`, "m");
  const answer = page.waitForResponse((response) => operation.test(response.request().postDataJSON()?.query));
  await start(page, name);
  return (await answer).json();
}

/** Opens one of the prepared tabs. */
export async function show(page, name) {
  await page.getByRole("tablist").getByRole("button", { name, exact: true }).click();
}

/** Presses the button of one of the prepared tabs. */
export async function start(page, name) {
  await show(page, name);
  await page.getByRole("button", { name: /^Execute/ }).click();
}

/** Keeps a picture where somebody asked for pictures. */
export async function picture(page, name) {
  if (process.env.PICTURES) await page.screenshot({ path: join(process.env.PICTURES, `${name}.png`) });
}

/** Signs up through the dialog. */
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

/** The tokens as the page keeps them. */
export async function tokens(page) {
  const session = JSON.parse(await page.evaluate(() => sessionStorage.getItem("duologue:session")));
  assert.ok(session?.accessToken, "no tokens are kept");
  return session;
}

/** Sends a message to this model from the prepared tab; answers the id of the reply. */
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

/** The panel of the reply. */
export const panelOf = (page) => page.getByRole("region", { name: "Reply" });

/** Waits until the panel shows this state. */
export async function state(page, name) {
  await panelOf(page).getByRole("status").getByText(name, { exact: true }).waitFor();
}

/** Asks the server outside of the page. */
export async function ask(at, accessToken, query, variables) {
  const headers = { "content-type": "application/json", ...(accessToken && { authorization: `Bearer ${accessToken}` }) };
  const answer = await fetch(at, { method: "POST", headers, body: JSON.stringify({ query, variables }) });
  return answer.json();
}

/** Changes the tokens that the page keeps, and loads it anew. */
export async function withTokens(page, changes) {
  const session = { ...(await tokens(page)), ...changes };
  await page.evaluate((text) => sessionStorage.setItem("duologue:session", text), JSON.stringify(session));
  await page.reload();
  await ready(page);
}
