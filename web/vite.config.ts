import { defineConfig } from "vite";

export default defineConfig({
  build: {
    // The service serves what the manifest names, and nothing else.
    manifest: true,
    // Everything is a file of its own, so that the policy of the pages needs no exception.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2023",
    rolldownOptions: { input: ["index.html", "link.html", "sign-in.html"].map((name) => `${import.meta.dirname}/${name}`) },
  },
});
