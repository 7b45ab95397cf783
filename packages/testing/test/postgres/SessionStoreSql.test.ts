import { SessionStore, SessionStoreSql, TenovosAuth } from "@effect-tenovos/core"
import { Postgres } from "@effect-tenovos/server"
import { ScriptedAuthority, SessionStoreLaws } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { SqlClient } from "effect/sql/SqlClient"
import { inject } from "vitest"
import type {} from "../../../server/test/support/postgres.ts"
import { schema } from "../../../server/test/support/databases.ts"
import { canary, causeOf, isStored, race, session } from "../support/stores.ts"
import * as wire from "../support/wire.ts"

/** A store on connections of its own, and these. */
const open = (url: string, options?: SessionStoreSql.Options) =>
  Effect.map(
    Layer.build(SessionStoreSql.layer(options).pipe(Layer.provideMerge(Postgres.layer({ url: Redacted.make(url) })))),
    (context) => ({ store: Context.get(context, SessionStore.SessionStore), sql: Context.get(context, SqlClient) })
  )

const through = (path: wire.Wire, url: string) => {
  const changed = new URL(url)
  changed.host = `127.0.0.1:${path.port}`
  return changed.href
}

describe("laws", () => {
  for (const law of [...SessionStoreLaws.laws, ...SessionStoreLaws.leaseLaws]) {
    it.live(law.name, () =>
      Effect.scoped(Effect.flatMap(schema, (url) =>
        law.check({
          open: Effect.map(open(url, { leaseLife: "1 second" }), ({ store }) => store),
          leaseLife: "1 second"
        }))))
  }
})

describe("lease", () => {
  for (const isolation of ["read committed", "serializable"]) {
    it.live(`is held by one of 16 connections at a time, which is ${isolation}`, () =>
      Effect.gen(function*() {
        const url = new URL(yield* schema)
        const settings = `${url.searchParams.get("options")} -c default_transaction_isolation=${
          isolation.replace(" ", "\\ ")
        }`
        url.searchParams.set("options", settings)
        const opened = yield* Effect.replicateEffect(open(url.href), 16, { concurrency: "unbounded" })

        // The first of them makes the table, and all begin at once.
        assert.deepStrictEqual(yield* race(opened.map(({ store }) => store), 5), { given: 80, most: 1 })
      }))
  }
})

describe("a table", () => {
  it.live("may be in another schema, and be made by somebody else", () =>
    Effect.gen(function*() {
      const url = yield* schema
      const name = String(new URL(url).searchParams.get("options")).replace(/^-c search_path="(.*)"$/, "$1")
      const user = `user_${name}`
      const { sql } = yield* open(url)
      yield* Effect.flatMap(open(url, { table: `${name}.a"b` }), ({ store }) => store.commit(session(1), 0))
      yield* sql`CREATE USER ${sql(user)}`
      yield* sql`GRANT USAGE ON SCHEMA ${sql(name)} TO ${sql(user)}`
      yield* sql`GRANT SELECT, INSERT, UPDATE ON ${sql(`${name}.a"b`)} TO ${sql(user)}`

      const restricted = new URL(inject("postgres"))
      restricted.username = user
      const { store } = yield* open(restricted.href, { table: `${name}.a"b` })
      assert.isTrue(yield* store.commit(session(2), 1))
      assert.isTrue(Option.isSome(yield* Effect.scoped(store.lease)))

      const elsewhere = yield* open(restricted.href, { table: `${name}.other` })
      assert.include(yield* causeOf(elsewhere.store.read), "42501")
      yield* sql`DROP OWNED BY ${sql(user)}`
      yield* sql`DROP USER ${sql(user)}`
    }))

  it.live("that quotes the row it refuses is not repeated by an error", () =>
    Effect.gen(function*() {
      const { sql, store } = yield* open(yield* schema)
      yield* store.commit(session(1), 0)
      const quote = sql.literal("BEGIN RAISE EXCEPTION '%', NEW.text; END")
      yield* sql`CREATE FUNCTION quote() RETURNS trigger LANGUAGE plpgsql AS ${sql.literal("$$")} ${quote} ${
        sql.literal("$$")
      }`
      yield* sql`CREATE TRIGGER quoting BEFORE UPDATE ON tenovos_sessions FOR EACH ROW EXECUTE FUNCTION quote()`
      const quoted = yield* Effect.flip(sql`UPDATE tenovos_sessions SET generation = 2`)
      assert.include(String(quoted.reason.cause), canary)

      assert.strictEqual(yield* causeOf(store.commit(session(2), 1)), "The database failed: UnknownError P0001")
    }))
})

it.live("is not part of a transaction that was open when it was made", () =>
  Effect.gen(function*() {
    const { sql } = yield* open(yield* schema)
    yield* Effect.exit(sql.withTransaction(
      Effect.gen(function*() {
        const store = yield* SessionStoreSql.make().pipe(Effect.provideService(SqlClient, sql))
        assert.isTrue(yield* store.commit(session(1), 0))
        return yield* Effect.fail("rolled back")
      })
    ))

    const store = yield* SessionStoreSql.make().pipe(Effect.provideService(SqlClient, sql))
    assert.isTrue(isStored(yield* store.read, session(1)))
  }))

describe("a database that goes away", () => {
  it.live("fails each operation, and works again when it is back", () =>
    Effect.gen(function*() {
      const url = yield* schema
      const path = yield* wire.to(Number(new URL(url).port))
      const { store } = yield* open(through(path, url))
      yield* store.commit(session(1), 0)
      yield* path.stall
      const waiting = yield* Effect.forkChild(Effect.exit(store.commit(session(2), 1)), { startImmediately: true })
      yield* Effect.sleep("50 millis")
      yield* path.cut
      assert.isTrue(Exit.isFailure(yield* Fiber.join(waiting)))
      yield* path.mend

      assert.isTrue(yield* Effect.retry(store.commit(session(2), 1), { times: 20 }))
    }))

  it.live(
    "after it has committed costs nobody a session, and no refresh token is sent twice",
    () =>
      Effect.gen(function*() {
        const url = yield* schema
        const path = yield* wire.to(Number(new URL(url).port))
        const near = yield* open(url)
        const spent: Array<string> = []
        const authority = ScriptedAuthority.layer((request, index) =>
          Effect.gen(function*() {
            const refreshToken = /"refreshToken":"([^"]*)"/.exec(request.body)?.[1]
            if (refreshToken !== undefined) {
              assert.notInclude(spent, refreshToken)
              spent.push(refreshToken)
              // The commit that follows arrives, and its answer does not.
              if (spent.length === 1) yield* path.mute
            }
            const expireEpoch = Date.now() + 3_600_000
            return Response.json({
              username: "ada",
              session: { accessToken: `access-${index}`, refreshToken: `refresh-${index}`, expireEpoch }
            })
          })
        )
        const authOn = (url: string) =>
          Effect.map(
            Layer.build(
              TenovosAuth.layer(
                { apiKey: Redacted.make("key"), username: "ada", password: Redacted.make("secret") },
                SessionStoreSql.layer().pipe(Layer.provide(Layer.orDie(Postgres.layer({ url: Redacted.make(url) }))))
              )
            ),
            (context) => Context.get(context, TenovosAuth.TenovosAuth)
          )

        yield* Effect.gen(function*() {
          const [far, other] = [yield* authOn(through(path, url)), yield* authOn(url)]
          yield* far.session
          const renewing = yield* Effect.forkChild(far.sessionWith({ forceRefresh: true }), { startImmediately: true })
          while ((yield* near.store.read).generation < 2) yield* Effect.sleep("10 millis")
          yield* path.cut
          const renewed = yield* Fiber.join(renewing)
          assert.strictEqual(renewed.generation, 2)
          // Another one adopts and renews what the first one can't know to be stored.
          assert.strictEqual((yield* other.session).generation, 2)
          assert.strictEqual((yield* other.sessionWith({ forceRefresh: true })).generation, 3)
          // Whatever the first one does without its store, it does not send that refresh token again.
          const alone = yield* far.sessionWith({ forceRefresh: true })
          assert.isAbove(alone.generation, renewed.generation)
          yield* path.mend
          const last = yield* Effect.retry(far.sessionWith({ forceRefresh: true }), { times: 20 })
          assert.isAtLeast(last.generation, 3)
          assert.deepStrictEqual(spent, [...new Set(spent)])
        }).pipe(Effect.provide(authority))
      }),
    60_000
  )
})
