import { Authority, Seed } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { SqlClient } from "effect/sql/SqlClient"
import * as fixtures from "./fixtures/authority.ts"

const Live = fixtures.layerAuthority()

const { tenant } = fixtures
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

  it.effect("takes the API keys that a header can carry as they are", () =>
    Effect.gen(function*() {
      for (const apiKey of ["", " ", "x ", " x", "x\n", "\tx", "x\0y", "x\r\ny", "clé", "🗝"]) {
        const error = yield* Effect.flip(decode({ apiKeys: [apiKey] }))
        assert.strictEqual(error._tag, "SchemaError", JSON.stringify(apiKey))
      }
      for (const apiKey of ["x", "a key", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"]) {
        const seed = yield* decode({ apiKeys: [apiKey] })
        assert.strictEqual(seed.apiKeys.map(Redacted.value).join(), apiKey)
      }
      const refused = yield* Effect.flip(decode({ apiKeys: ["canary "] }))
      assert.notInclude(refused.message, "canary")
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
      yield* authority.authorize({ tenant, username: fixtures.username, password })
      const refused = yield* Effect.flip(
        authority.authorize({ tenant, username: fixtures.username, password: Redacted.make(fixtures.password) })
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

      yield* authority.authorize({ tenant, ...made })
      assert.deepStrictEqual(yield* authority.tenantOf(made.apiKey), Option.some(tenant))
      assert.isTrue(Option.isNone(again))
      assert.isAtLeast(Redacted.value(made.apiKey).length, 40)
      assert.isAtLeast(Redacted.value(made.password).length, 24)
    }).pipe(Effect.provide(Live)))

  it.effect("makes nothing for an authority that has been seeded", () =>
    Effect.gen(function*() {
      yield* Seed.apply(fixtures.seed)

      assert.isTrue(Option.isNone(yield* Seed.firstStart))
    }).pipe(Effect.provide(Live)))

  it.effect("makes a key and a user for an authority that has only one of them", () =>
    Effect.gen(function*() {
      const authority = yield* Authority.Authority
      const before = { username: "demo", password: Redacted.make("kept") }
      yield* Seed.apply({ apiKeys: [], users: [before] })

      const forNoKey = Option.getOrThrow(yield* Seed.firstStart)
      yield* SqlClient.use((sql) => sql`DELETE FROM users`)
      const forNoUser = Option.getOrThrow(yield* Seed.firstStart)

      assert.notStrictEqual(forNoKey.username, "demo")
      assert.strictEqual(forNoUser.username, "demo")
      yield* authority.authorize({ tenant, ...forNoUser })
      assert.deepStrictEqual(yield* authority.tenantOf(forNoUser.apiKey), Option.some(tenant))
    }).pipe(Effect.provide(Live)))

  it.effect("leaves the password of a user who was there alone", () =>
    Effect.gen(function*() {
      const authority = yield* Authority.Authority
      const before = { username: "demo", password: Redacted.make("kept") }
      yield* Seed.apply({ apiKeys: [], users: [before] })

      const made = Option.getOrThrow(yield* Seed.firstStart)

      yield* authority.authorize({ tenant, ...before })
      yield* authority.authorize({ tenant, ...made })
    }).pipe(Effect.provide(Live)))

  it.effect("makes no API key when it can't make the user", () =>
    Effect.gen(function*() {
      yield* SqlClient.use((sql) => sql`ALTER TABLE users RENAME COLUMN email TO mail`)

      const exit = yield* Effect.exit(Seed.firstStart)

      assert.isTrue(Exit.isFailure(exit))
      assert.deepStrictEqual(yield* apiKeys, [])
    }).pipe(Effect.provide(Live)))

  it.effect("makes one user and one API key when two start at once", () =>
    Effect.gen(function*() {
      const made = yield* Effect.all([Seed.firstStart, Seed.firstStart], { concurrency: 2 })

      assert.lengthOf(made.filter(Option.isSome), 1)
      assert.lengthOf(yield* users, 1)
      assert.lengthOf(yield* apiKeys, 1)
    }).pipe(Effect.provide(Live)))
})
