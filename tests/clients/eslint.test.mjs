// Lints schema.graphql with @graphql-eslint: the recommended rules for schemas and the Relay rules, as configured in
// set-up/eslint.config.mjs.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ESLint } from "eslint";

test("schema.graphql passes the linter", async () => {
  const cwd = fileURLToPath(new URL("../..", import.meta.url));
  process.chdir(cwd);
  const overrideConfigFile = fileURLToPath(new URL("set-up/eslint.config.mjs", import.meta.url));
  const eslint = new ESLint({ cwd, overrideConfigFile });
  const [result] = await eslint.lintFiles(["schema.graphql"]);
  const found = result.messages.map(({ line, ruleId, message }) => `${line}: ${message} (${ruleId})`);
  assert.deepEqual(found, []);
  // Only searches need the rules that the configuration relaxes.
  const strict = new ESLint({
    cwd,
    overrideConfigFile,
    overrideConfig: {
      files: ["**/schema.graphql"],
      rules: {
        "@graphql-eslint/relay-edge-types": ["error", { withEdgeSuffix: true, shouldImplementNode: true, listTypeCanWrapOnlyEdgeType: false }],
        "@graphql-eslint/relay-arguments": ["error", { includeBoth: true }],
      },
    },
  });
  const lines = readFileSync("schema.graphql", "utf8").split("\n");
  const [relaxed] = await strict.lintFiles(["schema.graphql"]);
  const places = relaxed.messages.map(({ line }) => lines[line - 1].trim());
  assert.deepEqual(places, ["type MessageSearchEdge {", "searchMessages(", "searchMessages("]);
  const [broken] = await eslint.lintText("type Query { Chats: [Int] }", { filePath: "schema.graphql" });
  assert.ok(broken.errorCount > 0, "the rules are enabled");
});
