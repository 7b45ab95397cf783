import { Sqlite } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SafeIntegers, SqlClient } from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import { mkdtempSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const memory = Sqlite.layer({ filename: ":memory:" })

const table = SqlClient.use((sql) => sql`CREATE TABLE t (id integer PRIMARY KEY, name text UNIQUE, data blob)`)

const names = SqlClient.use((sql) =>
  Effect.map(sql`SELECT name FROM t ORDER BY id`, (rows) => rows.map((r) => r["name"]))
)

describe("Sqlite", () => {
  it.effect("stores and reads every kind of value", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      const at = new Date(0)
      const data = new Uint8Array([0, 255])

      const [row] = yield* sql`SELECT ${"é\0"} AS text, ${1.5} AS real, ${7n} AS big, ${true} AS yes, ${false} AS no,
        ${null} AS none, ${undefined} AS missing, ${at} AS at, ${data} AS data`

      assert.deepStrictEqual({ ...row }, {
        text: "é\0",
        real: 1.5,
        big: 7,
        yes: 1,
        no: 0,
        none: null,
        missing: null,
        at: "1970-01-01T00:00:00.000Z",
        data
      })
    }).pipe(Effect.provide(memory)))

  it.effect("reads rows as values, as a stream, and integers as bigints when asked", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      yield* table
      yield* sql`INSERT INTO t ${sql.insert([{ id: 1, name: "a" }, { id: 2, name: "b" }])}`
      const all = sql`SELECT id, name FROM t ORDER BY id`

      assert.deepStrictEqual(yield* all.values, [[1, "a"], [2, "b"]])
      assert.strictEqual((yield* all).length, 2)
      assert.strictEqual((yield* Stream.runCollect(all.stream)).length, 2)
      assert.deepStrictEqual(yield* Effect.provideService(all.values, SafeIntegers, true), [[1n, "a"], [2n, "b"]])
    }).pipe(Effect.provide(memory)))

  it.effect("says what went wrong", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      yield* table
      yield* sql`INSERT INTO t ${sql.insert({ id: 1, name: "a" })}`

      const unique = yield* Effect.flip(sql`INSERT INTO t ${sql.insert({ id: 2, name: "a" })}`)
      const syntax = yield* Effect.flip(sql`SELEC`)
      const value = yield* Effect.flip(sql`SELECT ${Symbol("x")}`)
      const closed = yield* Effect.flip(Layer.build(Sqlite.layer({ filename: "/nowhere/at/all.sqlite" })))

      assert.strictEqual(unique.reason._tag, "UniqueViolation")
      assert.strictEqual(syntax._tag, "SqlError")
      assert.strictEqual(value._tag, "SqlError")
      assert.strictEqual(closed.reason.message, "The database can't be opened")
    }).pipe(Effect.provide(memory)))

  it.effect("rolls a failed transaction back, and the inner one alone when only that fails", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      yield* table
      const add = (name: string) => sql`INSERT INTO t ${sql.insert({ name })}`

      yield* Effect.exit(sql.withTransaction(Effect.andThen(add("lost"), Effect.fail("no"))))
      yield* sql.withTransaction(Effect.gen(function*() {
        yield* add("kept")
        yield* Effect.exit(sql.withTransaction(Effect.andThen(add("lost"), Effect.fail("no"))))
      }))

      assert.deepStrictEqual(yield* names, ["kept"])
    }).pipe(Effect.provide(memory)))

  it.effect("keeps other callers out of a transaction", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      yield* table
      const add = (name: string) => sql`INSERT INTO t ${sql.insert({ name })}`

      yield* Effect.all([
        sql.withTransaction(Effect.gen(function*() {
          yield* add("first")
          for (let i = 0; i < 10; i++) yield* Effect.yieldNow
          yield* add("second")
        })),
        Effect.andThen(Effect.yieldNow, add("third"))
      ], { concurrency: "unbounded" })

      assert.deepStrictEqual(yield* names, ["first", "second", "third"])
    }).pipe(Effect.provide(memory)))

  it.effect("opens a file in WAL mode for its owner alone, safe to disk and with foreign keys", () =>
    Effect.gen(function*() {
      const directory = mkdtempSync(join(tmpdir(), "sqlite-"))
      const filename = join(directory, "a.sqlite")

      const pragmas = yield* Effect.gen(function*() {
        const sql = yield* SqlClient
        yield* table
        const modes = [0o777 & statSync(filename).mode, 0o777 & statSync(`${filename}-wal`).mode]
        assert.deepStrictEqual(modes, [0o600, 0o600])
        return [
          yield* sql`PRAGMA journal_mode`.values,
          yield* sql`PRAGMA synchronous`.values,
          yield* sql`PRAGMA foreign_keys`.values,
          yield* sql`PRAGMA busy_timeout`.values
        ]
      }).pipe(Effect.provide(Sqlite.layer({ filename })))

      assert.deepStrictEqual(pragmas, [[["wal"]], [[2]], [[1]], [[5000]]])
    }))
})
