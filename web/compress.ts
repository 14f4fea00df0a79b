// Writes a .br and a .gz file for each asset that becomes smaller by it, so that the server need not compress assets.

import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import type { Plugin } from "vite";

const CODINGS = {
  br: (content: Buffer) => promisify(brotliCompress)(content, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: content.length } }),
  gz: (content: Buffer) => promisify(gzip)(content, { level: 9 }),
};

/** The minimum size of a file to compress, in bytes. A smaller file fits in one packet without compression. */
const SMALLEST = 1024;

export function compress(): Plugin {
  return {
    name: "compress",
    apply: "build",
    async writeBundle({ dir }) {
      // `npm run watch` does not compress, which keeps its builds fast.
      if (!dir || this.meta.watchMode) return;
      const folder = join(dir, "assets");
      for (const name of await readdir(folder)) {
        const content = await readFile(join(folder, name));
        if (content.length < SMALLEST) continue;
        await Promise.all(
          Object.entries(CODINGS).map(async ([end, code]) => {
            const coded = await code(content);
            if (coded.length < content.length * 0.95) await writeFile(join(folder, `${name}.${end}`), coded);
          }),
        );
      }
    },
  };
}
