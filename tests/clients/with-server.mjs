// Starts a server and runs a command with its address in DUOLOGUE_URL: node with-server.mjs COMMAND…

import { spawn } from "node:child_process";
import { once } from "node:events";

import { Server } from "./server.mjs";

const [command, ...args] = process.argv.slice(2);
const ends = [];
const server = await Server.start({ after: (end) => ends.push(end) });
try {
  const child = spawn(command, args, { stdio: "inherit", env: { ...process.env, DUOLOGUE_URL: server.url } });
  const [code] = await once(child, "exit");
  process.exitCode = code ?? 1;
} finally {
  for (const end of ends) await end();
}
