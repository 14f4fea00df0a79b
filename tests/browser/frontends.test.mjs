// Builds the frontends of examples/, serves them from their own origin, and tests them in a real browser.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Proxy } from "../clients/proxy.mjs";
import { Server, within } from "../clients/server.mjs";
import { browse, picture, skip } from "./browser.mjs";

const PASSWORD = "seven-Quiet-lanterns-41";

for (const name of ["react-apollo", "react-urql"]) {
  const folder = fileURLToPath(new URL(`../../examples/${name}/`, import.meta.url));

  test(`${name} has fewer than 400 lines`, () => {
    const own = readdirSync(`${folder}src`, { withFileTypes: true }).filter((entry) => entry.isFile());
    const lines = own.flatMap(({ name }) => readFileSync(`${folder}src/${name}`, "utf8").trimEnd().split("\n"));
    assert.ok(lines.length < 400, `${lines.length} lines`);
    for (const line of lines) assert.ok(line.length <= 120, line);
  });

  test(`${name}: sign up, chat, stop, resume, errors`, { skip }, async (t) => {
    const server = await Server.start(t, { LOGIN_LOCKOUT_ATTEMPTS: "2" });
    const proxy = await Proxy.start(t, server.port);
    const address = await serve(t, folder, proxy.url);
    const { page, problems } = await browse(t, address);
    await page.goto(address);
    const messages = page.getByRole("log");
    const last = messages.locator("article").last();
    const state = (name) => messages.locator(`article:last-child[data-status=${name}]`).waitFor();
    const send = async (content) => {
      await page.getByRole("textbox", { name: "Message" }).fill(content);
      await page.getByRole("button", { name: "Send" }).click();
    };

    await t.test("a wrong password, a lockout and an invalid username are shown", async () => {
      await page.getByLabel("Username or e-mail").fill("nobody");
      for (let attempt = 0; attempt < 3; attempt++) {
        await page.getByLabel("Password").fill("wrong");
        const answer = page.waitForResponse((response) => response.request().method() === "POST");
        await page.getByRole("button", { name: "Sign in" }).click();
        await answer;
        await page.getByRole("alert").first().waitFor();
      }
      await page.getByText(/Try again in \d+ seconds\./).waitFor();
      await page.getByRole("button", { name: "Create an account" }).click();
      await page.getByLabel("Username").fill("a b");
      await page.getByLabel("E-mail").fill(`${name}@example.com`);
      await page.getByLabel("Password").fill(PASSWORD);
      await page.getByRole("button", { name: "Create", exact: true }).click();
      await page.locator("label", { hasText: "Username" }).getByRole("alert").waitFor();
      await picture(page, `${name}-sign-up`);
    });

    await t.test("a reply is streamed through a lost connection", async () => {
      await page.getByLabel("Username").fill(name);
      await page.getByRole("button", { name: "Create", exact: true }).click();
      await page.getByLabel("Model").selectOption("demo");
      await send("Tell me about the sea.");
      await last.getByText("This is the").waitFor();
      proxy.cut();
      await state("COMPLETE");
      const { status, content } = await stored(page, server.url);
      assert.deepEqual([status, await last.textContent()], ["COMPLETE", content]);
      await page.getByRole("navigation").getByText("Tell me about the sea.").waitFor();
    });

    await t.test("a second message and its reply are shown once", async () => {
      await send("And of the moon.");
      await last.getByText("“And of the moon.”").waitFor();
      assert.equal(await messages.locator("article").count(), 4);
      await state("COMPLETE");
      await page.getByRole("button", { name: "Send" }).waitFor();
      await picture(page, `${name}-chat`);
    });

    await t.test("a reload resumes the reply, and Stop stops it", async () => {
      await page.getByRole("link", { name: "New chat" }).click();
      await page.getByLabel("Model").selectOption("demo/slow");
      await send("Slowly, please.");
      await last.getByText("This is the").waitFor();
      await page.reload();
      await last.getByText("knows nothing").waitFor();
      await picture(page, `${name}-streaming`);
      await page.getByRole("button", { name: "Stop" }).click();
      await state("STOPPED");
      const { status, content } = await stored(page, server.url);
      assert.deepEqual([status, await last.textContent()], ["STOPPED", `${content}Stopped.`]);
    });

    await t.test("a failed reply shows its error", async () => {
      await page.getByRole("link", { name: "New chat" }).click();
      await page.getByLabel("Model").selectOption("demo/fails");
      await send("Fail, please.");
      await state("FAILED");
      await last.getByRole("alert").getByText(/./).waitFor();
      assert.deepEqual(problems, []);
    });

    await t.test("a crash of the server is shown, and the chat continues after the restart", async () => {
      await page.getByRole("link", { name: "New chat" }).click();
      await page.getByLabel("Model").selectOption("demo/slow");
      await send("Until the crash.");
      await last.getByText("This is the").waitFor();
      await server.stop("SIGKILL");
      await page.getByRole("button", { name: "Stop" }).click();
      await page.getByRole("alert").getByText(/fetch/i).waitFor();
      await picture(page, `${name}-unreachable`);
      await server.start();
      await state("INTERRUPTED");
      await last.getByRole("alert").getByText(/./).waitFor();
      await page.getByRole("button", { name: "Send" }).waitFor();
    });

    await t.test("a rejected token is refreshed, and signing out deletes all stored data", async () => {
      await page.evaluate(() => {
        const tokens = JSON.parse(localStorage.getItem("duologue-tokens"));
        localStorage.setItem("duologue-tokens", JSON.stringify({ ...tokens, accessToken: "invalid" }));
      });
      await page.reload();
      await page.getByRole("navigation").getByText("Until the crash.").waitFor();
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.getByLabel("Username or e-mail").waitFor();
      assert.equal(await page.evaluate(() => localStorage.length), 0);
    });
  });
}

/** The newest message of the open chat, read from the server. */
async function stored(page, url) {
  const { accessToken } = JSON.parse(await page.evaluate(() => localStorage.getItem("duologue-tokens")));
  const query = "query ($id: ID!) { chat(id: $id) { messages(last: 1) { nodes { status content } } } }";
  const id = new URL(page.url()).hash.slice(1);
  const headers = { "content-type": "application/json", authorization: `Bearer ${accessToken}` };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify({ query, variables: { id } }) });
  return (await answer.json()).data.chat.messages.nodes[0];
}

/** Builds a frontend for this server and serves it; answers where. */
async function serve(t, folder, server) {
  const out = await mkdtemp(join(tmpdir(), "duologue-frontend-"));
  t.after(() => rm(out, { recursive: true, force: true }));
  const env = { ...process.env, VITE_DUOLOGUE_URL: server };
  const options = { cwd: folder, env };
  const build = promisify(execFile)("npm", ["run", "build", "--", "--outDir", out, "--emptyOutDir"], options);
  await build.catch(({ stdout, stderr }) => assert.fail(`${stdout}\n${stderr}`));
  const preview = ["preview", "--host", "127.0.0.1", "--port", "0", "--outDir", out];
  const vite = spawn(process.execPath, ["node_modules/vite/bin/vite.js", ...preview], options);
  t.after(async () => {
    const exit = once(vite, "exit");
    vite.kill();
    await exit;
  });
  const lines = createInterface({ input: vite.stdout });
  const address = new Promise((resolve) => {
    lines.on("line", (line) => {
      const [found] = line.replaceAll(/\u001b\[[\d;]*m/g, "").match(/http:\/\/127\.0\.0\.1:\d+\//) ?? [];
      if (found) resolve(found);
    });
  });
  return within("the start of vite preview", address);
}
