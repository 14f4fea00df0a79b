// What would break clients of the last release: graphql-inspector's breaking changes that CHANGELOG.md does not name.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { CriticalityLevel, diff } from "@graphql-inspector/core";
import { buildSchema } from "graphql";

const run = promisify(execFile);

/** The newest release of the repository at `root` by its tags, as `{ version, schema }`; none before the first one. */
export async function lastRelease(root) {
  const git = async (...args) => (await run("git", ["-C", root, ...args])).stdout;
  // Neither an archive without a repository nor a clone without tags has one.
  const tags = await git("tag", "--list", "v*", "--sort=-version:refname").catch(() => "");
  const tag = tags.split("\n").find((name) => /^v\d+\.\d+\.\d+$/.test(name));
  return tag && { version: tag.slice(1), schema: await git("show", `${tag}:schema.graphql`) };
}

/** The breaking changes that the changelog does not name, above the heading of the last release, as `Type.field` in backticks. */
export async function unannounced(release, schema, changelog) {
  const news = changelog.split(`\n## [${release.version}]`)[0];
  const changes = await diff(buildSchema(release.schema), buildSchema(schema));
  const breaking = changes.filter(({ criticality }) => criticality.level === CriticalityLevel.Breaking);
  return breaking.filter(({ path }) => !news.includes(`\`${path}\``)).map(({ path, message }) => `${path}: ${message}`);
}
