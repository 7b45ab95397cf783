import { defineConfig } from "vitest/config"

// The tests that the mutants of core are run against: quick ones, one file for each module.
export default defineConfig({
  test: {
    include: ["Machine", "RefreshPolicy", "Session", "TenovosAuth", "TenovosClient"].map((name) =>
      `packages/core/test/${name}.test.ts`
    ),
    testTimeout: 10_000
  }
})
