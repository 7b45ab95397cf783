import { Audit, AuthorityApi } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as fixtures from "./fixtures/authority.ts"

const { call, expire, jwks, refresh, sample, signIn, token, verify } = fixtures

describe("POST /v1/auth/token", () => {
  it.effect("answers a sign-in with every field of the contract", () =>
    Effect.gen(function*() {
      const answer = yield* token({ username: fixtures.username, password: fixtures.password })
      const body = yield* Schema.decodeUnknownEffect(fixtures.Issued)(answer.body)

      assert.strictEqual(answer.status, 200)
      assert.strictEqual(answer.headers["content-type"], "application/json")
      assert.strictEqual(answer.headers["date"], "Thu, 01 Jan 1970 00:00:00 GMT")
      assert.deepStrictEqual(Object.keys(Object(answer.body)), [
        "endpointUrl",
        "clientId",
        "userPoolId",
        "username",
        "password",
        "session"
      ])
      assert.deepStrictEqual(Object.keys(body.session), [
        "authorization",
        "refreshToken",
        "accessToken",
        "expireEpoch"
      ])
      assert.strictEqual(body.endpointUrl, "https://tenovos.example/v1")
      assert.match(body.clientId, /^[a-z0-9]{26}$/)
      assert.match(body.userPoolId, /^us-east-1_[A-Za-z0-9]{9}$/)
      assert.strictEqual(body.username, fixtures.username)
      assert.strictEqual(body.password, "")
      assert.strictEqual(body.session.expireEpoch, 3_600_000)
    }).pipe(Effect.provide(fixtures.layer({ endpointUrl: "https://tenovos.example/v1" }))))

  it.effect("refreshes in the short and in the long form, with new tokens and the same refresh token", () =>
    Effect.gen(function*() {
      const first = yield* signIn
      yield* TestClock.adjust("10 minutes")
      const { accessToken, refreshToken } = first.session

      const short = yield* token({ session: { refreshToken, accessToken } })
      const long = yield* token(first)

      for (const answer of [short, long]) {
        assert.strictEqual(answer.status, 200)
        const body = yield* Schema.decodeUnknownEffect(fixtures.Issued)(answer.body)
        assert.strictEqual(body.username, fixtures.username)
        assert.strictEqual(body.session.refreshToken, refreshToken)
        assert.notStrictEqual(body.session.accessToken, accessToken)
        assert.strictEqual(body.session.expireEpoch, 4_200_000)
        const { payload } = yield* verify(body.session.accessToken)
        assert.strictEqual(payload["auth_time"], 0)
        assert.strictEqual(payload.iat, 600)
      }
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("takes clientId and userPoolId of old programs in any form", () =>
    Effect.gen(function*() {
      const { status } = yield* token({
        username: fixtures.username,
        password: fixtures.password,
        clientId: null,
        userPoolId: 7
      })

      assert.strictEqual(status, 200)
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("refuses with the contract's statuses and texts", () =>
    Effect.gen(function*() {
      const { session } = yield* signIn
      const other = yield* signIn
      const { accessToken, refreshToken } = session
      const { password, username } = fixtures
      const long = "x".repeat(257)
      const parameters = "Invalid Authentication Parameters"
      const cases: ReadonlyArray<readonly [body: unknown, status: number, message: string]> = [
        [{ username, password: "" }, 401, parameters],
        [{ username }, 400, parameters],
        [{ username, password: "wrong" }, 401, parameters],
        [{ username: "nobody", password }, 401, parameters],
        [{ username: username.toUpperCase(), password }, 401, parameters],
        [{ username: long, password }, 401, parameters],
        [{ username, password: long }, 401, parameters],
        [{ username, password: "é".repeat(129) }, 401, parameters],
        [{ username }, 400, parameters],
        [{ password }, 400, parameters],
        [{}, 400, parameters],
        [{ session: { refreshToken: "unknown", accessToken } }, 401, "Invalid Refresh Token"],
        [{ session: { refreshToken: "unknown", accessToken: "x" } }, 401, "Invalid Refresh Token"],
        [{ session: { refreshToken: `${refreshToken}x`, accessToken } }, 401, "Invalid Refresh Token"],
        [{ session: { refreshToken, accessToken: "x" } }, 401, "Invalid Access Token"],
        [{ session: { refreshToken, accessToken: "a.b.c" } }, 401, "Invalid Access Token"],
        [{ session: { refreshToken, accessToken: session.authorization } }, 401, "Invalid Access Token"],
        [{ session: { refreshToken, accessToken: other.session.accessToken } }, 401, "Invalid Access Token"],
        [
          { session: { refreshToken, accessToken: `${accessToken.slice(0, -9)}AAAAAAAAA` } },
          401,
          "Invalid Access Token"
        ],
        [{ session: { refreshToken } }, 400, parameters],
        [{ session: { accessToken } }, 400, parameters],
        [{ session: { refreshToken: "", accessToken } }, 400, parameters],
        [{ session: { refreshToken, accessToken: "" } }, 400, parameters],
        [{ session: null }, 400, parameters]
      ]

      for (const [body, status, message] of cases) {
        const answer = yield* token(body)
        assert.strictEqual(answer.status, status, JSON.stringify(body))
        assert.deepStrictEqual(answer.body, { status: "error", message }, JSON.stringify(body))
      }
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("takes a session of null for none", () =>
    Effect.gen(function*() {
      const answer = yield* token({ username: fixtures.username, password: fixtures.password, session: null })

      assert.strictEqual(answer.status, 200)
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("asks to come again when too many sign in at once", () =>
    Effect.gen(function*() {
      const credentials = { username: fixtures.username, password: fixtures.password }
      const refusal = token(credentials).pipe(Effect.filterOrElse(({ status }) => status !== 200, () => Effect.never))

      // More than there are places, since some are free again before the last has found its user.
      const refused = yield* Effect.raceAll(Array.from({ length: 400 }, () => refusal))
      const accepted = yield* token(credentials)

      assert.deepStrictEqual([refused.status, refused.text], [429, `{"message":"Too Many Requests"}`])
      assert.strictEqual(refused.headers["retry-after"], "1")
      assert.deepStrictEqual([accepted.status, accepted.headers["retry-after"]], [200, undefined])
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("answers an unknown user and a wrong password with the same bytes", () =>
    Effect.gen(function*() {
      const unknown = yield* token({ username: "nobody", password: "wrong" })
      const wrong = yield* token({ username: fixtures.username, password: "wrong" })

      assert.deepStrictEqual([unknown.status, unknown.text, unknown.headers], [wrong.status, wrong.text, wrong.headers])
    }).pipe(Effect.provide(fixtures.layer())))
})

describe("DELETE /v1/auth/token", () => {
  it.effect("ends the whole session at once and leaves others alone", () =>
    Effect.gen(function*() {
      const first = yield* signIn
      const second = yield* refresh(first)
      const other = yield* signIn

      const answer = yield* expire(second)

      assert.strictEqual(answer.status, 200)
      assert.deepStrictEqual(answer.body, {
        ...second,
        session: { ...second.session, authorization: "", accessToken: "" }
      })
      assert.strictEqual((yield* sample(first)).status, 401)
      assert.strictEqual((yield* sample(second)).status, 401)
      assert.strictEqual((yield* sample(other)).status, 200)
      const refreshed = yield* token(second)
      assert.deepStrictEqual([refreshed.status, refreshed.body], [
        401,
        { status: "error", message: "Refresh Token has been revoked" }
      ])
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("does not echo a password", () =>
    Effect.gen(function*() {
      const answer = yield* expire({ ...(yield* signIn), password: fixtures.password })

      assert.strictEqual(answer.status, 200)
      assert.notInclude(answer.text, fixtures.password)
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("refuses a token that is not valid or not the one of the body", () =>
    Effect.gen(function*() {
      const first = yield* signIn
      const other = yield* signIn
      const { accessToken } = first.session
      const withToken = (accessToken: string) => ({ ...first, session: { ...first.session, accessToken } })

      const answers = [
        yield* call("DELETE", "/v1/auth/token", { body: first }),
        yield* expire(first, other.session.accessToken),
        yield* expire(withToken("x"), "x"),
        yield* expire(withToken(first.session.authorization)),
        yield* expire(withToken(""), "")
      ]
      yield* TestClock.adjust("1 hour")
      answers.push(yield* expire(first))
      const again = yield* refresh(first)
      yield* expire(again)
      answers.push(yield* expire(again))

      for (const answer of answers) {
        assert.strictEqual(answer.status, 401)
        assert.deepStrictEqual(answer.body, { status: "error", message: "Failed to Expire Session and Logout 1" })
      }
      assert.isAbove(accessToken.length, 0)
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("wants clientId and userPoolId", () =>
    Effect.gen(function*() {
      const { clientId, userPoolId, ...rest } = yield* signIn
      const headers = { AccessToken: rest.session.accessToken }

      for (const body of [{ ...rest, clientId }, { ...rest, userPoolId }, { ...rest, clientId: "", userPoolId }, {}]) {
        const answer = yield* call("DELETE", "/v1/auth/token", { headers, body })
        assert.strictEqual(answer.status, 400)
        assert.deepStrictEqual(answer.body, { status: "error", message: "Invalid Authentication Parameters" })
      }
    }).pipe(Effect.provide(fixtures.layer())))
})

describe("the API key", () => {
  it.effect("is looked at before anything else under /v1", () =>
    Effect.gen(function*() {
      const requests = [
        ["POST", "/v1/auth/token"],
        ["DELETE", "/v1/auth/token"],
        ["PUT", "/v1/auth/token"],
        ["GET", "/v1/security/template"],
        ["POST", "/v1/search/keyword"],
        ["GET", "/v1/asset/1"],
        ["GET", "/v1/nothing"],
        ["GET", "/v1"]
      ] as const

      for (const [method, path] of requests) {
        for (const key of ["", "unknown", `${fixtures.apiKey} `, `${fixtures.apiKey}, ${fixtures.apiKey}`]) {
          const body = method === "GET" ? {} : { body: "not what it should be" }
          const answer = yield* call(method, path, { headers: { "X-API-Key": key }, ...body })
          assert.deepStrictEqual([answer.status, answer.body], [403, { message: "Forbidden" }], `${method} ${path}`)
        }
      }
    }).pipe(Effect.provide(fixtures.layer())))
})

describe("the limit of an API key", () => {
  it.effect("counts paths that are no operation's too", () =>
    Effect.gen(function*() {
      const audit = yield* Audit.Audit
      assert.strictEqual((yield* call("GET", "/v1/nothing")).status, 403)
      assert.strictEqual((yield* call("GET", "/v1/security/template")).status, 401)

      for (const path of ["/v1/nothing", "/v1", "/v1/security/template"]) {
        const { body, headers, status } = yield* call("GET", path)
        assert.deepStrictEqual([status, body], [429, { message: "Too Many Requests" }], path)
        assert.strictEqual(headers["retry-after"], "1800")
        const [row] = yield* audit.recent({ limit: 1 })
        assert.deepInclude(row, { event: "limit", outcome: "refused", reason: "requests", tenant: fixtures.tenant })
      }
      const unknown = yield* call("GET", "/v1/nothing", { headers: { "X-API-Key": "unknown" } })
      assert.strictEqual(unknown.status, 403)
      assert.strictEqual((yield* call("GET", "/nothing")).status, 404)

      yield* TestClock.adjust("30 minutes")
      assert.strictEqual((yield* call("GET", "/v1/nothing")).status, 403)
      assert.strictEqual((yield* call("GET", "/v1/nothing")).status, 429)
    }).pipe(Effect.provide(fixtures.layer({ limits: { perApiKey: { limit: 2, window: "1 hour" } } }))))
})

describe("what stands beside the contract", () => {
  it.effect("publishes the two signing keys and nothing private", () =>
    Effect.gen(function*() {
      const { keys } = yield* jwks

      assert.strictEqual(keys.length, 2)
      for (const key of keys) {
        assert.deepStrictEqual(Object.keys(key), ["alg", "e", "kid", "kty", "n", "use"])
        assert.deepStrictEqual([key["alg"], key["kty"], key["use"]], ["RS256", "RSA", "sig"])
      }
      assert.deepStrictEqual(keys.map((key) => key["kid"]), [fixtures.keys.id.kid, fixtures.keys.access.kid])
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("says that it is well, without an API key", () =>
    Effect.gen(function*() {
      const answer = yield* call("GET", "/health", { headers: { "X-API-Key": "" } })

      assert.deepStrictEqual([answer.status, answer.body], [200, { status: "ok" }])
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("says that it is unavailable when the database fails", () =>
    Effect.gen(function*() {
      const database = join(mkdtempSync(join(tmpdir(), "authority-")), "authority.sqlite")
      yield* Effect.gen(function*() {
        const other = new DatabaseSync(database)
        other.exec("DROP TABLE installation")
        other.close()

        const answer = yield* call("GET", "/health")

        assert.deepStrictEqual([answer.status, answer.body], [503, { status: "unavailable" }])
      }).pipe(Effect.provide(fixtures.layer({ database })))
    }))

  it.effect("shows the API on a page that loads nothing from elsewhere", () =>
    Effect.gen(function*() {
      const { headers, status, text } = yield* call("GET", "/docs")

      assert.strictEqual(status, 200)
      assert.match(headers["content-type"] ?? "", /^text\/html/)
      assert.include(text, "GetAuthToken")
      assert.notMatch(text, /<(?:script|link|img|iframe)[^>]+(?:src|href)="(?:https?:)?\/\//)
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("describes itself, with its own address and all its operations", () =>
    Effect.gen(function*() {
      const { body, status } = yield* call("GET", "/openapi.json")
      const document = OpenApi.fromApi(AuthorityApi.AuthorityApi)

      assert.strictEqual(status, 200)
      assert.deepStrictEqual(body, JSON.parse(JSON.stringify(document)))
      assert.deepStrictEqual(document.servers, [{ url: "/v1" }])
      assert.deepStrictEqual(Object.keys(document.paths), [
        "/auth/token",
        "/security/template",
        "/search/keyword",
        "/asset/{id}"
      ])
      assert.includeMembers(Object.keys(document.components.securitySchemes), [
        "ApiKeyAuth",
        "BasicAuth",
        "AccessToken",
        "Authorization"
      ])
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("knows no other path", () =>
    Effect.gen(function*() {
      for (const path of ["/", "/nothing", "/V1/auth/token", "/v1x", "/health/", "/auth/token"]) {
        const answer = yield* call("GET", path)
        assert.deepStrictEqual([answer.status, answer.body], [404, { message: "Not Found" }], path)
      }
      for (const path of ["/v1", "/v1/", "/v1/nothing", "/v1/auth/token/", "/v1/auth/Token", "/v1//auth/token"]) {
        const answer = yield* call("POST", path)
        assert.deepStrictEqual([answer.status, answer.body], [403, { message: "Missing Authentication Token" }], path)
      }
    }).pipe(Effect.provide(fixtures.layer())))
})
