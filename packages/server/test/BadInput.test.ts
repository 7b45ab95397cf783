import { Authority, AuthorityServer, Database } from "@effect-tenovos/server"
import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { gzipSync } from "node:zlib"
import * as fixtures from "./fixtures/authority.ts"
import { bytes, chunk, exchange, type RawRequest } from "./fixtures/rawHttp.ts"
import { shared } from "./support/databases.ts"

const { apiKey, password, tenant, username } = fixtures

const host = "Host: localhost"
const close = "Connection: close"
const key = `X-API-Key: ${apiKey}`
const json = "Content-Type: application/json"
const all = [host, close, key, json]

const parameters = "Invalid Authentication Parameters"
const forbidden = "Forbidden"
const noOperation = "Missing Authentication Token"
const notFound = "Not Found"
const tooLong = "Request Too Long"
const notHttp = "Bad Request"

/** The body of a sign-in that is fine but for the password. */
const wrong = JSON.stringify({ username, password: "wrong" })

type Case = readonly [title: string, request: RawRequest, status: number, message: string, end?: boolean]

const body = (title: string, body: string | Uint8Array, status: number, message = parameters): Case => [
  title,
  { headers: all, body },
  status,
  message
]

const headers = (title: string, headers: ReadonlyArray<string>, status: number, message: string): Case => [
  title,
  { headers, body: wrong },
  status,
  message
]

const path = (title: string, path: string, status: number, message: string): Case => [
  title,
  { path, headers: all, body: wrong },
  status,
  message
]

const method = (method: string, status: number, message: string): Case => [
  `the method ${method}`,
  { method, headers: all },
  status,
  message
]

const nested = (open: string, close: string, inside: string) => open.repeat(10_000) + inside + close.repeat(10_000)

const bodies: ReadonlyArray<Case> = [
  ["no body and no length", { headers: all }, 400, parameters],
  body("an empty body", "", 400),
  body("a body of spaces", "   ", 400),
  body("text", "username=ada", 400),
  body("JSON cut short", `{"username":"ada","password":"x`, 400),
  body("two JSON values", `{}${wrong}`, 400),
  body("single quotes", `{'username':'ada','password':'x'}`, 400),
  body("a trailing comma", `{"username":"ada","password":"x",}`, 400),
  body("a comment", `/* */${wrong}`, 400),
  body("null", "null", 400),
  body("true", "true", 400),
  body("a number", "42", 400),
  body("NaN", "NaN", 400),
  body("a string", `"ada"`, 400),
  body("an empty array", "[]", 400),
  body("a sign-in in an array", `[${wrong}]`, 400),
  body("an empty object", "{}", 400),
  body("a number for the username", `{"username":7,"password":"x"}`, 400),
  body("a number for the password", `{"username":"ada","password":7}`, 400),
  body("null for the password", `{"username":"ada","password":null}`, 400),
  body("an array for the username", `{"username":["ada"],"password":"x"}`, 400),
  body("an object for the username", `{"username":{"$ne":""},"password":"x"}`, 400),
  body("a huge number", `{"username":1e999,"password":"x"}`, 400),
  body("names in the wrong case", `{"Username":"ada","Password":"x"}`, 400),
  body("empty strings", `{"username":"","password":""}`, 400),
  body("an empty password", `{"username":"ada","password":""}`, 401),
  body("an empty username", `{"username":"","password":"x"}`, 400),
  body("null for the session", `{"session":null,"username":"ada","password":"wrong"}`, 401),
  body("a string for the session", `{"session":"x"}`, 400),
  body("an array for the session", `{"session":["x","y"]}`, 400),
  body("an empty session", `{"session":{}}`, 400),
  body("numbers for the tokens", `{"session":{"refreshToken":1,"accessToken":2}}`, 400),
  body("empty tokens", `{"session":{"refreshToken":"","accessToken":""}}`, 400),
  body(
    "both forms at once",
    JSON.stringify({ username, password, session: { refreshToken: "x", accessToken: "y" } }),
    401,
    "Invalid Refresh Token"
  ),
  body("both forms at once, one of them empty", JSON.stringify({ username, password, session: {} }), 400),
  body("arrays 10,000 deep", nested("[", "]", ""), 400),
  body("objects 10,000 deep", nested(`{"a":`, "}", "1").slice(0, 65_000), 400),
  body("a session 10,000 deep", `{"session":${nested("[", "]", "")}}`, 400),
  body("a username 10,000 deep", `{"username":${nested("[", "]", "")},"password":"x"}`, 400),
  body("something 10,000 deep beside a sign-in", `{"x":${nested("[", "]", "")},${wrong.slice(1)}`, 401),
  body("a long username", JSON.stringify({ username: "a".repeat(60_000), password }), 401),
  body("a long password", JSON.stringify({ username, password: "a".repeat(60_000) }), 401),
  body("64 KiB", wrong + " ".repeat(65_536 - wrong.length), 401),
  body("one byte more", wrong + " ".repeat(65_537 - wrong.length), 413, tooLong),
  body("a megabyte", wrong + " ".repeat(1_000_000), 413, tooLong),
  body("a NUL in the JSON", `{"username":"ada\0","password":"x"}`, 400),
  body("an escaped NUL in the username", String.raw`{"username":"ada\u0000","password":"${password}"}`, 401),
  body("an escaped NUL after the password", String.raw`{"username":"ada","password":"${password}\u0000"}`, 401),
  body("a lone surrogate", String.raw`{"username":"\ud800","password":"\udfff"}`, 401),
  body("other alphabets", `{"username":"аda","password":"пароль🗝"}`, 401),
  body("bytes that are not UTF-8", Buffer.from(`{"username":"\xff\xfe","password":"x"}`, "latin1"), 401),
  body("a byte order mark", `\ufeff${wrong}`, 401),
  body("UTF-16", Buffer.from(`\ufeff${wrong}`, "utf16le"), 400),
  body("__proto__", `{"__proto__":{"username":"ada","password":"${password}"}}`, 400),
  body("__proto__ in the session", `{"session":{"__proto__":{"refreshToken":"x","accessToken":"y"}}}`, 400),
  body("constructor", `{"constructor":{"prototype":{"session":{}}}}`, 400),
  body("a name twice, the last one wrong", `{"username":"ada","password":"${password}","password":"x"}`, 401),
  body("SQL", `{"username":"' OR 1=1 --","password":"' OR ''='"}`, 401)
]

const lengths: ReadonlyArray<Case> = [
  ["a compressed body", { headers: [...all, "Content-Encoding: gzip"], body: gzipSync(wrong) }, 400, parameters],
  ["a chunked body", chunked(`${chunk(wrong)}0\r\n\r\n`), 401, parameters],
  ["a megabyte in chunks", chunked(`${chunk(" ".repeat(1_000_000))}0\r\n\r\n`), 413, tooLong],
  ["a megabyte announced and not sent", { headers: [...all, "Content-Length: 1000000"], body: "{" }, 413, tooLong],
  ["a chunk without a length", chunked("zz\r\nhello\r\n0\r\n\r\n"), 400, notHttp],
  ["chunks that stop", chunked(chunk(wrong)), 400, notHttp, true],
  ["a body that stops", { headers: [...all, "Content-Length: 999"], body: wrong }, 400, notHttp, true],
  ["a length that is no number", { headers: [...all, "Content-Length: many"], body: wrong }, 400, notHttp],
  ["a negative length", { headers: [...all, "Content-Length: -1"], body: wrong }, 400, notHttp],
  ["two lengths", { headers: [...all, "Content-Length: 1", "Content-Length: 2"], body: wrong }, 400, notHttp],
  [
    "a length and chunks",
    { headers: [...all, "Content-Length: 5", "Transfer-Encoding: chunked"], body: chunk(wrong) },
    400,
    notHttp
  ]
]

function chunked(body: string): RawRequest {
  return { headers: [...all, "Transfer-Encoding: chunked"], body }
}

const headings: ReadonlyArray<Case> = [
  headers("no API key", [host, close, json], 403, forbidden),
  headers("an empty API key", [host, close, json, "X-API-Key:"], 403, forbidden),
  headers("an unknown API key", [host, close, json, "X-API-Key: x"], 403, forbidden),
  headers("the API key twice", [...all, key], 403, forbidden),
  headers("the API key in Authorization", [host, close, json, `Authorization: ${apiKey}`], 403, forbidden),
  headers("an API key of 8 kB", [host, close, json, `X-API-Key: ${"k".repeat(8_000)}`], 403, forbidden),
  headers("an API key outside ASCII", [host, close, json, "X-API-Key: \xe9\xff"], 403, forbidden),
  headers("a header of 20 kB", [...all, `X-Long: ${"x".repeat(20_000)}`], 431, "Request Header Fields Too Large"),
  headers("a NUL in a header", [...all, "X-Nul: a\0b"], 400, notHttp),
  headers("a header without a colon", [...all, "nonsense"], 400, notHttp),
  headers("a space before the colon", [...all, "X-Space : x"], 400, notHttp),
  headers("a folded header", [...all, "X-Fold: a", " b"], 400, notHttp),
  headers("no Host", [close, key, json], 400, notHttp),
  headers(
    "header names in lower case",
    all.map((header) => header.replace(/^[^:]+/, (name) => name.toLowerCase())),
    401,
    parameters
  ),
  headers(
    "header names in upper case",
    all.map((header) => header.replace(/^[^:]+/, (name) => name.toUpperCase())),
    401,
    parameters
  ),
  headers("no content type", [host, close, key], 400, parameters),
  headers("text/plain", [host, close, key, "Content-Type: text/plain"], 400, parameters),
  headers("a form", [host, close, key, "Content-Type: application/x-www-form-urlencoded"], 400, parameters),
  headers("multipart", [host, close, key, "Content-Type: multipart/form-data; boundary=x"], 400, parameters),
  headers("another JSON", [host, close, key, "Content-Type: application/problem+json"], 400, parameters),
  headers("two content types in one", [host, close, key, `${json}, text/plain`], 400, parameters),
  headers("an expectation", [...all, "Expect: 100-continue"], 401, parameters),
  headers("an unknown expectation", [...all, "Expect: miracles"], 417, "Expectation Failed"),
  headers("an upgrade", [host, key, json, "Connection: close, Upgrade", "Upgrade: websocket"], 401, parameters)
]

const targets: ReadonlyArray<Case> = [
  method("GET", 403, noOperation),
  method("PUT", 403, noOperation),
  method("PATCH", 403, noOperation),
  method("OPTIONS", 403, noOperation),
  method("TRACE", 403, noOperation),
  method("PROPFIND", 403, noOperation),
  method("post", 400, notHttp),
  method("FOO", 400, notHttp),
  method("CONNECT", 400, notHttp),
  path("a trailing slash", "/v1/auth/token/", 403, noOperation),
  path("two slashes", "/v1//auth/token", 403, noOperation),
  path("two slashes in front", "//v1/auth/token", 404, notFound),
  path("upper case", "/V1/AUTH/TOKEN", 404, notFound),
  path("an encoded slash", "/v1/auth%2Ftoken", 403, noOperation),
  path("a NUL", "/v1/auth/token%00", 403, noOperation),
  path("a matrix parameter", "/v1/auth/token;a=b", 401, parameters),
  path("a matrix parameter in front", "/v1;a=b/auth/token", 403, noOperation),
  path("..;", "/x/..;/v1/auth/token", 404, notFound),
  path("dots", "/../../etc/passwd", 404, notFound),
  path("encoded dots", "/v1/%2e%2e/health", 403, noOperation),
  path("half an escape", "/v1/auth/token%2", 403, noOperation),
  path("a broken escape", "/%zz", 404, notFound),
  path("an escape that is not UTF-8", "/v1/%ff", 403, noOperation),
  path("8 kB", `/v1/${"x".repeat(8_000)}`, 403, noOperation),
  path("20 kB", `/v1/${"x".repeat(20_000)}`, 431, "Request Header Fields Too Large"),
  path("another host", "http://example.com/v1/nothing", 403, noOperation),
  path("a star", "*", 404, notFound),
  path("no slash", "v1/auth/token", 400, notHttp),
  path("a query", "/v1/auth/token?username=ada", 401, parameters),
  path("a space", "/v1/auth/ token", 400, notHttp),
  ["another version", { version: "HTTP/3.0", headers: all, body: wrong }, 400, notHttp],
  ["no version", { version: "", headers: all, body: wrong }, 400, notHttp]
]

const deletes: ReadonlyArray<Case> = [
  "",
  "null",
  "[]",
  "{}",
  `{"session":[]}`,
  `{"clientId":"x","userPoolId":"y"}`,
  `{"session":{"accessToken":7},"clientId":"x","userPoolId":"y"}`
].map((body) => [`DELETE with ${body || "nothing"}`, { method: "DELETE", headers: all, body }, 400, parameters])

const samples: ReadonlyArray<Case> = [
  ["a search without tokens", { path: "/v1/search/keyword", headers: all, body: "[" }, 401, "Unauthorized"],
  [
    "a search with tokens twice",
    {
      path: "/v1/search/keyword",
      headers: [...all, "AccessToken: a", "AccessToken: b", "Authorization: c"],
      body: "{}"
    },
    401,
    "Unauthorized"
  ]
]

/** Every row of every table, in a connection of its own. */
class Contents extends Context.Service<Contents, Effect.Effect<unknown, SqlError>>()("test/Contents") {}

const Live = Layer.unwrap(Effect.gen(function*() {
  const database = yield* shared
  const contents = Layer.effect(
    Contents,
    Effect.map(SqlClient, (sql) =>
      Effect.forEach(
        ["installation", "keys", "api_keys", "users", "sessions"],
        (table) => sql`SELECT * FROM ${sql(table)}`
      ))
  ).pipe(Layer.provide(Layer.fresh(Database.layer(database))))
  return Layer.provideMerge(contents, fixtures.layerNode({ database }))
}))

describe("bad input", () => {
  layer(Live)((it) => {
    for (
      const [title, request, status, message, end] of [
        ...bodies,
        ...lengths,
        ...headings,
        ...targets,
        ...deletes,
        ...samples
      ]
    ) {
      it.effect(`${title}: ${status}`, () =>
        Effect.gen(function*() {
          const { origin } = yield* AuthorityServer.AuthorityServer
          const contents = yield* Contents
          const before = yield* contents

          const answer = yield* exchange(origin, bytes(request), end)

          assert.strictEqual(answer.status, status, answer.body)
          assert.strictEqual(answer.contentType, "application/json")
          const parsed = JSON.parse(answer.body)
          assert.strictEqual(parsed.message, message)
          assert.deepStrictEqual(Object.keys(parsed), parsed.status === "error" ? ["status", "message"] : ["message"])
          assert.deepStrictEqual(yield* contents, before)
        }))
    }

    it.effect("what is no HTTP at all: 400", () =>
      Effect.gen(function*() {
        const { origin } = yield* AuthorityServer.AuthorityServer
        const hello = Buffer.from("1603010200010001fc0303", "hex")

        for (
          const request of [
            hello,
            Buffer.from("\r\n\r\nhello\r\n\r\n"),
            Buffer.alloc(1000),
            Buffer.from("GET /\r\n\r\n")
          ]
        ) {
          const answer = yield* exchange(origin, request, true)
          assert.deepStrictEqual([answer.status, answer.contentType, answer.body], [
            400,
            "application/json",
            `{"message":"Bad Request"}`
          ])
        }
      }))

    it.effect("what comes while an earlier request is being answered: no answer that could be taken for that one's", () =>
      Effect.gen(function*() {
        const { origin } = yield* AuthorityServer.AuthorityServer
        const first = bytes({ headers: [host, key, json], body: wrong })

        for (
          const second of [
            bytes({ method: "CONNECT", path: "example.com:443", headers: [host] }),
            bytes({ headers: [host, "Expect: the unexpected"], body: wrong }),
            Buffer.from("hello\r\n\r\n")
          ]
        ) {
          const answer = yield* exchange(origin, Buffer.concat([first, second]))
          assert.deepStrictEqual([answer.status, answer.body], [0, ""], second.toString())
        }
      }))

    it.effect("and afterwards a normal sign-in works", () =>
      Effect.gen(function*() {
        const { origin } = yield* AuthorityServer.AuthorityServer
        // Among the bad input were wrong passwords.
        yield* (yield* Authority.Authority).unlock({ tenant, username })

        const answer = yield* exchange(origin, bytes({ headers: all, body: JSON.stringify({ username, password }) }))

        assert.strictEqual(answer.status, 200)
      }))
  })
})
