// Records the animation of README.md from the real playground: a reply streams, the server is killed and started again.
//
//     make record      # needs Node, Chromium and ffmpeg, and the binary that `cargo test` builds
//
// Writes docs/reply-survives-kill.gif.

import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Server } from "../clients/server.mjs";
import { browse, panelOf, ready, send, show, signUp, state } from "./browser.mjs";

const FRAMES_PER_SECOND = 8;
const VIEWPORT = { width: 1000, height: 720 };
const target = fileURLToPath(new URL("../../docs/reply-survives-kill.gif", import.meta.url));

/** Takes a screenshot at each frame's time until `stop`; a late frame is shown for the time of the missing ones. */
function film(page, folder) {
  let isFilming = true;
  const frames = [];
  const done = (async () => {
    for (let number = 0; isFilming; number++) {
      const path = join(folder, `${number}.png`);
      const at = Date.now();
      await page.screenshot({ path, animations: "disabled", caret: "hide" });
      frames.push({ path, at });
      await sleep(Math.max(0, at + 1000 / FRAMES_PER_SECOND - Date.now()));
    }
  })();
  return async () => {
    isFilming = false;
    await done;
    return frames;
  };
}

/** Shows a shell command above the page, as an operator types it. */
async function caption(page, text) {
  await page.evaluate((text) => {
    const bar = document.getElementById("caption") ?? document.body.appendChild(document.createElement("div"));
    bar.id = "caption";
    bar.textContent = text;
    const style = "position:fixed;left:56px;bottom:12px;width:436px;box-sizing:border-box;z-index:99;padding:14px 20px;border-radius:8px;background:#111827;color:#a7f3d0";
    bar.setAttribute("style", `${style};font:600 15px ui-monospace,monospace;white-space:pre`);
  }, text);
}

/** Writes the frames as a GIF whose last frame stays for three seconds. */
async function write(frames, folder) {
  const list = frames.map(({ path, at }, number) => {
    const next = frames[number + 1];
    return `file '${path}'\nduration ${next ? (next.at - at) / 1000 : 3}`;
  });
  const script = join(folder, "frames.txt");
  // The concat demuxer ignores the duration of the last entry unless it is repeated.
  await writeFile(script, `${list.join("\n")}\nfile '${frames.at(-1).path}'\n`);
  const filter = `fps=${FRAMES_PER_SECOND},split[a][b];[a]palettegen=max_colors=64:stats_mode=diff[p];[b][p]paletteuse=dither=none:diff_mode=rectangle`;
  const args = ["-y", "-loglevel", "error", "-f", "concat", "-safe", "0", "-i", script, "-vf", filter, "-loop", "0", target];
  await promisify(execFile)("ffmpeg", args);
}

const ends = [];
const t = { after: (end) => ends.unshift(end) };
try {
  const folder = await mkdtemp(join(tmpdir(), "duologue-record-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const server = await Server.start(t);
  const { page } = await browse(t, server.url, { viewport: VIEWPORT, colorScheme: "dark" });
  await page.goto(server.url);
  await ready(page);
  await signUp(page);
  await send(page, "demo/slow");
  await state(page, "STREAMING");
  await show(page, "SendMessage");

  await caption(page, "# a reply streams over a WebSocket");
  const stop = film(page, folder);
  await sleep(4000);
  await caption(page, "$ kill -9 $(pidof duologue)");
  await sleep(900);
  await server.stop("SIGKILL");
  await state(page, "RECONNECTING");
  await sleep(2200);
  await caption(page, "$ duologue");
  await sleep(700);
  await server.start();
  await state(page, "INTERRUPTED");
  await caption(page, "# the saved text is there, and its state");
  await sleep(2500);
  const frames = await stop();
  const text = await panelOf(page).locator(".text").textContent();
  if (text.length < 20) throw new Error(`only ${text.length} characters were saved`);
  await write(frames, folder);
  console.log(`${frames.length} frames in ${target}`);
} finally {
  for (const end of ends) await end();
}
