import { Authority, AuthorityServer, Control, Database } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { SqlClient } from "effect/sql/SqlClient"
import { TestClock } from "effect/testing"
import * as fixtures from "../fixtures/authority.ts"
import { cheap } from "../fixtures/hashes.ts"
import { before, isWaitedFor } from "../support/before.ts"
import { onFresh } from "../support/databases.ts"

const { keys, password, username } = fixtures

/** The authority under control, and another connection to its database. */
const Live = onFresh((database) =>
  AuthorityServer.layerHttpClientControlled({
    keys,
    passwords: cheap,
    database,
    profile: "strict",
    refreshAnswer: "replaces",
    limits: { proxies: 1 }
  }).pipe(Layer.merge(Database.layer(database)))
)

const make = Effect.gen(function*() {
  const control = yield* Control.Control
  const authority = yield* Authority.Authority
  const sql = yield* SqlClient
  const { apiKey, tenant } = yield* control.addTenant({ users: [{ username, password: Redacted.make(password) }] })
  const signIn = (password: string) =>
    fixtures.call("POST", "/v1/auth/token", {
      headers: { "X-API-Key": Redacted.value(apiKey), "X-Forwarded-For": "192.0.2.1" },
      body: { username, password }
    })
  return {
    control,
    tenant,
    state: yield* control.tenant(tenant),
    wrong: signIn("wrong"),
    signIn: authority.authorize({ tenant, username, password: Redacted.make(password) }),
    refresh: (issued: Parameters<typeof fixtures.tokens>[0]) =>
      authority.refresh({ ...fixtures.tokens(issued), tenant }),
    expire: (issued: Parameters<typeof fixtures.tokens>[0]) =>
      authority.expire({ tenant, accessToken: fixtures.tokens(issued).accessToken }),
    rows: Effect.all({
      failures: Effect.map(
        sql<{ readonly failures: number }>`SELECT failures FROM lockouts ORDER BY failures`,
        (rows) => rows.map(({ failures }) => failures)
      ),
      denied: sql`SELECT * FROM denied_tokens ORDER BY event_id`
    })
  }
})

/** Begins these when all is deleted, and goes on to insert when all of them wait. Gives their fibers. */
const meanwhile =
  <R>(...others: ReadonlyArray<Effect.Effect<unknown, unknown, R>>) => <A, E, R2>(restore: Effect.Effect<A, E, R2>) =>
    Effect.gen(function*() {
      const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
      yield* restore.pipe(before("INSERT", (pid) =>
        Effect.forEach(others, (other) => Effect.forkScoped(other)).pipe(
          Effect.map((forked) => fibers.push(...forked)),
          Effect.andThen(isWaitedFor(pid, others.length))
        )))
      return fibers
    })

describe("a tenant under control on PostgreSQL", () => {
  it.effect("lets requests wait for its restore, which then meet what came back", () =>
    Effect.gen(function*() {
      const { expire, rows, signIn, state, tenant, wrong } = yield* make
      const authority = yield* Authority.Authority
      const bob = { tenant, username: "bob", password: Redacted.make("hunter2") }
      const issued = yield* signIn
      const live = yield* state.snapshot
      yield* Effect.replicateEffect(wrong, 3)
      yield* expire(issued)
      const snapshot = yield* state.snapshot
      const kept = yield* rows
      yield* state.restore(live)

      // One for each table that requests write to.
      const requests = yield* state.restore(snapshot).pipe(meanwhile(
        Effect.map(wrong, ({ status }) => assert.strictEqual(status, 401)),
        Effect.flip(expire(issued)),
        signIn,
        authority.lock({ tenant, username }, 1000),
        authority.addUser(bob),
        authority.addApiKey(Redacted.make(tenant), { tenant })
      ))

      yield* Fiber.joinAll(requests)
      const then = yield* rows
      assert.deepStrictEqual([kept.failures, then.failures], [[3], [0, 4]])
      assert.deepStrictEqual([kept.denied.length, then.denied], [1, kept.denied])
      assert.strictEqual((yield* state.sessions).length, 2)
      yield* authority.authorize(bob)
    }).pipe(Effect.provide(Live)))

  it.effect("comes back with a user whom a request has locked since they were gone", () =>
    Effect.gen(function*() {
      const { state, tenant } = yield* make
      const authority = yield* Authority.Authority
      const bob = { tenant, username: "bob", password: Redacted.make("hunter2") }
      const without = yield* state.snapshot
      yield* authority.addUser(bob)
      const snapshot = yield* state.snapshot
      yield* authority.lock(bob, 60_000).pipe(before("INSERT INTO lockouts", () => state.restore(without)))

      yield* state.restore(snapshot)

      yield* authority.authorize(bob)
    }).pipe(Effect.provide(Live)))

  it.effect("is restored and reset by several at once", () =>
    Effect.gen(function*() {
      const { control, signIn, state } = yield* make
      yield* Effect.replicateEffect(signIn, 3)
      const snapshot = yield* state.snapshot
      const all = yield* control.all.snapshot
      const restores = [state.restore(snapshot), control.all.restore(all)]

      const others = yield* state.restore(snapshot).pipe(
        meanwhile(...restores, state.reset, state.revoke({ all: true }), ...restores, control.all.reset, ...restores)
      )

      yield* Fiber.joinAll(others)
      yield* state.restore(snapshot)
      assert.strictEqual((yield* state.sessions).length, 3)
    }).pipe(Effect.provide(Live)))

  it.effect("has its users and their sessions in a snapshot as they were at one moment", () =>
    Effect.gen(function*() {
      const { control, state, tenant } = yield* make
      const authority = yield* Authority.Authority
      const bob = { tenant, username: "bob", password: Redacted.make("hunter2") }
      const arrival = Effect.andThen(authority.addUser(bob), authority.authorize(bob))

      const snapshot = yield* state.snapshot.pipe(before(`SELECT * FROM "sessions"`, () => arrival))

      yield* state.restore(snapshot)
      assert.deepStrictEqual((yield* state.users).map(({ username }) => username), [username])
      assert.deepStrictEqual(yield* control.all.sessions, [])
    }).pipe(Effect.provide(Live)))

  it.effect("is restored while a refresh token is replaced, which isn't forgotten", () =>
    Effect.gen(function*() {
      const { refresh, signIn, state } = yield* make
      const issued = yield* signIn
      const snapshot = yield* state.snapshot
      const restore = before("UPDATE sessions SET refreshed_at", () => state.restore(snapshot))

      yield* refresh(yield* refresh(issued).pipe(restore))

      // A token that was replaced, in a second hand, ends the session.
      const reused = yield* Effect.flip(refresh(issued))
      assert.strictEqual(reused.message, "Refresh Token has been revoked")
      assert.deepStrictEqual((yield* state.sessions).map(({ revokedAt }) => revokedAt !== null), [true])
    }).pipe(Effect.provide(Live)))

  it.effect("is reset while a refresh token is replaced, which is refused", () =>
    Effect.gen(function*() {
      const { refresh, signIn, state } = yield* make
      const issued = yield* signIn

      const refused = yield* refresh(issued).pipe(
        before("UPDATE sessions SET refreshed_at", () => state.reset),
        Effect.flip
      )

      assert.strictEqual(refused.message, "Invalid Refresh Token")
    }).pipe(Effect.provide(Live)))

  it.effect("is restored while a token that is current again then is shown as one that was replaced", () =>
    Effect.gen(function*() {
      const { refresh, signIn, state } = yield* make
      const issued = yield* Effect.flatMap(signIn, refresh)
      const snapshot = yield* state.snapshot
      yield* refresh(issued)
      yield* TestClock.adjust("1 minute")

      const refused = yield* refresh(issued).pipe(
        before("UPDATE sessions SET revoked_at", () => state.restore(snapshot)),
        Effect.flip
      )

      assert.strictEqual(refused.message, "Invalid Access Token")
      yield* refresh(issued)
    }).pipe(Effect.provide(Live)))
})
