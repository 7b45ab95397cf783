import { type AuthorityServer, Seed } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as fixtures from "./fixtures/authority.ts"

const { call, password, refresh, signIn, username } = fixtures

const basic = (username: string, password: string) =>
  `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`

const right = basic(username, password)

const post = (body: unknown, authorization?: string) =>
  Effect.map(
    call("POST", "/v1/auth/token", { body, headers: authorization === undefined ? {} : { authorization } }),
    ({ body, status }) => status === 200 ? 200 : [status, body]
  )

const expire = (issued: fixtures.Issued, authorization?: string) =>
  Effect.map(
    call("DELETE", "/v1/auth/token", {
      body: issued,
      headers: {
        AccessToken: issued.session.accessToken,
        ...(authorization === undefined ? {} : { authorization })
      }
    }),
    ({ body, status }) => status === 200 ? 200 : [status, body]
  )

const layer = (basicAuthentication: AuthorityServer.Options["basicAuthentication"]) =>
  Effect.provide(fixtures.layer({ basicAuthentication }))

const missing = [401, { message: "Unauthorized" }]
const invalid = [401, { status: "error", message: "Invalid Authentication Parameters" }]
const kept = [401, { status: "error", message: "Failed to Expire Session and Logout 1" }]
const credentials = { username, password }

describe("a Basic header", () => {
  it.effect("is not looked at by default", () =>
    Effect.gen(function*() {
      const issued = yield* signIn

      assert.strictEqual(yield* post(credentials, basic("nobody", "wrong")), 200)
      assert.strictEqual(yield* post(issued, "Basic ???"), 200)
      assert.strictEqual(yield* expire(issued, basic("nobody", "wrong")), 200)
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("may be sent where it is accepted, and must then say the same as the body", () =>
    Effect.gen(function*() {
      const issued = yield* signIn

      assert.strictEqual(yield* post(credentials), 200)
      assert.strictEqual(yield* post(credentials, right), 200)
      assert.strictEqual(yield* post(credentials, right.replace("Basic", "bASIC")), 200)
      assert.strictEqual(yield* post(credentials, `Bearer ${issued.session.authorization}`), 200)
      assert.strictEqual(yield* post(issued, issued.session.authorization), 200)
      assert.deepStrictEqual(yield* post(credentials, basic(username, "wrong")), invalid)
      assert.deepStrictEqual(yield* post(credentials, basic("bob", "hunter2")), invalid)
      assert.deepStrictEqual(yield* post({ ...credentials, password: "wrong" }, right), invalid)
      assert.deepStrictEqual(yield* post(credentials, "Basic ???"), missing)
      assert.deepStrictEqual(yield* post(credentials, "Basic"), missing)
      assert.deepStrictEqual(yield* post(credentials, `Basic ${btoa("no colon")}`), missing)
    }).pipe(layer("accepted")))

  it.effect("must be sent where it is required", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* post(credentials), missing)
      assert.deepStrictEqual(yield* post(credentials, "x"), missing)
      assert.deepStrictEqual(yield* post("no object"), missing)
      assert.strictEqual(yield* post(credentials, right), 200)
    }).pipe(layer("required")))

  it.effect("must be sent with a refresh and an expiry too where it is required, and does nothing without", () =>
    Effect.gen(function*() {
      const answer = yield* call("POST", "/v1/auth/token", { body: credentials, headers: { authorization: right } })
      const issued = yield* Schema.decodeUnknownEffect(fixtures.Issued)(answer.body)

      for (const authorization of [undefined, issued.session.authorization, `Bearer ${issued.session.authorization}`]) {
        assert.deepStrictEqual(yield* post(issued, authorization), missing)
        assert.deepStrictEqual(yield* expire(issued, authorization), missing)
      }
      assert.strictEqual(yield* post(issued, right), 200)
      assert.strictEqual(yield* expire(issued, right), 200)
    }).pipe(layer("required")))

  it.effect("must name the session's user for a refresh and an expiry, and its password is not asked for", () =>
    Effect.gen(function*() {
      const issued = yield* signIn

      assert.deepStrictEqual(yield* post(issued, basic("bob", "hunter2")), invalid)
      assert.deepStrictEqual(yield* expire(issued, basic("bob", "hunter2")), kept)
      const renewed = yield* refresh(issued)
      assert.strictEqual(yield* post(renewed, basic(username, "")), 200)
      assert.strictEqual(yield* expire(renewed, right), 200)
    }).pipe(layer("accepted")))

  it.effect("may hold a colon and letters beyond ASCII in its password", () =>
    Effect.gen(function*() {
      const username = "carl"
      const password = "a:b:ü"
      yield* Seed.apply({ apiKeys: [], users: [{ username, password: Redacted.make(password) }] })

      assert.strictEqual(yield* post({ username, password }, basic(username, password)), 200)
      assert.deepStrictEqual(yield* post({ username, password }, basic(username, "a")), invalid)
    }).pipe(layer("required")))
})
