import { Sqlite } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import { SafeIntegers, SqlClient } from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import { chmodSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"

const memory = Sqlite.layer({ filename: ":memory:" })

const newFolder = () => mkdtempSync(join(tmpdir(), "sqlite-"))

/** Another process's lock, as this one sees it. */
const locked = (filename: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const other = new DatabaseSync(filename)
      other.exec("BEGIN EXCLUSIVE")
      return other
    }),
    (other) => Effect.sync(() => other.close())
  )

const modeOf = (filename: string) => 0o777 & statSync(filename).mode

const openFailure = (filename: string) =>
  Effect.map(Effect.flip(Layer.build(Sqlite.layer({ filename }))), (error) => error.message)

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

      assert.strictEqual(unique.reason._tag, "UniqueViolation")
      assert.strictEqual(syntax._tag, "SqlError")
      assert.strictEqual(value._tag, "SqlError")
      assert.strictEqual(unique.message, "The database refused a statement: UNIQUE constraint failed: t.name")
      assert.strictEqual(value.message, "The database refused a statement")
    }).pipe(Effect.provide(memory)))

  it.effect("says why a file can't be opened", () =>
    Effect.gen(function*() {
      const folder = newFolder()
      const text = join(folder, "text")
      writeFileSync(text, "not a database, but some text")

      assert.strictEqual(
        yield* openFailure("/nowhere/at/all.sqlite"),
        "The database can't be opened: no such file or directory"
      )
      assert.strictEqual(
        yield* openFailure(folder),
        "The database can't be opened: illegal operation on a directory"
      )
      assert.strictEqual(yield* openFailure(text), "The database can't be opened: file is not a database")
    }))

  it.live("lets others run while another process has the lock, and goes on after it", () =>
    Effect.gen(function*() {
      const filename = join(newFolder(), "a.sqlite")
      yield* Effect.gen(function*() {
        const sql = yield* SqlClient
        yield* table
        let begun = 0
        const other = yield* locked(filename)
        const writers = yield* Effect.forkChild(Effect.all([
          sql`INSERT INTO t ${sql.insert({ name: "statement" })}`,
          sql.withTransaction(Effect.suspend(() => {
            begun++
            return sql`INSERT INTO t ${sql.insert({ name: "transaction" })}`
          }))
        ], { concurrency: "unbounded" }))

        const started = yield* Clock.currentTimeMillis
        let longest = 0
        while ((yield* Clock.currentTimeMillis) - started < 400) {
          const before = yield* Clock.currentTimeMillis
          assert.deepStrictEqual(yield* names, [])
          yield* Effect.sleep("1 millis")
          longest = Math.max(longest, (yield* Clock.currentTimeMillis) - before)
        }
        other.exec("ROLLBACK")
        yield* Fiber.join(writers)

        assert.isBelow(longest, 1000)
        assert.strictEqual(begun, 1)
        assert.sameMembers(yield* names, ["statement", "transaction"])
      }).pipe(Effect.provide(Sqlite.layer({ filename })), Effect.scoped)
    }))

  it.live("gives a lock up after some seconds, and says so", () =>
    Effect.gen(function*() {
      const filename = join(newFolder(), "a.sqlite")
      yield* locked(filename)
      const started = yield* Clock.currentTimeMillis

      const message = yield* openFailure(filename)

      assert.strictEqual(message, "The database can't be opened: database is locked")
      assert.isAtLeast((yield* Clock.currentTimeMillis) - started, 3000)
    }).pipe(Effect.scoped))

  it.effect("takes every name but :memory: for a file", () =>
    Effect.gen(function*() {
      const folder = newFolder()
      const filename = join(folder, "file:a.sqlite?mode=memory")
      yield* table.pipe(Effect.provide(Sqlite.layer({ filename })))

      assert.deepStrictEqual(readdirSync(folder), ["file:a.sqlite?mode=memory"])

      const before = process.cwd()
      yield* Effect.acquireUseRelease(
        Effect.sync(() => process.chdir(folder)),
        () => table.pipe(Effect.provide(Sqlite.layer({ filename: "file:b.sqlite" }))),
        () => Effect.sync(() => process.chdir(before))
      )
      assert.deepStrictEqual(readdirSync(folder).sort(), ["file:a.sqlite?mode=memory", "file:b.sqlite"])
    }))

  it.effect("takes an existing file from others, be it empty or a database", () =>
    Effect.gen(function*() {
      const folder = newFolder()
      const empty = join(folder, "empty.sqlite")
      const full = join(folder, "full.sqlite")
      writeFileSync(empty, "")
      yield* table.pipe(Effect.provide(Sqlite.layer({ filename: full })))
      const logged: Array<unknown> = []
      const logger = Logger.layer([Logger.make(({ message }) => void logged.push(message))])

      for (const filename of [empty, full]) {
        chmodSync(filename, 0o664)
        yield* Effect.gen(function*() {
          yield* SqlClient.use((sql) => sql`CREATE TABLE u (id integer)`)
          assert.deepStrictEqual([filename, `${filename}-wal`, `${filename}-shm`].map(modeOf), [0o600, 0o600, 0o600])
        }).pipe(Effect.provide(Sqlite.layer({ filename }).pipe(Layer.provideMerge(logger))))
      }
      assert.deepStrictEqual(logged, [])
    }))

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

  it.effect("reads nothing of a transaction before it has ended, and leaves it alone", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      yield* table
      const written = yield* Deferred.make<void>()
      const done = yield* Deferred.make<void>()
      const transaction = sql`INSERT INTO t (name) VALUES ('a')`.pipe(
        Effect.andThen(Deferred.succeed(written, undefined)),
        Effect.andThen(Deferred.await(done)),
        sql.withTransaction
      )

      const writing = yield* Effect.forkChild(transaction)
      yield* Deferred.await(written)
      const reading = yield* Effect.forkChild(names, { startImmediately: true })
      const early = reading.pollUnsafe()
      yield* Deferred.succeed(done, undefined)
      yield* Fiber.join(writing)

      assert.isUndefined(early)
      assert.deepStrictEqual(yield* Fiber.join(reading), ["a"])
    }).pipe(Effect.provide(memory)))

  it.effect("opens a file in WAL mode for its owner alone, safe to disk and with foreign keys", () =>
    Effect.gen(function*() {
      const filename = join(newFolder(), "a.sqlite")

      const pragmas = yield* Effect.gen(function*() {
        const sql = yield* SqlClient
        yield* table
        assert.deepStrictEqual([filename, `${filename}-wal`].map(modeOf), [0o600, 0o600])
        return [
          yield* sql`PRAGMA journal_mode`.values,
          yield* sql`PRAGMA synchronous`.values,
          yield* sql`PRAGMA foreign_keys`.values,
          yield* sql`PRAGMA busy_timeout`.values
        ]
      }).pipe(Effect.provide(Sqlite.layer({ filename })))

      assert.deepStrictEqual(pragmas, [[["wal"]], [[2]], [[1]], [[20]]])
    }))

  it.effect("shares one commit among writes that are ready at once, and answers them after it", () =>
    Effect.gen(function*() {
      const filename = join(newFolder(), "a.sqlite")
      yield* Effect.gen(function*() {
        const sql = yield* SqlClient
        yield* table
        yield* sql`PRAGMA wal_autocheckpoint = 0`
        const other = new DatabaseSync(filename, { readOnly: true })
        const isCommitted = (name: string) => other.prepare("SELECT 1 FROM t WHERE name = ?").get(name) !== undefined
        const add = (name: string) => sql`INSERT INTO t ${sql.insert({ name })}`
        const statement = (i: number) =>
          Effect.andThen(add(`s${i}`), Effect.sync(() => assert.isTrue(isCommitted(`s${i}`))))
        const transaction = (i: number) =>
          sql.withTransaction(Effect.gen(function*() {
            yield* add(`t${i}`)
            yield* add(`u${i}`)
            assert.isFalse(isCommitted(`t${i}`))
          })).pipe(Effect.andThen(Effect.sync(() => assert.isTrue(isCommitted(`u${i}`)))))
        // Each commit writes each page that it changed anew, with a frame around it.
        const pages = () => Math.floor(statSync(`${filename}-wal`).size / (4096 + 24))

        const atStart = pages()
        yield* Effect.forEach([0, 1, 2, 3], statement)
        const alone = pages()
        yield* Effect.forEach(
          Array.from({ length: 32 }, (_, i) => [statement(i + 4), transaction(i)]).flat(),
          (write) => write,
          { concurrency: "unbounded" }
        )

        assert.isAtLeast(alone - atStart, 4)
        assert.isBelow(pages() - alone, 12)
        assert.lengthOf(yield* names, 4 + 32 * 3)
        other.close()
      }).pipe(Effect.provide(Sqlite.layer({ filename })))
    }))

  it.effect("takes back what fails, and nothing else of its group", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      yield* table
      const add = (name: string) => sql`INSERT INTO t ${sql.insert({ name })}`
      const nested = (name: string) =>
        sql.withTransaction(Effect.gen(function*() {
          yield* add(`${name} before`)
          yield* Effect.exit(sql.withTransaction(Effect.andThen(add(`${name} lost`), Effect.fail("no"))))
          yield* add(`${name} after`)
        }))

      const exits = yield* Effect.forEach(
        [
          add("a"),
          add("a"),
          sql.withTransaction(Effect.andThen(add("b"), add("a"))),
          nested("c"),
          sql.withTransaction(Effect.andThen(add("d"), Effect.die("no"))),
          add("e"),
          sql.withTransaction(Effect.andThen(add("f"), Effect.interrupt)),
          add("f")
        ],
        Effect.exit,
        { concurrency: "unbounded" }
      )

      assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, false, false, true, false, true, false, true])
      assert.deepStrictEqual(yield* names, ["a", "c before", "c after", "e", "f"])
    }).pipe(Effect.provide(memory)))

  it.effect("fails all of a group that can't be written, keeps none of it, and goes on", () =>
    Effect.gen(function*() {
      const filename = join(newFolder(), "a.sqlite")
      yield* Effect.gen(function*() {
        const sql = yield* SqlClient
        yield* table
        yield* sql`PRAGMA max_page_count = 8`
        const add = (name: string, size: number) =>
          sql`INSERT INTO t ${sql.insert({ name, data: new Uint8Array(size) })}`
        yield* add("kept", 0)

        const transaction = sql.withTransaction(
          Effect.andThen(add("transaction", 0), Effect.ignore(add("in it", 100_000)))
        )
        for (const tooBig of [add("too big", 100_000), transaction]) {
          const exits = yield* Effect.forEach(
            [add("before", 0), tooBig, add("after", 0)],
            Effect.exit,
            { concurrency: "unbounded" }
          )

          assert.deepStrictEqual(exits.map(Exit.isFailure), [true, true, true])
          assert.deepStrictEqual(yield* names, ["kept"])
        }
        yield* add("later", 0)
        assert.deepStrictEqual(yield* names, ["kept", "later"])
      }).pipe(Effect.provide(Sqlite.layer({ filename })))
    }))

  it.effect("does nothing for whoever has gone before its group", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      yield* table
      const add = (name: string) => sql`INSERT INTO t ${sql.insert({ name })}`

      const gone = yield* Effect.forkChild(
        Effect.all([add("a"), sql.withTransaction(add("b"))], {
          concurrency: "unbounded"
        }),
        { startImmediately: true }
      )
      yield* Fiber.interrupt(gone)
      yield* add("c")

      assert.deepStrictEqual(yield* names, ["c"])
    }).pipe(Effect.provide(memory)))

  it.effect("writes what is waiting when it is closed", () =>
    Effect.gen(function*() {
      const filename = join(newFolder(), "a.sqlite")
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Sqlite.layer({ filename }), scope)
      yield* Effect.provideContext(table, context)
      const write = SqlClient.use((sql) => sql`INSERT INTO t ${sql.insert({ name: "a" })}`)
      const writer = yield* Effect.forkChild(Effect.provideContext(write, context), { startImmediately: true })
      // The group is being gathered.
      yield* Effect.yieldNow

      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(writer)

      assert.deepStrictEqual(yield* names.pipe(Effect.provide(Sqlite.layer({ filename }))), ["a"])
    }))

  it.effect("reads a file without touching it, and writes nothing", () =>
    Effect.gen(function*() {
      const folder = newFolder()
      const filename = join(folder, "a.sqlite")
      yield* table.pipe(Effect.provide(Sqlite.layer({ filename })))
      const before = readFileSync(filename)

      const error = yield* Effect.gen(function*() {
        assert.deepStrictEqual(yield* names, [])
        return yield* Effect.flip(SqlClient.use((sql) => sql`INSERT INTO t ${sql.insert({ name: "a" })}`))
      }).pipe(Effect.provide(Sqlite.layer({ filename, readOnly: true })))

      assert.include(error.message, "attempt to write a readonly database")
      assert.isTrue(readFileSync(filename).equals(before))
      assert.deepStrictEqual(readdirSync(folder), ["a.sqlite"])
    }))
})
