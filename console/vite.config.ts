import { defineConfig } from "vite";

// Fixed names: the built files are kept under version control, and the server names each of them.
export default defineConfig({
  base: "./",
  build: {
    outDir: "../local/http/page",
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    rollupOptions: {
      output: { entryFileNames: "console.js", chunkFileNames: "console-[name].js", assetFileNames: "console[extname]" },
    },
  },
});
