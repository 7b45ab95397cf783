import { Authority, AuthorityServer, Passwords, Seed } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import { assertEquals } from "@effect/vitest/utils"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as jose from "jose"
import * as fixtures from "./fixtures/authority.ts"

const { expire, refresh, sample, signIn, token, verify } = fixtures

const replacing = (options?: AuthorityServer.Options) =>
  Effect.provide(fixtures.layer({ refreshAnswer: "replaces", ...options }))

const revoked = { status: "error", message: "Refresh Token has been revoked" }

describe("the answer to a refresh", () => {
  const sessionOf = (answer: { readonly body: unknown }) =>
    Schema.decodeUnknownEffect(Schema.Struct({ session: Schema.Record(Schema.String, Schema.Unknown) }))(answer.body)

  it.effect("repeats the refresh token", () =>
    Effect.gen(function*() {
      const first = yield* signIn
      const { session } = yield* sessionOf(yield* token(first))

      assert.strictEqual(session["refreshToken"], first.session.refreshToken)
    }).pipe(Effect.provide(fixtures.layer({ refreshAnswer: "repeats" }))))

  it.effect("omits the refresh token, which stays good", () =>
    Effect.gen(function*() {
      const first = yield* signIn
      const { session } = yield* sessionOf(yield* token(first))
      const again = yield* token(first)

      assert.deepStrictEqual(Object.keys(session), ["authorization", "accessToken", "expireEpoch"])
      assert.strictEqual(again.status, 200)
    }).pipe(Effect.provide(fixtures.layer({ refreshAnswer: "omits" }))))

  it.effect("replaces the refresh token by one that jose opens, and that ends when the first would have", () =>
    Effect.gen(function*() {
      const first = yield* signIn
      yield* TestClock.adjust("20 days")
      const second = yield* refresh(first)
      const opened = yield* Effect.promise(() =>
        jose.compactDecrypt(second.session.refreshToken, fixtures.keys.refresh.privateKey)
      )
      const { payload } = jose.UnsecuredJWT.decode(new TextDecoder().decode(opened.plaintext), {
        currentDate: new Date(0)
      })
      yield* TestClock.adjust("863999 seconds")
      const third = yield* token(second)
      yield* TestClock.adjust("1 second")
      const late = yield* token(third.body)

      assert.notStrictEqual(second.session.refreshToken, first.session.refreshToken)
      assert.deepStrictEqual([payload["token_use"], payload.iat, payload.exp], ["refresh", 20 * 86400, 30 * 86400])
      assert.strictEqual(third.status, 200)
      assert.deepStrictEqual(late.body, { status: "error", message: "Refresh Token has expired" })
    }).pipe(replacing()))

  it.effect("keeps the sign-in's time and origin, and names a new event and a new token", () =>
    Effect.gen(function*() {
      const first = yield* signIn
      yield* TestClock.adjust("10 minutes")
      const second = yield* refresh(first)

      const [before, after, id] = yield* Effect.forEach(
        [first.session.accessToken, second.session.accessToken, second.session.authorization],
        (jwt) => Effect.map(verify(jwt), ({ payload }) => payload)
      )
      for (const claim of ["auth_time", "origin_jti", "sub", "iss", "client_id"]) {
        assert.strictEqual(after?.[claim], before?.[claim], claim)
      }
      assert.notStrictEqual(after?.["jti"], before?.["jti"])
      assert.notStrictEqual(after?.["event_id"], before?.["event_id"])
      assert.deepStrictEqual([id?.["event_id"], id?.["auth_time"]], [after?.["event_id"], 0])
      assert.deepStrictEqual([before?.iat, after?.iat], [0, 600])
    }).pipe(replacing()))
})

describe("a refresh token that was replaced", () => {
  it.effect("gets the same child back for ten seconds, with tokens that are good", () =>
    Effect.gen(function*() {
      const first = yield* signIn
      const lost = yield* refresh(first)
      yield* TestClock.adjust("9999 millis")
      const again = yield* refresh(first)

      assert.strictEqual(again.session.refreshToken, lost.session.refreshToken)
      assert.strictEqual((yield* sample(again)).status, 200)
      assert.strictEqual((yield* sample(lost)).status, 200)
    }).pipe(replacing()))

  it.effect("ends the session after the grace period", () =>
    Effect.gen(function*() {
      const first = yield* signIn
      const second = yield* refresh(first)
      yield* TestClock.adjust("10 seconds")
      const late = yield* token(first)
      const child = yield* token(second)

      assert.deepStrictEqual([late.status, late.body], [401, revoked])
      assert.deepStrictEqual([child.status, child.body], [401, revoked])
      assert.strictEqual((yield* sample(second)).status, 401)
    }).pipe(replacing()))

  it.effect("ends the session when its child was replaced too, however soon", () =>
    Effect.gen(function*() {
      const first = yield* signIn
      const third = yield* refresh(yield* refresh(first))
      const reused = yield* token(first)

      assert.deepStrictEqual([reused.status, reused.body], [401, revoked])
      assert.strictEqual((yield* token(third)).status, 401)
    }).pipe(replacing()))

  it.effect("ends the session whatever access token comes with it", () =>
    Effect.gen(function*() {
      const first = yield* signIn
      const third = yield* refresh(yield* refresh(first))
      yield* token({ session: { refreshToken: first.session.refreshToken, accessToken: "stolen without" } })

      assert.strictEqual((yield* token(third)).status, 401)
    }).pipe(replacing()))

  it.effect("ends no session within the grace period without its access token", () =>
    Effect.gen(function*() {
      const first = yield* signIn
      const second = yield* refresh(first)
      const refused = yield* token({ session: { refreshToken: first.session.refreshToken, accessToken: "x" } })

      assert.deepStrictEqual(refused.body, { status: "error", message: "Invalid Access Token" })
      assert.strictEqual((yield* token(second)).status, 200)
    }).pipe(replacing()))

  it.effect("has another grace period by option", () =>
    Effect.gen(function*() {
      const first = yield* signIn
      yield* refresh(first)
      yield* TestClock.adjust("59999 millis")

      assert.strictEqual((yield* token(first)).status, 200)
    }).pipe(replacing({ rotationGrace: "1 minute" })))

  it.effect("has no grace period when it is zero", () =>
    Effect.gen(function*() {
      const first = yield* signIn
      yield* refresh(first)

      assert.strictEqual((yield* token(first)).status, 401)
    }).pipe(replacing({ rotationGrace: 0 })))

  it.effect("doesn't come back after the session has ended", () =>
    Effect.gen(function*() {
      const first = yield* signIn
      const second = yield* refresh(first)
      yield* expire(second)

      assert.deepStrictEqual((yield* token(first)).body, revoked)
      assert.deepStrictEqual((yield* token(second)).body, revoked)
    }).pipe(replacing()))

  it.effect("is still known when tokens aren't replaced any more", () =>
    Effect.gen(function*() {
      yield* Seed.apply(fixtures.seed)
      const replacing = yield* Authority.make({ refreshAnswer: "replaces" })
      const repeating = yield* Authority.make()
      const { tenant } = fixtures
      const first = yield* replacing.authorize({ tenant, username: fixtures.username, password })
      const refresh = (authority: Authority.Authority["Service"], { session }: typeof first) =>
        authority.refresh({ ...session, tenant, refreshToken: session.refreshToken ?? Redacted.make("") })
      const second = yield* refresh(replacing, first)

      const again = yield* refresh(repeating, first)
      const kept = yield* refresh(repeating, second)
      yield* TestClock.adjust("10 seconds")
      const reused = yield* Effect.flip(refresh(repeating, first))
      const ended = yield* Effect.flip(refresh(repeating, second))

      assertEquals(again.session.refreshToken, second.session.refreshToken)
      assertEquals(kept.session.refreshToken, second.session.refreshToken)
      assert.deepStrictEqual([reused.message, ended.message], [revoked.message, revoked.message])
    }).pipe(Effect.provide([Passwords.layer(), AuthorityServer.layerAuthority({ keys: fixtures.keys })])))
})

const password = Redacted.make(fixtures.password)
