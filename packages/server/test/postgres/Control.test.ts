import { Authority, AuthorityServer, Control, Database } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { SqlClient } from "effect/sql/SqlClient"
import * as fixtures from "../fixtures/authority.ts"
import { cheap } from "../fixtures/hashes.ts"
import { before } from "../support/before.ts"
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
    /** All that requests write by themselves. */
    rows: Effect.all({
      lockouts: sql`SELECT * FROM lockouts ORDER BY user_key, address`,
      limits: sql`SELECT * FROM rate_limits ORDER BY key`,
      denied: sql`SELECT * FROM denied_tokens ORDER BY event_id`
    })
  }
})

describe("a tenant under control on PostgreSQL", () => {
  it.effect("comes back from a snapshot as it was, whatever its requests write meanwhile", () =>
    Effect.gen(function*() {
      const { expire, rows, signIn, state, wrong } = yield* make
      const issued = yield* signIn
      const live = yield* state.snapshot
      yield* Effect.replicateEffect(wrong, 3)
      yield* expire(issued)
      const snapshot = yield* state.snapshot
      const kept = yield* rows
      assert.deepStrictEqual(Object.values(kept).map(({ length }) => length > 0), [true, true, true])
      // What the requests find now is that none of the rows is there, so they insert theirs.
      yield* state.restore(live)

      yield* state.restore(snapshot).pipe(before("INSERT", () => Effect.all([wrong, expire(issued)])))

      assert.deepStrictEqual(yield* rows, kept)
    }).pipe(Effect.provide(Live)))

  it.effect("is restored and reset by several at once", () =>
    Effect.gen(function*() {
      const { control, signIn, state } = yield* make
      yield* Effect.replicateEffect(signIn, 3)
      const snapshot = yield* state.snapshot
      const all = yield* control.all.snapshot
      const restores = [state.restore(snapshot), control.all.restore(all)]

      yield* Effect.all([...restores, state.reset, ...restores, control.all.reset, ...restores], {
        concurrency: "unbounded"
      })

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
})
