// Tests that CHANGELOG.md names every change that breaks clients of the last release.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { lastRelease, unannounced } from "./breaking-changes.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));

test("CHANGELOG.md names every breaking change of schema.graphql", async (t) => {
  const release = await lastRelease(root);
  if (!release) return t.diagnostic("no release yet: no tag v* to compare schema.graphql with");
  const [schema, changelog] = await Promise.all(["schema.graphql", "CHANGELOG.md"].map((name) => readFile(root + name, "utf8")));
  assert.deepEqual(await unannounced(release, schema, changelog), []);
});

test("a breaking change must be named above the last release", async () => {
  const release = { version: "1.2.0", schema: "type Query { chat(id: ID!): String name: String! old: Int } enum Kind { A B }" };
  const compare = (schema, news = "", olds = "") =>
    unannounced(release, schema, `# Changelog\n\n## [Unreleased]\n\n${news}\n\n## [1.2.0] - 2026-01-01\n\n${olds}\n`);
  const grown = "type Query { chat(id: ID!, more: Int): String name: String! old: Int new: Int } enum Kind { A B C }";
  assert.deepEqual(await compare(grown), [], "additions are not breaking");
  const broken = "type Query { chat(id: ID!, more: Int!): String name: String } enum Kind { A }";
  const paths = ["Kind.B", "Query.chat.more", "Query.name", "Query.old"];
  const found = await compare(broken);
  assert.deepEqual(found.map((line) => line.split(":")[0]).sort(), paths);
  const entries = paths.map((path) => `- \`${path}\``).join("\n");
  assert.deepEqual(await compare(broken, "", entries), found, "an entry of an older release does not count");
  const some = await compare(broken, "- `Query.old` is gone, and `Query.name` may be null.");
  assert.deepEqual(some.map((line) => line.split(":")[0]).sort(), ["Kind.B", "Query.chat.more"]);
  assert.deepEqual(await compare(broken, entries), []);
});

test("the last release is the newest version tag, and may not exist", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "duologue-tags-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  assert.equal(await lastRelease(folder), undefined, "no repository");
  const git = (...args) => execFileSync("git", ["-C", folder, "-c", "user.name=a", "-c", "user.email=a@example.com", ...args]);
  git("init", "--quiet");
  for (const tag of [undefined, "v0.9.0", "v0.10.0", "v0.11.0-rc.1", "vain"]) {
    await writeFile(join(folder, "schema.graphql"), `# ${tag}`);
    git("add", ".");
    git("commit", "--quiet", "--message", `${tag}`);
    if (tag) git("tag", tag);
    else assert.equal(await lastRelease(folder), undefined, "no tag");
  }
  assert.deepEqual(await lastRelease(folder), { version: "0.10.0", schema: "# v0.10.0" });
  const clone = join(folder, "clone");
  execFileSync("git", ["clone", "--quiet", "--depth=1", "--no-tags", `file://${folder}`, clone]);
  assert.equal(await lastRelease(clone), undefined, "a shallow clone");
});
