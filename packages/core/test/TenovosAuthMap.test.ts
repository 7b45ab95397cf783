import { TenovosAuth, TenovosAuthMap } from "@effect-tenovos/core"
import { ScriptedAuthority } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { TestClock } from "effect/testing"

const account = (username: string, apiKey = "key", password = "secret") => ({
  endpointUrl: "https://api.example/v1",
  apiKey: Redacted.make(apiKey),
  username,
  password: Redacted.make(password)
})

const script: ScriptedAuthority.Script = (request, index) => {
  const { password, username } = JSON.parse(request.body)
  return Effect.succeed(
    password === "secret"
      ? Response.json({ session: { accessToken: `${username}-${request.headers["x-api-key"]}-${index}` } })
      : Response.json({ status: "error", message: "Invalid Authentication Parameters" }, { status: 401 })
  )
}

const provideMap = (options?: TenovosAuthMap.Options) =>
  Effect.provide(TenovosAuthMap.layer(options).pipe(Layer.provideMerge(ScriptedAuthority.layer(script))))

const tokenOf = (options: ReturnType<typeof account>) =>
  TenovosAuthMap.TenovosAuthMap.use((map) =>
    Effect.map(TenovosAuth.TenovosAuth.use((auth) => auth.accessToken), Redacted.value).pipe(
      Effect.provide(map.get(options))
    )
  )

const signIns = Effect.map(
  ScriptedAuthority.ScriptedAuthority.use((authority) => authority.received),
  (all) => all.length
)

describe("TenovosAuthMap", () => {
  it.effect("keeps one session for each account, and shows none to another", () =>
    Effect.gen(function*() {
      const tokens = yield* Effect.forEach(
        [account("ada"), account("grace"), account("ada", "other"), account("ada"), account("grace")],
        tokenOf,
        { concurrency: "unbounded" }
      )

      assert.deepStrictEqual(tokens.map((token) => token.replace(/-\d+$/, "")), [
        "ada-key",
        "grace-key",
        "ada-other",
        "ada-key",
        "grace-key"
      ])
      assert.strictEqual(new Set(tokens).size, 3)
      assert.strictEqual(yield* signIns, 3)
    }).pipe(provideMap()))

  it.effect("serves no session to a password that did not open it", () =>
    Effect.gen(function*() {
      yield* tokenOf(account("ada"))
      const error = yield* Effect.flip(tokenOf(account("ada", "key", "guess")))

      assert.strictEqual(error._tag === "AuthError" && error.reason._tag, "Unauthorized")
    }).pipe(provideMap()))

  it.effect("lets go of a session that nobody used for a while", () =>
    Effect.gen(function*() {
      yield* tokenOf(account("ada"))
      yield* TestClock.adjust("9 minutes")
      yield* tokenOf(account("ada"))
      assert.strictEqual(yield* signIns, 1)

      yield* TestClock.adjust("11 minutes")
      yield* tokenOf(account("ada"))
      assert.strictEqual(yield* signIns, 2)
    }).pipe(provideMap({ idleTimeToLive: "10 minutes" })))

  it.effect("has no room for more than its capacity", () =>
    Effect.gen(function*() {
      yield* tokenOf(account("ada"))
      const error = yield* Effect.flip(tokenOf(account("grace")))
      assert.strictEqual(error._tag, "ExceededCapacityError")

      yield* TenovosAuthMap.TenovosAuthMap.use((map) => map.invalidate(account("ada")))
      assert.match(yield* tokenOf(account("grace")), /^grace/)
    }).pipe(provideMap({ capacity: 1 })))
})
