import { defineConfig } from "vite";
import { compress } from "./compress";

export default defineConfig({
  // The server answers the page at /graphql, and its files below.
  base: "/graphql/",
  plugins: [compress()],
  build: {
    sourcemap: false,
    target: "es2022",
    // A picture or a font inside a style sheet is none to a policy that wants everything from here.
    assetsInlineLimit: 0,
    // The editor is one large file; that is known.
    chunkSizeWarningLimit: 4096,
    // "use client" and its like mean nothing here.
    rolldownOptions: { checks: { moduleLevelDirective: false } },
  },
  worker: { format: "es" },
});
