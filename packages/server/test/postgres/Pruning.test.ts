import { Database, Migrations } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SqlClient } from "effect/sql/SqlClient"
import { TestClock } from "effect/testing"
import * as lockouts from "../../src/internal/lockouts.ts"
import * as rateLimits from "../../src/internal/rateLimits.ts"
import * as rows from "../../src/internal/rows.ts"
import { schema } from "../support/databases.ts"

/** As many as it takes until rows that have ended are deleted. */
const often = 64

const later = 2_000_000

/** What has ended, two of each, and what deletes that. */
const make = Effect.gen(function*() {
  const sql = yield* SqlClient
  const db = rows.make(sql)
  const limits = yield* rateLimits.make
  const user = { sub: "ada", tenant: "default", username: "ada", email: null, password_hash: "", created_at: 0 }
  yield* db.upsertUser(user)
  for (const id of ["held", "free"]) {
    yield* db.insertSession({
      id,
      tenant: "default",
      user_sub: "ada",
      client_id: "client",
      refresh_token_hash: id,
      auth_time: 0,
      expires_at: 1
    })
    yield* db.denyPair({ tenant: "default", id, eventId: id, expiresAt: 1 })
    yield* lockouts.make(sql).lock(id, 1)
    yield* sql`INSERT INTO rate_limits ${sql.insert({ key: id, tokens: 0, at: 0, ends_at: 1 })}`
  }
  const consume = limits.fixedWindow({ key: "new", tokens: 1, refillRate: Duration.hours(1), limit: undefined })
  return [
    [
      "lockouts",
      "user_key",
      Effect.replicateEffect(lockouts.make(sql).failed({ user: "new", address: "" }, later), often)
    ],
    ["rate_limits", "key", Effect.replicateEffect(consume, often)],
    ["denied_tokens", "event_id", db.forgetDenied(later)],
    ["sessions", "id", db.deleteEndedSessions({ before: later, limit: 10 })]
  ] as const
})

describe("what has ended, on PostgreSQL", () => {
  it.effect("is deleted without waiting for another process that has begun to", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(later)
      const database = yield* schema
      const other = yield* Layer.build(Database.layer(database))
      const run = Effect.gen(function*() {
        const sql = yield* SqlClient
        for (const [table, key, prune] of yield* make) {
          const left = sql<{ readonly key: string }>`SELECT ${sql(key)} AS key FROM ${sql(table)} WHERE ${
            sql(key)
          } IN ('held', 'free')`
          const isHeld = yield* Deferred.make<void>()
          const isDone = yield* Deferred.make<void>()
          yield* SqlClient.use((sql) =>
            sql`SELECT 1 FROM ${sql(table)} WHERE ${sql(key)} = 'held' FOR UPDATE`.pipe(
              Effect.andThen(Deferred.succeed(isHeld, undefined)),
              Effect.andThen(Deferred.await(isDone)),
              sql.withTransaction
            )
          ).pipe(Effect.provideContext(other), Effect.forkScoped)
          yield* Deferred.await(isHeld)

          yield* prune

          assert.deepStrictEqual(yield* left, [{ key: "held" }], table)
          yield* Deferred.succeed(isDone, undefined)
        }
      })
      yield* Effect.provide(run, Layer.provideMerge(Migrations.layer, Database.layer(database)))
    }))
})
