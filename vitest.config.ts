import { defineConfig } from "vitest/config"

const packages = ["core", "server", "testing", "cli"]

export default defineConfig({
  test: {
    projects: packages.map((name) => ({
      extends: true,
      test: { name, root: `packages/${name}`, include: ["test/**/*.test.ts"] }
    })),
    reporters: ["default", "./scripts/closing-line.ts"],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    coverage: {
      provider: "v8",
      include: packages.map((name) => `packages/${name}/src/**/*.ts`),
      reporter: ["text", "json-summary"]
    }
  }
})
