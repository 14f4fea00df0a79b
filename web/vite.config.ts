import { defineConfig } from "vite";
import { compress } from "./compress";

export default defineConfig({
  // The server serves the page at /graphql, and its files below that path.
  base: "/graphql/",
  plugins: [compress()],
  build: {
    sourcemap: false,
    target: "es2022",
    // The content security policy does not allow data: addresses in style sheets.
    assetsInlineLimit: 0,
    // The editor is one large file.
    chunkSizeWarningLimit: 4096,
    // Directives such as "use client" have no effect here.
    rolldownOptions: { checks: { moduleLevelDirective: false } },
  },
  worker: { format: "es" },
});
