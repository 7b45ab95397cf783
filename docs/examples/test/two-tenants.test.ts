import { TenovosAuthMap } from "@effect-tenovos/core"
import { Authority } from "@effect-tenovos/server"
import { TestTenovos } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { compare } from "../two-tenants.ts"
import * as wire from "./support/wire.ts"

const north = TestTenovos.credentials
const south = {
  ...north,
  apiKey: Redacted.make("the-api-key-of-the-south"),
  username: "bob",
  password: Redacted.make("the-password-of-the-south")
}

/** Each request: whose API key it had, what it was for, and with which access token. */
class Sent extends Context.Service<
  Sent,
  Array<{ readonly key: string | undefined; readonly path: string; readonly token: string | undefined }>
>()("examples/Sent") {}

const World = TenovosAuthMap.layer().pipe(
  Layer.provideMerge(
    Layer.unwrap(
      Effect.map(
        Sent,
        (sent) =>
          wire.tap(({ headers, url }) =>
            Effect.sync(() =>
              void sent.push({ key: headers["x-api-key"], path: new URL(url).pathname, token: headers["accesstoken"] })
            )
          )
      )
    )
  ),
  Layer.provideMerge(Layer.effectDiscard(Authority.Authority.use((authority) =>
    Effect.andThen(
      authority.addApiKey(south.apiKey, { tenant: "south" }),
      authority.addUser({ tenant: "south", username: south.username, password: south.password })
    )
  ))),
  Layer.provideMerge(TestTenovos.layer()),
  Layer.provideMerge(Layer.sync(Sent, () => []))
)

const both = { both: ["Everyone may read", "Editors may change"], onlyNorth: [], onlySouth: [] }

describe("two-tenants.ts", () => {
  it.effect("signs in once for each, and sends the session of each with its own key only", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* compare({ north, south }), both)
      assert.deepStrictEqual(yield* compare({ north, south }), both)

      const sent = yield* Sent
      for (const { apiKey } of [north, south]) {
        const own = sent.filter(({ key }) => key === Redacted.value(apiKey))
        assert.deepStrictEqual(own.map(({ path }) => path), [
          "/v1/auth/token",
          "/v1/security/template",
          "/v1/security/template"
        ])
        assert.strictEqual(new Set(own.slice(1).map(({ token }) => token)).size, 1)
      }
      assert.strictEqual(sent.length, 6)
      assert.strictEqual(new Set(sent.map(({ token }) => token)).size, 3)
    }).pipe(Effect.provide(World)))

  it.effect("fails for a tenant whose credentials are refused, and serves the other", () =>
    Effect.gen(function*() {
      const outcome = yield* compare({ north, south: { ...south, password: Redacted.make("wrong") } }).pipe(
        Effect.catchReason("AuthError", "Unauthorized", ({ message }) => Effect.succeed(message))
      )
      assert.strictEqual(outcome, "Invalid Authentication Parameters")

      assert.deepStrictEqual(yield* compare({ north, south }), both)
    }).pipe(Effect.provide(World)))
})
