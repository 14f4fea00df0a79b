// Finds changes that break clients of the last release: the breaking changes that graphql-inspector reports and that
// CHANGELOG.md does not name.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { CriticalityLevel, diff } from "@graphql-inspector/core";
import { buildSchema } from "graphql";

const run = promisify(execFile);

/** The newest release by the tags of the repository `root`, as `{ version, schema }`; undefined without a release. */
export async function lastRelease(root) {
  const git = async (...args) => (await run("git", ["-C", root, ...args])).stdout;
  // An archive without a repository and a clone without tags have no release.
  const tags = await git("tag", "--list", "v*", "--sort=-version:refname").catch(() => "");
  const tag = tags.split("\n").find((name) => /^v\d+\.\d+\.\d+$/.test(name));
  return tag && { version: tag.slice(1), schema: await git("show", `${tag}:schema.graphql`) };
}

/** The breaking changes that the changelog, above the last release, does not name as `Type.field` in backticks. */
export async function unannounced(release, schema, changelog) {
  const news = changelog.split(`\n## [${release.version}]`)[0];
  const changes = await diff(buildSchema(release.schema), buildSchema(schema));
  const breaking = changes.filter(({ criticality }) => criticality.level === CriticalityLevel.Breaking);
  return breaking.filter(({ path }) => !news.includes(`\`${path}\``)).map(({ path, message }) => `${path}: ${message}`);
}
