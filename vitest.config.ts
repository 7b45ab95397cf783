import { defineConfig } from "vitest/config"
import { missing } from "./packages/server/test/support/postgres.ts"
import { noneAtAll as missingRedis } from "./packages/testing/test/support/redis.ts"

const packages = [
  ...["core", "server", "testing"].map((name) => ({ name, root: `packages/${name}` })),
  { name: "cli", root: "packages/cli", globalSetup: "test/support/bundle.ts" }
]

// The suites of the server that a database makes a difference to, on each of the others too.
const onDatabases = [
  "Authority",
  "AuthorityApi",
  "Limits",
  "Migrations",
  "Profiles",
  "Renewal",
  "Seed",
  "Statements",
  "Tenants"
].map((suite) => `test/${suite}.test.ts`)
// Those that a file differs little from memory for.
const onPostgres = [
  "Audit",
  "BadInput",
  "BasicAuthentication",
  "Control",
  "ControlServer",
  "Controlled",
  "Keys",
  "MasterKey",
  "SampleApi",
  "Secrecy",
  "SignIn"
].map((suite) => `test/${suite}.test.ts`)
const file = {
  name: "server on a file",
  root: "packages/server",
  include: [...onDatabases, "test/Races.test.ts"],
  env: { TENOVOS_TEST_DATABASE: "file" }
}
const postgres = {
  name: missing === undefined ? "server on PostgreSQL" : `server on PostgreSQL, skipped: ${missing}`,
  root: "packages/server",
  include: [...onDatabases, ...onPostgres, "test/Races.test.ts", "test/postgres/*.test.ts"],
  env: { TENOVOS_TEST_DATABASE: "postgres" },
  globalSetup: "test/support/postgres.ts",
  setupFiles: missing === undefined ? [] : ["test/support/withoutPostgres.ts"]
}

// The stores of a session that need a server.
const storeOnPostgres = {
  name: missing === undefined ? "stores on PostgreSQL" : `stores on PostgreSQL, skipped: ${missing}`,
  root: "packages/testing",
  include: ["test/postgres/*.test.ts"],
  globalSetup: "../server/test/support/postgres.ts",
  setupFiles: missing === undefined ? [] : ["../server/test/support/withoutPostgres.ts"]
}
const commandOnPostgres = {
  name: missing === undefined ? "cli on PostgreSQL" : `cli on PostgreSQL, skipped: ${missing}`,
  root: "packages/cli",
  include: ["test/postgres/*.test.ts"],
  globalSetup: ["test/support/bundle.ts", "../server/test/support/postgres.ts"],
  setupFiles: missing === undefined ? [] : ["../server/test/support/withoutPostgres.ts"]
}
const storeOnRedis = {
  name: missingRedis === undefined ? "stores on Redis" : `stores on Redis, skipped: ${missingRedis}`,
  root: "packages/testing",
  include: ["test/redis/*.test.ts"],
  setupFiles: missingRedis === undefined ? [] : ["test/support/withoutRedis.ts"]
}

// They reach no line that others don't, and take longest.
const repetitive = process.argv.includes("--coverage")
  ? ["Durability", "Fuzz", "Inspector", "Races", "Rules"].map((suite) => `test/${suite}.test.ts`)
  : []

export default defineConfig({
  test: {
    projects: [
      ...[
        ...packages,
        // Programs import by the barrel, and to load those for each file anew would cost more than the tests do.
        { name: "examples", root: "docs/examples", isolate: false },
        // In real time, and so when nothing else runs.
        { name: "demo", root: "docs/examples", sequence: { groupOrder: 1 } },
        // Many processes of their own.
        { name: "fleets", root: "packages/testing/test/fleet", sequence: { groupOrder: 2 } }
      ].map((project) => ({
        ...project,
        include: { fleets: ["*.test.ts"], demo: ["test/demo.test.ts"] }[project.name] ?? ["test/**/*.test.ts"],
        exclude: [
          "test/postgres/**",
          "test/redis/**",
          "test/fleet/**",
          ...(project.name === "examples" ? ["test/demo.test.ts"] : []),
          ...repetitive
        ]
      })),
      file,
      postgres,
      storeOnPostgres,
      commandOnPostgres,
      storeOnRedis
    ].map((test) => ({ extends: true, test })),
    // By default one core is left idle, which of two is half.
    maxWorkers: "100%",
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
