import { SampleApi } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as jose from "jose"
import { createSecretKey, type KeyObject, sign } from "node:crypto"
import * as fixtures from "./fixtures/authority.ts"

const { call, signIn } = fixtures

describe("SampleApi", () => {
  it.effect("answer when all three headers are good", () =>
    Effect.gen(function*() {
      const { session } = yield* signIn
      const headers = { AccessToken: session.accessToken, Authorization: session.authorization }
      const asset = SampleApi.asset(SampleApi.total)

      const templates = yield* call("GET", "/v1/security/template", { headers })
      const search = yield* call("POST", "/v1/search/keyword", { headers, body: { searchTerm: ["*"] } })
      const found = yield* call("GET", `/v1/asset/${asset.objectId}`, { headers })
      const missing = yield* call("GET", `/v1/asset/${SampleApi.asset(SampleApi.total + 1).objectId}`, { headers })

      assert.deepStrictEqual([templates.status, templates.body], [200, SampleApi.templates])
      assert.deepStrictEqual([search.status, search.body], [200, SampleApi.search({ from: 0, limit: 50 })])
      assert.deepStrictEqual([found.status, found.body], [200, asset])
      assert.deepStrictEqual([missing.status, missing.body], [403, { message: "Asset not found" }])
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("find the assets page by page, the oldest first", () =>
    Effect.gen(function*() {
      const { session } = yield* signIn
      const headers = { AccessToken: session.accessToken, Authorization: session.authorization }
      const search = (body: unknown) => call("POST", "/v1/search/keyword", { headers, body })

      const pages = yield* Effect.forEach([0, 100, 1150, 1200, 1300], (from) => search({ from, limit: 100 }))
      const results = pages.map(({ body }) => Schema.decodeUnknownSync(SampleApi.SearchResult)(body))

      assert.deepStrictEqual(results.map(({ hitCount }) => hitCount), [100, 100, 84, 34, 0])
      const names = results.map(({ result }) => [result[0]?.filename, result.at(-1)?.filename])
      assert.deepStrictEqual(names, [
        ["autumn-0001.jpg", "winter-0100.jpg"],
        ["autumn-0101.jpg", "winter-0200.jpg"],
        ["autumn-1151.jpg", "winter-1234.jpg"],
        ["autumn-1201.jpg", "winter-1234.jpg"],
        [undefined, undefined]
      ])
      for (const body of [[], "x", { from: -1 }, { from: 0.5 }, { limit: 0 }, { limit: 101 }, { limit: "9" }]) {
        const { body: answer, status } = yield* search(body)
        assert.deepStrictEqual([status, answer], [400, { status: "error", message: "Invalid Search Query" }])
      }
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("refuse as the gateway does when one is missing, wrong, swapped or of another session", () =>
    Effect.gen(function*() {
      const { session } = yield* signIn
      const other = yield* signIn
      const good = { AccessToken: session.accessToken, Authorization: session.authorization }
      const cases: ReadonlyArray<Record<string, string>> = [
        {},
        { AccessToken: session.accessToken },
        { Authorization: session.authorization },
        { ...good, AccessToken: "x" },
        { ...good, Authorization: `Bearer ${session.authorization}` },
        { AccessToken: session.authorization, Authorization: session.accessToken },
        { ...good, AccessToken: other.session.accessToken },
        { ...good, Authorization: unsigned(session.authorization) },
        { ...good, AccessToken: unsigned(session.accessToken) },
        { ...good, AccessToken: yield* meantFor("refresh", session.accessToken, fixtures.keys.access) },
        { ...good, Authorization: yield* meantFor("access", session.authorization, fixtures.keys.id) },
        { ...good, AccessToken: yield* opened(session.refreshToken) },
        { ...good, AccessToken: renamed(session.accessToken) },
        { ...good, AccessToken: yield* forged(session.accessToken, "RS256", fixtures.keys.refresh.privateKey) },
        { ...good, AccessToken: yield* forged(session.accessToken, "PS256", fixtures.keys.access.privateKey) },
        {
          ...good,
          AccessToken: yield* forged(
            session.accessToken,
            "HS256",
            createSecretKey(fixtures.keys.access.publicKey.export({ type: "spki", format: "pem" }), "utf8")
          )
        }
      ]

      for (const headers of cases) {
        for (
          const answer of [
            yield* call("GET", "/v1/security/template", { headers }),
            yield* call("POST", "/v1/search/keyword", { headers, body: "x" }),
            yield* call("GET", "/v1/asset/1", { headers })
          ]
        ) {
          assert.deepStrictEqual([answer.status, answer.body], [401, { message: "Unauthorized" }])
        }
      }
    }).pipe(Effect.provide(fixtures.layer())))
})

/** The old trick: the same claims, with a header that asks for no signature. */
const unsigned = (jwt: string) =>
  `${Buffer.from(JSON.stringify({ alg: "none" })).toString("base64url")}.${jwt.split(".")[1]}.`

/** The same claims and the same `kid`, signed otherwise. */
const forged = (jwt: string, alg: string, key: KeyObject) =>
  Effect.promise(() =>
    new jose.SignJWT(jose.decodeJwt(jwt)).setProtectedHeader({ ...jose.decodeProtectedHeader(jwt), alg }).sign(key)
  )

/** Signed as the token is, and meant for something else. */
const meantFor = (use: string, jwt: string, { privateKey }: { readonly privateKey: KeyObject }) =>
  Effect.promise(() =>
    new jose.SignJWT({ ...jose.decodeJwt(jwt), token_use: use })
      .setProtectedHeader({ alg: "RS256", ...jose.decodeProtectedHeader(jwt) })
      .sign(privateKey)
  )

/** The JWT inside a refresh token, which nothing signed. */
const opened = (jwe: string) =>
  Effect.promise(() => jose.compactDecrypt(jwe, fixtures.keys.refresh.privateKey)).pipe(
    Effect.map(({ plaintext }) => new TextDecoder().decode(plaintext))
  )

/** The right signature over a header that names another algorithm. */
const renamed = (jwt: string) => {
  const header = Buffer.from(JSON.stringify({ ...jose.decodeProtectedHeader(jwt), alg: "none" })).toString("base64url")
  const input = `${header}.${jwt.split(".")[1]}`
  return `${input}.${sign("RSA-SHA256", Buffer.from(input), fixtures.keys.access.privateKey).toString("base64url")}`
}
