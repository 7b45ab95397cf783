import { Authority, AuthorityServer, Control, Seed } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as fixtures from "./fixtures/authority.ts"
import { cheap } from "./fixtures/hashes.ts"
import { onFresh } from "./support/databases.ts"

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

describe("a tenant under control", () => {
  /** Two tenants, each with what a test asks in its name. */
  const make = Effect.gen(function*() {
    const control = yield* Control.Control
    const add = (tenant: string) =>
      Effect.gen(function*() {
        const { apiKey } = yield* control.addTenant({
          tenant,
          users: [{ username, password: Redacted.make(password) }]
        })
        const headers = { "X-API-Key": Redacted.value(apiKey) }
        const signIns = (address: string, username: string, password: string, times: number) =>
          Effect.replicateEffect(
            call("POST", "/v1/auth/token", {
              headers: { ...headers, "X-Forwarded-For": address },
              body: { username, password }
            }),
            times
          ).pipe(Effect.map((answers) => answers.map(({ status }) => status).join(" ")))
        return {
          state: yield* control.tenant(tenant),
          request: Effect.map(call("GET", "/v1/security/template", { headers }), ({ status }) => status),
          /** Uses up all but the API key. */
          use: Effect.all({
            locked: signIns("192.0.2.1", username, "wrong", 5).pipe(
              Effect.andThen(signIns("192.0.2.1", username, password, 1))
            ),
            user: signIns("192.0.2.2", username, "wrong", 3),
            // The sixth and seventh meet a lock and don't count, so two more pass.
            nobody: Effect.map(
              Effect.all([signIns("192.0.2.3", "nobody", "wrong", 7), signIns("192.0.2.4", "nobody", "wrong", 3)]),
              (both) => both.join(" ")
            ),
            address: signIns("192.0.2.5", "bob", "wrong", 12)
          })
        }
      })
    // A pattern of SQL would take the names for more than they are.
    return yield* Effect.all([add("%"), add("a:%")])
  })

  const Controlled = onFresh((database) =>
    AuthorityServer.layerHttpClientControlled({
      keys: fixtures.keys,
      passwords: cheap,
      database,
      limits: {
        perApiKey: { limit: 200, window: "1 hour" },
        perAddress: { limit: 10, window: "1 hour" },
        perUser: { limit: 7, window: "1 hour" },
        proxies: 1
      }
    })
  )

  const used = {
    locked: "401",
    user: "401 401 429",
    nobody: "401 401 401 401 401 401 401 401 401 429",
    address: "401 401 401 401 401 401 401 401 401 401 429 429"
  }

  it.effect("is reset with all that it has used up, and no other with it", () =>
    Effect.gen(function*() {
      const [one, other] = yield* make
      assert.deepStrictEqual(yield* one.use, used)
      assert.deepStrictEqual(yield* other.use, used)

      yield* one.state.reset

      assert.deepStrictEqual(yield* one.use, used)
      assert.deepStrictEqual(yield* other.use, {
        locked: "429",
        user: "429 429 429",
        nobody: "429 429 429 429 429 429 429 429 429 429",
        address: "429 429 429 429 429 429 429 429 429 429 429 429"
      })
    }).pipe(Effect.provide(Controlled)))

  it.effect("has all requests of its API key again, and not one more", () =>
    Effect.gen(function*() {
      const [one] = yield* make
      // A process takes two at a time: one more is left to it.
      yield* Effect.replicateEffect(one.request, 3)

      yield* one.state.reset

      const statuses = yield* Effect.replicateEffect(one.request, 202)
      assert.strictEqual(statuses.filter((status) => status === 401).length, 200)
    }).pipe(Effect.provide(Controlled)))

  it.effect("comes back from a snapshot with what it had used up", () =>
    Effect.gen(function*() {
      const [one, other] = yield* make
      yield* one.use
      const snapshot = yield* one.state.snapshot
      const usedUp = yield* one.use
      yield* one.state.reset
      yield* other.use

      yield* one.state.restore(snapshot)

      assert.deepStrictEqual(yield* one.use, usedUp)
      yield* other.state.reset
      assert.deepStrictEqual(yield* one.use, usedUp)
    }).pipe(Effect.provide(Controlled)))

  it.effect("comes back from a snapshot with an API key that another tenant has by now", () =>
    Effect.gen(function*() {
      const control = yield* Control.Control
      const authority = yield* Authority.Authority
      const { apiKey, tenant } = yield* control.addTenant()
      const state = yield* control.tenant(tenant)
      const snapshot = yield* state.snapshot
      yield* authority.addApiKey(apiKey, { tenant: "acme" })

      yield* state.restore(snapshot)

      assert.deepStrictEqual(yield* authority.tenantOf(apiKey), Option.some(tenant))
    }).pipe(Effect.provide(Controlled)))

  it.effect("comes back from a snapshot with the tokens that were denied by name since", () =>
    Effect.gen(function*() {
      const control = yield* Control.Control
      yield* Seed.apply({
        apiKeys: [],
        users: [],
        tenants: {
          acme: {
            apiKeys: [Redacted.make("acme-key")],
            users: [{ username, password: Redacted.make(password) }]
          }
        }
      })
      const issued = yield* signIn(acme, password)
      const tokens = { AccessToken: issued.session.accessToken, Authorization: issued.session.authorization }
      const sample = Effect.map(
        call("GET", "/v1/security/template", { headers: { ...acme, ...tokens } }),
        ({ status }) => status
      )
      const state = yield* control.tenant("acme")
      const snapshot = yield* state.snapshot
      yield* call("DELETE", "/v1/auth/token", { headers: { ...acme, ...tokens }, body: issued })
      const denied = yield* sample

      yield* state.restore(snapshot)

      assert.deepStrictEqual([denied, yield* sample], [401, 200])
    }).pipe(Effect.provide(onFresh((database) =>
      AuthorityServer.layerHttpClientControlled({ keys: fixtures.keys, passwords: cheap, database, profile: "strict" })
    ))))
})
