// The playground in a real browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, picture, run, signUp, skip, start, tokens, url, withTokens } from "./browser.mjs";

test("sign up, send a message, watch the tokens arrive", { skip }, async (t) => {
  const { page, problems, sockets } = await open(t);
  await picture(page, "welcome");
  const username = await signUp(page);

  const characters = await run(page, "Characters");
  const sent = await run(page, "SendMessage");
  assert.equal(sent.errors, undefined);
  assert.equal(sent.data.sendMessage.reply.status, "STREAMING");
  const [first] = characters.data.characters.nodes;

  await start(page, "Reply");
  const panel = page.getByRole("region", { name: "Reply" });
  await panel.getByText("STREAMING").waitFor();
  await picture(page, "streaming");
  await panel.getByText("COMPLETE").waitFor();
  await picture(page, "complete");

  assert.equal(sockets.length, 1);
  const [init, subscribe] = sockets[0].sent;
  assert.deepEqual(init.payload, { authorization: `Bearer ${(await tokens(page)).accessToken}` });
  assert.deepEqual(subscribe.payload.variables, { messageId: sent.data.sendMessage.reply.id, after: 0 });
  const events = sockets[0].received.filter(({ type }) => type === "next");
  const texts = events.filter(({ payload }) => payload.data.reply.__typename === "ReplyText");
  assert.ok(texts.length >= 5, `${texts.length} events are no stream`);
  assert.ok(texts.at(-1).at - texts[0].at >= 100, "it arrived all at once");
  const { content } = events.at(-1).payload.data.reply.message;
  assert.equal(texts.map(({ payload }) => payload.data.reply.text).join(""), content);
  assert.equal(await panel.locator(".text").textContent(), content);

  const { me } = (await run(page, "Chats")).data;
  assert.equal(me.username, username);
  assert.deepEqual(me.chats.nodes[0].character, { name: first.name });
  assert.equal(me.chats.nodes[0].messages.nodes.at(-1).content, content);
  await picture(page, "chats");
  assert.deepEqual(problems, []);
});

test("the prepared tabs alone sign up, sign in and refresh", { skip }, async (t) => {
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

test("each browser prepares a password of its own", { skip }, async (t) => {
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

test("says what to run first", { skip }, async (t) => {
  const { page, problems } = await open(t);
  await start(page, "Reply");
  // The editor writes its spaces as no-break ones.
  await page.locator(".graphiql-response").getByText(/has\sno\svalue\syet/).waitFor();
  assert.deepEqual(problems, []);
});

test("a reload keeps the sign-in and the tabs, and refreshes what has expired", { skip }, async (t) => {
  const { page, problems, sockets } = await open(t);
  const username = await signUp(page);
  const tabs = await page.getByRole("tab").count();

  const before = await tokens(page);
  await withTokens(page, { expiresAt: Date.now() - 1 });
  await page.getByText(`Signed in as ${username}`).waitFor();
  assert.equal(await page.getByRole("tab").count(), tabs);
  assert.equal((await run(page, "Chats")).data.me.username, username);
  assert.notEqual((await tokens(page)).refreshToken, before.refreshToken);

  await t.test("once on UNAUTHENTICATED", async () => {
    await withTokens(page, { accessToken: "dead" });
    await start(page, "Chats");
    await page.locator(".graphiql-response").getByText(username).waitFor();
    assert.notEqual((await tokens(page)).accessToken, "dead");
  });

  await t.test("for the socket", async () => {
    await run(page, "Characters");
    await run(page, "SendMessage");
    await withTokens(page, { accessToken: "dead" });
    await start(page, "Reply");
    await page.getByRole("region", { name: "Reply" }).getByText("COMPLETE").waitFor();
    const [first, second] = sockets.map(({ sent }) => sent[0].payload.authorization);
    assert.equal(first, "Bearer dead");
    assert.notEqual(second, first);
  });
  assert.deepEqual(problems, []);
});

test("says when the session has ended elsewhere", { skip }, async (t) => {
  const { page, problems } = await open(t);
  await signUp(page);
  await withTokens(page, { refreshToken: "dead", expiresAt: Date.now() - 1 });
  await page.getByText("Your session has ended. Please sign in again.").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.getItem("duologue:session")), null);
  assert.deepEqual(problems, []);
});

test("signing out ends the session at the server", { skip }, async (t) => {
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

test("a wrong password is told in the dialog", { skip }, async (t) => {
  const { page, problems } = await open(t, { colorScheme: "dark" });
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByLabel("Username or e-mail").fill("nobody");
  await page.getByLabel("Password").fill("wrong");
  await page.getByRole("dialog").getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").getByRole("paragraph").waitFor();
  await picture(page, "wrong-password");
  await page.keyboard.press("Escape");
  assert.equal(await page.getByRole("dialog").count(), 0);
  assert.deepEqual(problems, []);
});
