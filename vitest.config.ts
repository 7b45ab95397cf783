import { defineConfig } from "vitest/config"

const packages = ["core", "server", "testing", "cli"].map((name) => ({ name, root: `packages/${name}` }))

export default defineConfig({
  test: {
    projects: [...packages, { name: "examples", root: "docs/examples" }].map((project) => ({
      extends: true,
      test: { ...project, include: ["test/**/*.test.ts"] }
    })),
    reporters: ["default", "./scripts/closing-line.ts"],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    coverage: {
      provider: "v8",
      include: packages.map(({ root }) => `${root}/src/**/*.ts`),
      reporter: ["text", "json-summary"]
    }
  }
})
