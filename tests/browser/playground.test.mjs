// Tests the playground in a real browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Server } from "../clients/server.mjs";
import { ask, open, panelOf, picture, ready, run, send, show, signUp, skip, start, state, tokens, url, withTokens } from "./browser.mjs";

test("sign up, send a message, watch the tokens arrive", { skip }, async (t) => {
  const { page, problems, sockets } = await open(t);
  await picture(page, "welcome");
  const username = await signUp(page);

  const characters = await run(page, "Characters");
  const [first] = characters.data.characters.nodes;
  const id = await send(page, "demo");
  await start(page, "Reply");
  await state(page, "COMPLETE");
  await picture(page, "complete");

  // After the reload, the panel and the tab share one socket.
  const [init, follow, subscribe] = sockets.at(-1).sent;
  assert.deepEqual(init.payload, { authorization: `Bearer ${(await tokens(page)).accessToken}` });
  assert.deepEqual(follow.payload.variables, { messageId: id });
  assert.deepEqual(subscribe.payload.variables, { messageId: id, after: 0 });
  for (const operation of [follow, subscribe]) {
    const events = sockets.at(-1).received.filter((message) => message.type === "next" && message.id === operation.id);
    const texts = events.filter(({ payload }) => payload.data.reply.__typename === "ReplyText");
    const { content } = events.at(-1).payload.data.reply.message;
    assert.equal(texts.map(({ payload }) => payload.data.reply.text).join(""), content);
    assert.equal(await panelOf(page).locator(".text").textContent(), content);
    if (operation !== follow) continue;
    assert.ok(texts.length >= 5, `only ${texts.length} text events`);
    assert.ok(texts.at(-1).at - texts[0].at >= 100, "the text arrived all at once");
  }
  const content = await panelOf(page).locator(".text").textContent();

  const { me } = (await run(page, "Chats")).data;
  assert.equal(me.username, username);
  assert.deepEqual(me.chats.nodes[0].character, { name: first.name });
  assert.equal(me.chats.nodes[0].messages.nodes.at(-1).content, content);
  await picture(page, "chats");
  assert.deepEqual(problems, []);
});

test("the prepared tabs register, sign in and refresh without the dialog", { skip }, async (t) => {
  const { page, problems } = await open(t);
  assert.match(JSON.stringify(await run(page, "Chats")), /"me":null/);
  const { register } = (await run(page, "Register")).data;
  await page.getByText(`Signed in as ${register.user.username}`).waitFor();
  const { login } = (await run(page, "Login")).data;
  assert.equal(login.user.id, register.user.id);
  assert.notEqual(login.session.id, register.session.id);
  const { refreshSession } = (await run(page, "RefreshSession")).data;
  assert.equal(refreshSession.session.id, login.session.id);
  assert.equal((await tokens(page)).refreshToken, refreshSession.refreshToken);
  assert.equal((await run(page, "Chats")).data.me.username, register.user.username);
  assert.deepEqual(problems, []);
});

test("each browser generates a different password", { skip }, async (t) => {
  const passwords = [];
  for (let browser = 0; browser < 2; browser++) {
    const { page } = await open(t);
    const request = page.waitForRequest((request) => /^mutation Register\b/m.test(request.postDataJSON()?.query));
    await start(page, "Register");
    passwords.push((await request).postDataJSON().variables.input.password);
  }
  assert.ok(passwords[0].length >= 20);
  assert.notEqual(passwords[0], passwords[1]);
});

test("a tab without a value for its placeholder names the tab to run first", { skip }, async (t) => {
  const { page, problems } = await open(t);
  await start(page, "Reply");
  // The editor renders spaces as no-break spaces.
  await page.locator(".graphiql-response").getByText(/has\sno\svalue\syet/).waitFor();
  assert.deepEqual(problems, []);
});

test("a reload keeps the session and the tabs, and refreshes an expired token", { skip }, async (t) => {
  const { page, problems, sockets } = await open(t);
  const username = await signUp(page);
  const tabs = await page.getByRole("tab").count();

  const before = await tokens(page);
  await withTokens(page, { expiresAt: Date.now() - 1 });
  await page.getByText(`Signed in as ${username}`).waitFor();
  assert.equal(await page.getByRole("tab").count(), tabs);
  assert.equal((await run(page, "Chats")).data.me.username, username);
  assert.notEqual((await tokens(page)).refreshToken, before.refreshToken);

  await t.test("a request with a rejected token is repeated with a new one", async () => {
    await withTokens(page, { accessToken: "invalid" });
    await start(page, "Chats");
    await page.locator(".graphiql-response").getByText(username).waitFor();
    assert.notEqual((await tokens(page)).accessToken, "invalid");
  });

  await t.test("a socket with a rejected token is opened again with a new one", async () => {
    await send(page, "demo");
    await state(page, "COMPLETE");
    const before = sockets.length;
    await withTokens(page, { accessToken: "invalid" });
    await start(page, "Reply");
    await page.locator(".graphiql-response").getByText("COMPLETE").first().waitFor();
    const [first, second] = sockets.slice(before).map(({ sent }) => sent[0].payload.authorization);
    assert.equal(first, "Bearer invalid");
    assert.notEqual(second, first);
  });
  assert.deepEqual(problems, []);
});

test("the panel follows the reply to a sent message, and its Stop button stops it", { skip }, async (t) => {
  const { page, problems } = await open(t);
  await signUp(page);
  await run(page, "Characters");
  // No model is stored yet, so the playground chooses the slow demo model, which leaves time to stop the reply.
  const sent = await run(page, "SendMessage");
  assert.equal(sent.data.sendMessage.chat.modelId, "demo/slow");
  await state(page, "STREAMING");
  await panelOf(page).getByText("You wrote").waitFor();
  await picture(page, "streaming");

  await show(page, "Chats");
  assert.equal(await panelOf(page).count(), 0, "tabs without a reply do not show it");
  await show(page, "StopReply");
  await state(page, "STREAMING");
  await page.reload();
  await ready(page);
  await state(page, "STREAMING");

  await panelOf(page).getByRole("button", { name: "Stop" }).click();
  await state(page, "STOPPED");
  assert.equal(await panelOf(page).getByRole("button", { name: "Stop" }).count(), 0);
  await picture(page, "stopped");
  await show(page, "Welcome");
  await show(page, "SendMessage");
  await state(page, "STOPPED");
  const text = await panelOf(page).locator(".text").textContent();
  const query = "query ($id: ID!) { node(id: $id) { ... on Message { status content } } }";
  const { data } = await ask(url, (await tokens(page)).accessToken, query, { id: sent.data.sendMessage.reply.id });
  assert.deepEqual(data.node, { status: "STOPPED", content: text });

  await panelOf(page).getByRole("button", { name: "Close" }).click();
  assert.equal(await panelOf(page).count(), 0);
  await send(page, "demo/slow");
  await state(page, "STREAMING");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("Not signed in").waitFor();
  assert.equal(await panelOf(page).count(), 0, "signing out closes it");
  assert.deepEqual(problems, []);
});

test("the panel shows that a tab stopped the reply", { skip }, async (t) => {
  const { page, problems } = await open(t);
  await signUp(page);
  await send(page, "demo/slow");
  await state(page, "STREAMING");
  await start(page, "Reply");
  await page.locator(".graphiql-response").getByText("ReplyText").waitFor();
  const { stopReply } = (await run(page, "StopReply")).data;
  assert.equal(stopReply.message.status, "STOPPED");
  await state(page, "STOPPED");
  assert.deepEqual(problems, []);
});

test("the panel shows why a reply failed, was not stopped, or is no longer followed", { skip }, async (t) => {
  const { page } = await open(t);
  const username = await signUp(page);
  await send(page, "demo/fails");
  await state(page, "FAILED");
  await panelOf(page).getByRole("alert").getByText("PROVIDER_UNAVAILABLE: ").waitFor();
  await picture(page, "failed");

  const id = await send(page, "demo/slow");
  await state(page, "STREAMING");
  await page.context().setOffline(true);
  // Open connections stay open, but the new request fails.
  await panelOf(page).getByRole("button", { name: "Stop" }).click();
  await panelOf(page).getByRole("alert").getByText("The reply could not be stopped. The server at ").waitFor();
  await picture(page, "not-stopped");
  await page.context().setOffline(false);

  const { accessToken, id: session } = await tokens(page);
  const login = "mutation ($input: LoginInput!) { login(input: $input) { accessToken } }";
  const credentials = { login: username, password: "seven-Quiet-lanterns-41" };
  const elsewhere = (await ask(url, accessToken, login, { input: credentials })).data.login.accessToken;
  const revoke = "mutation ($input: RevokeSessionInput!) { revokeSession(input: $input) { sessionId } }";
  const revoked = await ask(url, elsewhere, revoke, { input: { sessionId: session } });
  assert.equal(revoked.errors, undefined, JSON.stringify(revoked.errors));
  await state(page, "NOT FOLLOWED");
  await panelOf(page).getByRole("alert").getByText("Your session has ended. Please sign in again.").waitFor();
  assert.equal(await panelOf(page).getByRole("button", { name: "Follow again" }).count(), 0, "not while signed out");
  await picture(page, "session-revoked");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByLabel("Username or e-mail").fill(username);
  await page.getByLabel("Password").fill(credentials.password);
  await page.getByRole("dialog").getByRole("button", { name: "Sign in" }).click();
  await page.getByText(`Signed in as ${username}`).waitFor();
  await panelOf(page).getByRole("button", { name: "Follow again" }).click();
  await state(page, "STREAMING");
  const stop = "mutation ($input: StopReplyInput!) { stopReply(input: $input) { message { id } } }";
  await ask(url, (await tokens(page)).accessToken, stop, { input: { messageId: id } });
  await state(page, "STOPPED");
});

test("the panel uses the credentials of the header editor", { skip }, async (t) => {
  const { page, problems, sockets } = await open(t);
  const username = `browser-${Math.random().toString(36).slice(2, 10)}`;
  const register = "mutation ($input: RegisterInput!) { register(input: $input) { accessToken } }";
  const input = { username, email: `${username}@example.com`, password: "seven-Quiet-lanterns-41" };
  const { accessToken } = (await ask(url, undefined, register, { input })).data.register;
  const { nodes } = (await ask(url, accessToken, "{ characters(first: 1) { nodes { id } } }")).data.characters;
  await page.evaluate((id) => sessionStorage.setItem("duologue:known", JSON.stringify([["character", id]])), nodes[0].id);
  await page.reload();
  await ready(page);
  await show(page, "SendMessage");
  await page.getByRole("button", { name: "Headers" }).click();
  await page.locator(".graphiql-editor-tool .monaco-editor:visible").click();
  await page.keyboard.insertText(JSON.stringify({ Authorization: `Bearer ${accessToken}` }));
  const { errors } = await run(page, "SendMessage");
  assert.equal(errors, undefined, JSON.stringify(errors));
  await state(page, "STREAMING");
  await panelOf(page).getByText("You wrote").waitFor();
  assert.deepEqual(sockets.at(-1).sent[0].payload, { authorization: `Bearer ${accessToken}` });
  await panelOf(page).getByRole("button", { name: "Stop" }).click();
  await state(page, "STOPPED");
  const stored = await page.evaluate(() => JSON.stringify({ ...sessionStorage }));
  assert.ok(!stored.includes(accessToken), "the header is not stored");
  assert.deepEqual(problems, []);
});

test("the panel continues after a restart, and an unreachable server is a readable error", { skip }, async (t) => {
  const server = await Server.start(t, { SHUTDOWN_GRACE_SECONDS: "0" });
  const { page } = await open(t, { at: server.url });
  await signUp(page);
  await send(page, "demo/slow");
  await state(page, "STREAMING");
  await server.stop("SIGKILL");
  await state(page, "RECONNECTING");
  await panelOf(page).getByRole("alert").getByText("The connection to the server was lost.").waitFor();
  await picture(page, "reconnecting");

  const unreachable = `The server at ${new URL(server.url).host} cannot be reached.`;
  await start(page, "Chats");
  await page.locator(".graphiql-response").getByText(unreachable.replaceAll(" ", "\u00a0")).waitFor();
  await picture(page, "unreachable");
  await show(page, "Welcome");
  await page.getByRole("button", { name: /^Re-fetch/ }).click();
  await page.locator(".graphiql-response").getByText(unreachable.replaceAll(" ", "\u00a0")).waitFor();
  assert.equal(await page.getByText(/\bat\s+\S+\.js:\d/).count(), 0, "no stack trace");
  await show(page, "SendMessage");
  await server.start();
  await state(page, "INTERRUPTED");
  await panelOf(page).getByRole("alert").getByText("INTERRUPTED: ").waitFor();
  await picture(page, "interrupted");

  await server.stop("SIGKILL");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByLabel("Username or e-mail").fill("somebody");
  await page.getByLabel("Password").fill("wrong");
  await page.getByRole("dialog").getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").getByText(unreachable).waitFor();
});

test("edited operations survive a reload, tab by tab", { skip }, async (t) => {
  const { page, problems } = await open(t);
  const tabs = await page.getByRole("tab").count();
  const editor = page.locator(".graphiql-query-editor .monaco-editor");
  const type = async (text) => {
    await editor.click();
    await page.keyboard.press("Control+A");
    await page.keyboard.press("Delete");
    await page.keyboard.insertText(text);
    await page.waitForFunction((text) => sessionStorage.getItem("graphiql:tabState").includes(text), text);
  };
  await show(page, "Chats");
  await type("query Mine { me { id } }");
  await page.getByRole("button", { name: /^(New|Add) tab$/ }).click();
  await type("query Extra { server { version } }");
  for (const [name, text] of [["Extra", "server"], ["Mine", "me"], ["Welcome", "isRegistrationOpen"], ["SendMessage", "sendMessage"]]) {
    await show(page, name);
    await editor.getByText(text).first().waitFor();
    await page.reload();
    await ready(page);
    await editor.getByText(text).first().waitFor();
    assert.equal(await page.getByRole("tab").count(), tabs + 1);
  }
  await page.locator(".graphiql-editor-tool").getByText("{{character}}").waitFor();
  assert.deepEqual(problems, []);
});

test("the root redirects to the playground, and its assets are compressed", { skip }, async (t) => {
  const { page } = await open(t);
  const codings = [];
  page.on("response", (response) => {
    if (/\.(js|css)$/.test(response.url())) codings.push(response.headers()["content-encoding"]);
  });
  await page.goto(new URL("/", url).href);
  await ready(page);
  assert.equal(page.url(), url);
  for (const [name, coding] of [["br, gzip", "br"], ["gzip", "gzip"], ["identity", null]]) {
    const script = await page.locator("script[src]").getAttribute("src");
    const response = await fetch(new URL(script, url), { headers: { "accept-encoding": name } });
    assert.equal(response.headers.get("content-encoding"), coding);
    assert.ok((await response.text()).length > 1_000_000, "it decompresses to the whole script");
  }
});

for (const colorScheme of ["light", "dark"]) {
  test(`the page fits on a phone, ${colorScheme}`, { skip }, async (t) => {
    const { page, problems } = await open(t, { viewport: { width: 390, height: 844 }, colorScheme, hasTouch: true });
    const fits = async (what) => {
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= 390, `${what}: ${wide} pixels are wider than the screen`);
      for (const name of [".graphiql-query-editor", ".graphiql-response", ".graphiql-execute-button", ".account button"]) {
        const box = await page.locator(name).first().boundingBox();
        assert.ok(box && box.x >= 0 && box.x + box.width <= 390 && box.y + box.height <= 844, `${what}: ${name} ${JSON.stringify(box)}`);
        if (/editor|response/.test(name)) assert.ok(box.width > 300 && box.height > 100, `${what}: ${name} ${JSON.stringify(box)}`);
      }
    };
    await fits("at first");
    await picture(page, `phone-welcome-${colorScheme}`);
    await signUp(page);
    await send(page, "demo/slow");
    await state(page, "STREAMING");
    await panelOf(page).getByText("This is the").waitFor();
    await fits("streaming");
    await picture(page, `phone-streaming-${colorScheme}`);
    await panelOf(page).getByRole("button", { name: "Stop" }).click();
    await state(page, "STOPPED");
    await page.getByRole("button", { name: "Show Documentation Explorer" }).click();
    await page.getByText("Root Types").waitFor();
    await picture(page, `phone-documentation-${colorScheme}`);
    await page.getByRole("button", { name: "Hide Documentation Explorer" }).click();
    await fits("at last");
    assert.deepEqual(problems, []);
  });
}

test("shows that the session was ended by another client", { skip }, async (t) => {
  const { page, problems } = await open(t);
  await signUp(page);
  await withTokens(page, { refreshToken: "invalid", expiresAt: Date.now() - 1 });
  await page.getByText("Your session has ended. Please sign in again.").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.getItem("duologue:session")), null);
  assert.deepEqual(problems, []);
});

test("signing out ends the session on the server", { skip }, async (t) => {
  const { page, problems } = await open(t);
  await signUp(page);
  const { accessToken } = await tokens(page);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("Not signed in").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.getItem("duologue:session")), null);
  const answer = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${accessToken}` },
    body: JSON.stringify({ query: "{ me { id } }" }),
  });
  assert.equal((await answer.json()).errors[0].extensions.code, "UNAUTHENTICATED");
  assert.deepEqual(problems, []);
});

test("the dialog shows errors of the sign-in, each below its field", { skip }, async (t) => {
  const server = await Server.start(t, { LOGIN_LOCKOUT_ATTEMPTS: "2" });
  const { page, problems } = await open(t, { at: server.url, colorScheme: "dark" });
  const dialog = page.getByRole("dialog");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByLabel("Username or e-mail").fill("nobody");
  for (let attempt = 0; attempt < 3; attempt++) {
    await page.getByLabel("Password").fill("wrong");
    const answer = page.waitForResponse((response) => response.request().method() === "POST");
    await dialog.getByRole("button", { name: "Sign in" }).click();
    await answer;
    if (attempt === 0) await dialog.getByRole("alert").getByText(/./).waitFor();
    if (attempt === 0) await picture(page, "wrong-password");
  }
  await dialog.getByText(/Try again in 15 minutes\./).waitFor();
  await picture(page, "locked-out");

  await page.getByRole("button", { name: "Create an account" }).click();
  await page.getByLabel("Username").fill("a b");
  await page.getByLabel("E-mail").fill("a@b.example");
  await page.getByLabel("Password").fill("password");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  for (const name of ["Username", "Password"]) {
    const field = page.getByLabel(name);
    await dialog.getByText(new RegExp(`^${name}: .`)).waitFor();
    assert.equal(await field.getAttribute("aria-invalid"), "true");
    const [input, told] = [await field.boundingBox(), await dialog.getByText(new RegExp(`^${name}: .`)).boundingBox()];
    assert.ok(told.y >= input.y + input.height && told.y < input.y + input.height + 20, "the error is below its field");
  }
  assert.equal(await page.getByLabel("E-mail").getAttribute("aria-invalid"), "false");
  await picture(page, "wrong-fields");
  await page.keyboard.press("Escape");
  assert.equal(await page.getByRole("dialog").count(), 0);
  assert.deepEqual(problems, []);
});
