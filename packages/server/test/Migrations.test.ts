import { Migrations, Sqlite } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { SqlClient } from "effect/sql/SqlClient"

const memory = Sqlite.layer({ filename: ":memory:" })

describe("Migrations", () => {
  it.effect("makes the tables once, and keeps a table of what has run", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient

      yield* Migrations.run
      yield* Migrations.run

      const tables = yield* sql`SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`
      const ran = yield* sql`SELECT migration_id, name FROM effect_sql_migrations`
      assert.deepStrictEqual(tables.map(({ name }) => name), [
        "api_keys",
        "effect_sql_migrations",
        "installation",
        "keys",
        "sessions",
        "users"
      ])
      assert.deepStrictEqual(ran.map((row) => ({ ...row })), [{ migration_id: 1, name: "tables" }])
    }).pipe(Effect.provide(memory)))

  it.effect("refuses a database of a later release with a sentence, and leaves it as it is", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      yield* Migrations.run
      yield* sql`INSERT INTO effect_sql_migrations ${sql.insert({ migration_id: 7, name: "later" })}`
      const before = yield* sql`SELECT * FROM sqlite_master`

      const error = yield* Effect.flip(Migrations.run)

      assert.strictEqual(
        error.message,
        "The database is of version 7, and this release knows versions up to 1: use a later release, or another database."
      )
      assert.deepStrictEqual(yield* sql`SELECT * FROM sqlite_master`, before)
    }).pipe(Effect.provide(memory)))
})
