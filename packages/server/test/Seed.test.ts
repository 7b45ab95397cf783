import { Authority, AuthorityServer, Seed } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { SqlClient } from "effect/sql/SqlClient"
import * as fixtures from "./fixtures/authority.ts"

const Live = AuthorityServer.layerAuthority({ keys: fixtures.keys })

const users = SqlClient.use((sql) => sql`SELECT * FROM users ORDER BY username`)
const apiKeys = SqlClient.use((sql) => sql`SELECT * FROM api_keys`)

describe("Seed", () => {
  const decode = Schema.decodeUnknownEffect(Seed.Seed)

  it.effect("reads a seed file, and hides what is secret in it", () =>
    Effect.gen(function*() {
      const seed = yield* decode({ apiKeys: ["key-canary"], users: [{ username: "ada", password: "pw-canary" }] })
      const empty = yield* decode({})

      assert.strictEqual(seed.apiKeys.map(Redacted.value).join(), "key-canary")
      assert.strictEqual(seed.users.map(({ password }) => Redacted.value(password)).join(), "pw-canary")
      assert.notInclude(JSON.stringify(seed), "canary")
      assert.deepStrictEqual(empty, { apiKeys: [], users: [] })
    }))

  it.effect("refuses a user who could never sign in", () =>
    Effect.gen(function*() {
      for (
        const user of [
          { username: "", password: "x" },
          { username: "x".repeat(129), password: "x" },
          { username: "ada", password: "" },
          { username: "ada", password: "é".repeat(129) },
          { username: "ada" }
        ]
      ) {
        const error = yield* Effect.flip(decode({ users: [user] }))
        assert.strictEqual(error._tag, "SchemaError")
      }
    }))

  it.effect("changes nothing when it is applied again", () =>
    Effect.gen(function*() {
      yield* Seed.apply(fixtures.seed)
      const before = [yield* users, yield* apiKeys]
      yield* Seed.apply(fixtures.seed)

      assert.deepStrictEqual([yield* users, yield* apiKeys], before)
    }).pipe(Effect.provide(Live)))

  it.effect("gives an existing user a new password and email, and keeps who they are", () =>
    Effect.gen(function*() {
      const authority = yield* Authority.Authority
      yield* Seed.apply(fixtures.seed)
      const [before] = yield* users
      const password = Redacted.make("another one")

      yield* Seed.apply({ apiKeys: [], users: [{ username: fixtures.username, password, email: "new@example.com" }] })
      const [after] = yield* users
      yield* authority.authorize({ username: fixtures.username, password })
      const refused = yield* Effect.flip(
        authority.authorize({ username: fixtures.username, password: Redacted.make(fixtures.password) })
      )

      assert.strictEqual(after?.["sub"], before?.["sub"])
      assert.strictEqual(after?.["email"], "new@example.com")
      assert.strictEqual(refused.message, "Invalid Authentication Parameters")
    }).pipe(Effect.provide(Live)))

  it.effect("makes a user and an API key at the first start, once", () =>
    Effect.gen(function*() {
      const authority = yield* Authority.Authority

      const made = Option.getOrThrow(yield* Seed.firstStart)
      const again = yield* Seed.firstStart

      yield* authority.authorize(made)
      assert.isTrue(yield* authority.isApiKey(made.apiKey))
      assert.isTrue(Option.isNone(again))
      assert.isAtLeast(Redacted.value(made.apiKey).length, 40)
      assert.isAtLeast(Redacted.value(made.password).length, 24)
    }).pipe(Effect.provide(Live)))

  it.effect("makes nothing for an authority that has been seeded", () =>
    Effect.gen(function*() {
      yield* Seed.apply({ apiKeys: [Redacted.make("k")], users: [] })

      assert.isTrue(Option.isNone(yield* Seed.firstStart))
    }).pipe(Effect.provide(Live)))
})
