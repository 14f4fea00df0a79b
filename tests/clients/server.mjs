// A server for one suite: the real binary on a port and a database of its own.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
const binary = process.env.DUOLOGUE_BIN ?? join(target, "debug/duologue");

/** Signs the tokens of every test server, so that a test can make one that expires soon. */
export const JWT_SECRET = "only for tests: all of the world may know this secret";

/** How long a start or a stop may take; a debug build on a busy machine needs a second. */
const LIMIT = 30_000;

export class Server {
  #folder;
  #settings;
  #child;
  #port = 0;

  /** Starts one that ends with the test or suite `t`, with these settings besides those of every test. */
  static async start(t, settings = {}) {
    if (!existsSync(binary)) throw new Error(`${binary} is not there: cargo build makes it`);
    const server = new Server();
    server.#settings = settings;
    server.#folder = await mkdtemp(join(tmpdir(), "duologue-clients-"));
    t.after(async () => {
      await server.stop("SIGKILL");
      await rm(server.#folder, { recursive: true, force: true });
    });
    await server.start();
    return server;
  }

  get port() {
    return this.#port;
  }

  get url() {
    return `http://127.0.0.1:${this.#port}/graphql`;
  }

  /** Starts it again on the same data and port. */
  async start() {
    // No variable of this machine but the path: a key would turn real models on.
    const env = {
      PATH: process.env.PATH,
      PORT: String(this.#port),
      DATA_DIR: join(this.#folder, "data"),
      LOG_FORMAT: "json",
      SHUTDOWN_GRACE_SECONDS: "10",
      // The tests ask more often than people do.
      RATE_LIMIT_PER_MINUTE: "0",
      CHAT_RATE_LIMIT_PER_MINUTE: "0",
      JWT_SECRET,
      ...this.#settings,
    };
    this.#child = spawn(binary, { cwd: this.#folder, env, stdio: ["ignore", "ignore", "pipe"] });
    const said = [];
    this.#port = await within(`the start of ${binary}`, new Promise((resolve, reject) => {
      const lines = createInterface({ input: this.#child.stderr });
      lines.on("line", (line) => {
        said.push(line);
        const address = line.startsWith("{") && JSON.parse(line).fields.address;
        if (address) resolve(Number(address.split(":").at(-1)));
      });
      lines.on("close", () => reject(new Error(`the server did not start:\n${said.join("\n")}`)));
    }));
  }

  /** Stops it: SIGTERM as an operator does, SIGKILL as a crash does. */
  async stop(signal = "SIGTERM") {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, "exit");
    this.#child.kill(signal);
    await within(`the stop by ${signal}`, exit);
  }
}

/** What comes of a promise that must not take for ever. */
export function within(what, promise, limit = LIMIT) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} takes longer than ${limit} ms`)), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
