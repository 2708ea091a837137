import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // Two noisy cores: more workers would only fight each other and the child processes of the end-to-end tests.
    maxWorkers: 2,
  },
});
