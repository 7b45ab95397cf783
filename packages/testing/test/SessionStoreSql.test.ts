import { SessionStore, SessionStoreSql } from "@effect-tenovos/core"
import { Sqlite } from "@effect-tenovos/server"
import { SessionStoreLaws } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Scope from "effect/Scope"
import { make, SqlClient } from "effect/sql/SqlClient"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import * as Stream from "effect/Stream"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { canary, causeOf, isStored, race, session, type Store } from "./support/stores.ts"

const file = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "tenovos-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  ),
  (folder) => join(folder, "a.sqlite")
)

/** A store on a connection of its own, and that connection. */
const openBoth = (filename: string, options?: SessionStoreSql.Options) =>
  Effect.map(
    Layer.build(SessionStoreSql.layer(options).pipe(Layer.provideMerge(Sqlite.layer({ filename })))),
    (context) => ({ store: Context.get(context, SessionStore.SessionStore), sql: Context.get(context, SqlClient) })
  )
const open = (filename: string, options?: SessionStoreSql.Options) =>
  Effect.map(openBoth(filename, options), ({ store }): Store => store)

/** A client whose driver quotes the statement and its values when it fails, which is always. */
const quoting = (compiler: Statement.Compiler) => {
  const refuse = (sql: string, params: ReadonlyArray<unknown>) => {
    const quoted = `${sql} with ${params.join(", ")}`
    const cause = Object.assign(new Error(quoted), { detail: quoted, params, code: `not a code: ${quoted}` })
    return Effect.fail(new SqlError({ reason: new UnknownError({ cause, message: quoted, operation: quoted }) }))
  }
  return make({
    acquirer: Effect.succeed({
      execute: refuse,
      executeRaw: refuse,
      executeValues: refuse,
      executeValuesUnprepared: refuse,
      executeUnprepared: refuse,
      executeStream: (sql, params) => Stream.fromEffect(refuse(sql, params))
    }),
    compiler,
    driver: "quoting",
    spanAttributes: []
  }).pipe(Effect.provide(Reactivity.layer))
}

describe("laws on SQLite", () => {
  for (const law of [...SessionStoreLaws.laws, ...SessionStoreLaws.leaseLaws]) {
    it.live(law.name, () =>
      Effect.scoped(Effect.flatMap(file, (filename) =>
        law.check({
          open: open(filename, { leaseLife: "1 second" }),
          leaseLife: "1 second"
        }))))
  }
})

it.live("gives the lease to one of 16 connections at a time", () =>
  Effect.gen(function*() {
    const filename = yield* file
    const stores = yield* Effect.replicateEffect(open(filename), 16)

    assert.deepStrictEqual(yield* race(stores, 5), { given: 80, most: 1 })
  }))

it.live("keeps sessions of several names apart, in a table of any name", () =>
  Effect.gen(function*() {
    const { sql, store } = yield* openBoth(":memory:", { table: "a\"'; table", name: "it's \"a\"" })
    const other = yield* SessionStoreSql.make({ table: "a\"'; table", name: "b" }).pipe(
      Effect.provideService(SqlClient, sql)
    )
    yield* store.commit(session(1), 0)
    yield* other.commit(session(5), 0)

    assert.strictEqual((yield* store.read).generation, 1)
    assert.strictEqual((yield* other.read).generation, 5)
  }))

it.live("does not give a lease again whose row is gone, and refuses who had it", () =>
  Effect.gen(function*() {
    const { sql, store } = yield* openBoth(":memory:")
    const scope = yield* Scope.make()
    const lease = yield* Scope.provide(Effect.flatMap(store.lease, Effect.fromOption), scope)
    yield* store.commit(session(1), 0, lease)
    yield* sql`DROP TABLE tenovos_sessions`
    assert.strictEqual(
      yield* causeOf(store.commit(session(2), 1, lease)),
      "The database failed: UnknownError ERR_SQLITE_ERROR"
    )

    assert.isFalse(yield* store.commit(session(2), 1, lease))
    assert.isFalse(yield* store.commit(session(2), 0, lease))
    const next = yield* Effect.flatMap(store.lease, Effect.fromOption)
    assert.isAbove(next.fence, lease.fence)
    assert.isFalse(yield* store.commit(session(2), 0, lease))
    yield* Scope.close(scope, Exit.void)
    assert.isTrue(Option.isNone(yield* Effect.scoped(store.lease)))
    assert.isTrue(yield* store.commit(session(2), 0, next))
  }))

it.live("adds to a table of an earlier version what that had no need of", () =>
  Effect.gen(function*() {
    const { sql, store } = yield* openBoth(":memory:")
    yield* store.commit(session(1), 0)
    yield* sql`ALTER TABLE tenovos_sessions DROP COLUMN gap`

    // One that has begun with the new table notices as well.
    yield* causeOf(store.commit(session(2), 1))
    const lease = yield* Effect.scoped(Effect.flatMap(store.lease, Effect.fromOption))
    assert.isFalse(lease.isGap)
    assert.isTrue(isStored(yield* store.read, session(1)))
    assert.isTrue(yield* store.commit(session(2), 1, lease))
  }))

it.live("copies a row that can't be read to one beside it", () =>
  Effect.gen(function*() {
    const { sql, store } = yield* openBoth(":memory:")
    yield* store.commit(session(1), 0)
    yield* sql`UPDATE tenovos_sessions SET text = ${`tenovos-session 1 plain ${canary}\n{}`}`

    const { unreadable } = yield* store.read
    assert.isDefined(unreadable)
    assert.include(yield* causeOf(Effect.fail(unreadable)), "the row session (unreadable, 1)")
    const rows = yield* sql`SELECT text FROM tenovos_sessions WHERE name = 'session (unreadable, 1)'`
    assert.include(String(rows[0]?.["text"]), canary)
    assert.isTrue(yield* store.commit(session(2), 1))
  }))

it.live("is not part of a transaction that was open when it was made", () =>
  Effect.gen(function*() {
    const { sql } = yield* openBoth(":memory:")
    const made = yield* sql.withTransaction(SessionStoreSql.make().pipe(Effect.provideService(SqlClient, sql)))
    yield* Effect.exit(sql.withTransaction(Effect.andThen(
      Effect.forkDetach(made.commit(session(1), 0), { startImmediately: true }),
      Effect.fail("rolled back")
    )))

    while ((yield* made.read).generation === 0) yield* Effect.sleep("10 millis")
    assert.isTrue(isStored(yield* made.read, session(1)))
  }))

it.live("tells nothing of a statement's values when the database fails, also where the driver quotes them", () =>
  Effect.gen(function*() {
    const { sql, store } = yield* openBoth(":memory:")
    yield* store.commit(session(1), 0)
    yield* sql`
      CREATE TRIGGER refuse BEFORE UPDATE ON tenovos_sessions BEGIN SELECT RAISE(ABORT, ${
      sql.literal(`'${canary}'`)
    }); END`
    assert.include(yield* causeOf(store.commit(session(2), 1)), "The database failed: ")

    const client = yield* quoting(Statement.makeCompilerSqlite())
    const other = yield* SessionStoreSql.make().pipe(Effect.provideService(SqlClient, client))
    assert.strictEqual(yield* causeOf(other.commit(session(1), 0)), "The database failed: UnknownError")
    assert.strictEqual(yield* causeOf(other.read), "The database failed: UnknownError")
  }))

it.effect("dies at once where the database is another one", () =>
  Effect.gen(function*() {
    const exit = yield* Effect.exit(
      SessionStoreSql.make().pipe(
        Effect.provideServiceEffect(
          SqlClient,
          quoting(Statement.makeCompiler({
            dialect: "mysql",
            placeholder: () => "?",
            onIdentifier: Statement.defaultEscape("`"),
            onCustom: () => ["", []],
            onRecordUpdate: () => ["", []]
          }))
        )
      )
    )

    assert.isTrue(Exit.hasDies(exit))
  }))
