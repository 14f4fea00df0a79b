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

/** Opens the playground; the answer's `problems` are what must stay empty. */
export async function open(t, options = {}) {
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
      `--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE ${new URL(url).hostname}`,
    ],
    ...options,
  });
  t.after(async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  });
  const page = await context.newPage();
  const problems = watch(context, page);
  const sockets = listen(page);
  await page.goto(url);
  await ready(page);
  return { page, problems, sockets };
}

/** The editors are there only a moment after the buttons. */
async function ready(page) {
  for (const name of ["query-editor", "response"]) await page.locator(`.graphiql-${name} .monaco-editor`).waitFor();
}

/** Requests to anywhere else, errors in the console, and breaches of the page's policy, which are errors there too. */
function watch(context, page) {
  const problems = [];
  const { host } = new URL(url);
  context.on("request", (request) => {
    const address = new URL(request.url());
    if (address.protocol.startsWith("http") && address.host !== host) problems.push(`request to ${address}`);
    if (address.protocol === "data:" && request.resourceType() === "script") problems.push("a script from a data address");
  });
  page.on("websocket", (socket) => {
    if (new URL(socket.url()).host !== host) problems.push(`socket to ${socket.url()}`);
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

/** Presses the button of one of the prepared tabs. */
export async function start(page, name) {
  await page.getByRole("tablist").getByRole("button", { name, exact: true }).click();
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

/** Changes the tokens that the page keeps, and loads it anew. */
export async function withTokens(page, changes) {
  const session = { ...(await tokens(page)), ...changes };
  await page.evaluate((text) => sessionStorage.setItem("duologue:session", text), JSON.stringify(session));
  await page.reload();
  await ready(page);
}
