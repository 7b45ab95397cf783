import { Seed } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as fixtures from "./fixtures/authority.ts"

const { call, password, username } = fixtures

/** Two tenants, each with a user of the same name. */
const Live = Layer.effectDiscard(Seed.apply({
  apiKeys: [],
  users: [],
  tenants: {
    acme: {
      apiKeys: [Redacted.make("acme-key"), Redacted.make("acme-key-2")],
      users: [{ username, password: Redacted.make("acme-password") }]
    }
  }
})).pipe(Layer.provideMerge(fixtures.layer()))

const acme = { "X-API-Key": "acme-key" }

const signIn = Effect.fnUntraced(function*(headers: Record<string, string>, password: string) {
  const { body } = yield* call("POST", "/v1/auth/token", { headers, body: { username, password } })
  return yield* Schema.decodeUnknownEffect(fixtures.Issued)(body)
})

const statuses = Effect.fnUntraced(function*(headers: Record<string, string>, issued: fixtures.Issued) {
  const tokens = { AccessToken: issued.session.accessToken, Authorization: issued.session.authorization }
  const sample = yield* call("GET", "/v1/security/template", { headers: { ...headers, ...tokens } })
  const refresh = yield* call("POST", "/v1/auth/token", { headers, body: issued })
  const expire = yield* call("DELETE", "/v1/auth/token", { headers: { ...headers, ...tokens }, body: issued })
  return [sample.status, refresh.status, expire.status]
})

describe("tenants", () => {
  it.effect("keep users of one name apart", () =>
    Effect.gen(function*() {
      const ours = yield* signIn({}, password)
      const theirs = yield* signIn(acme, "acme-password")
      const crossed = yield* Effect.forEach(
        [
          [{}, "acme-password"],
          [acme, password]
        ] as const,
        ([headers, password]) => call("POST", "/v1/auth/token", { headers, body: { username, password } })
      )

      const [id, other] = yield* Effect.forEach([ours, theirs], ({ session }) => fixtures.verify(session.authorization))
      assert.notStrictEqual(id?.payload.sub, other?.payload.sub)
      assert.deepStrictEqual(crossed.map(({ status }) => status), [401, 401])
    }).pipe(Effect.provide(Live)))

  it.effect("take a session with an API key of its own tenant alone", () =>
    Effect.gen(function*() {
      const ours = yield* signIn({}, password)
      const theirs = yield* signIn(acme, "acme-password")

      assert.deepStrictEqual(yield* statuses(acme, ours), [401, 401, 401])
      assert.deepStrictEqual(yield* statuses({}, theirs), [401, 401, 401])
      assert.deepStrictEqual(yield* statuses({}, ours), [200, 200, 200])
      assert.deepStrictEqual(yield* statuses({ "X-API-Key": "acme-key-2" }, theirs), [200, 200, 200])
    }).pipe(Effect.provide(Live)))

  it.effect("tell nothing of another's session", () =>
    Effect.gen(function*() {
      const ours = yield* signIn({}, password)
      const live = yield* call("POST", "/v1/auth/token", { headers: acme, body: ours })
      yield* fixtures.expire(ours)
      const ended = yield* call("POST", "/v1/auth/token", { headers: acme, body: ours })

      assert.deepStrictEqual(live.body, { status: "error", message: "Invalid Refresh Token" })
      assert.deepStrictEqual(ended.body, live.body)
    }).pipe(Effect.provide(Live)))

  it.effect("give up an API key to the one that is named last", () =>
    Effect.gen(function*() {
      yield* Seed.apply({
        apiKeys: [],
        users: [],
        tenants: { acme: { apiKeys: [Redacted.make(fixtures.apiKey)], users: [] } }
      })

      yield* signIn({}, "acme-password")
      const refused = yield* fixtures.token({ username, password })

      assert.strictEqual(refused.status, 401)
    }).pipe(Effect.provide(Live)))
})
