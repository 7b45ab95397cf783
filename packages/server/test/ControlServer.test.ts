import { AuthorityApi, AuthorityServer, Control, ControlServer } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"
import { mkdtempSync, readdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as fixtures from "./fixtures/authority.ts"
import { bytes, exchange } from "./fixtures/rawHttp.ts"

const hour = 3_600_000
const json = { "Content-Type": "application/json" }

/** What a program in any language does: a request, and JSON. */
const plain = (method: string, url: string, headers: Record<string, string> = {}, body?: string) =>
  Effect.promise(async () => {
    const response = await fetch(url, { method, headers, ...(body === undefined ? {} : { body }) })
    return {
      status: response.status,
      type: response.headers.get("content-type"),
      date: response.headers.get("date"),
      body: await response.json()
    }
  })

const clock = Effect.flatMap(
  AuthorityServer.AuthorityServer,
  ({ origin }) => plain("GET", `${origin}/__control/clock`)
)

const post = (body: string | undefined, headers: Record<string, string> = json) =>
  Effect.flatMap(
    AuthorityServer.AuthorityServer,
    ({ origin }) => plain("POST", `${origin}/__control/clock`, headers, body)
  )

const advance = (milliseconds: number) => post(JSON.stringify({ advance: milliseconds }))

const token = (body: unknown) =>
  Effect.flatMap(
    AuthorityServer.AuthorityServer,
    ({ endpointUrl }) =>
      plain("POST", `${endpointUrl}/auth/token`, { ...json, "X-API-Key": fixtures.apiKey }, JSON.stringify(body))
  )

const call = ({ session }: fixtures.Issued) =>
  Effect.flatMap(
    AuthorityServer.AuthorityServer,
    ({ endpointUrl }) =>
      plain("GET", `${endpointUrl}/security/template`, {
        "X-API-Key": fixtures.apiKey,
        AccessToken: session.accessToken,
        Authorization: session.authorization
      })
  )

const credentials = { username: fixtures.username, password: fixtures.password }

// The clock that is wrapped here is the test's, which stands still at 1970-01-01.
const dev = fixtures.layerNode({ dev: true })

describe("/__control/clock", () => {
  it.effect("ends access tokens after an hour and refresh tokens after 30 days", () =>
    Effect.gen(function*() {
      const first = yield* token(credentials)
      assert.deepStrictEqual([first.status, (yield* call(first.body)).status], [200, 200])

      yield* advance(hour - 1)
      assert.strictEqual((yield* call(first.body)).status, 200)
      yield* advance(1)
      const refused = yield* call(first.body)
      assert.deepStrictEqual([refused.status, refused.body], [401, { message: "Unauthorized" }])
      assert.strictEqual(refused.date, "Thu, 01 Jan 1970 01:00:00 GMT")

      const second = yield* token(first.body)
      assert.strictEqual(second.status, 200)
      assert.strictEqual(second.body.session.expireEpoch, 2 * hour)
      assert.strictEqual((yield* call(second.body)).status, 200)

      yield* advance(Duration.toMillis("30 days"))
      const late = yield* token(second.body)
      assert.deepStrictEqual(
        [late.status, late.body],
        [401, { status: "error", message: "Refresh Token has expired" }]
      )
      const again = yield* token(credentials)
      assert.deepStrictEqual([again.status, (yield* call(again.body)).status], [200, 200])
    }).pipe(Effect.provide(dev)))

  it.effect("tells the time, and how far it is ahead", () =>
    Effect.gen(function*() {
      const answers = [
        yield* clock,
        yield* advance(90_000),
        yield* advance(0),
        yield* advance(0.9),
        yield* post(`{"advance":1500.5}`, { "content-type": "Application/JSON; charset=utf-8" })
      ]
      yield* TestClock.adjust("1 second")
      answers.push(yield* clock)

      assert.deepStrictEqual(answers.map(({ body }) => body), [
        { now: "1970-01-01T00:00:00.000Z", advanced: 0 },
        { now: "1970-01-01T00:01:30.000Z", advanced: 90_000 },
        { now: "1970-01-01T00:01:30.000Z", advanced: 90_000 },
        { now: "1970-01-01T00:01:30.000Z", advanced: 90_000 },
        { now: "1970-01-01T00:01:31.500Z", advanced: 91_500 },
        { now: "1970-01-01T00:01:32.500Z", advanced: 91_500 }
      ])
      for (const { status, type } of answers) assert.deepStrictEqual([status, type], [200, "application/json"])
      assert.deepStrictEqual(answers.map(({ date }) => date?.slice(17)), [
        "00:00:00 GMT",
        "00:01:30 GMT",
        "00:01:30 GMT",
        "00:01:30 GMT",
        "00:01:31 GMT",
        "00:01:32 GMT"
      ])
    }).pipe(Effect.provide(dev)))

  it.live("is ahead of this machine's clock", () =>
    Effect.gen(function*() {
      yield* advance(hour)

      const { body } = yield* clock

      assert.closeTo(Date.parse(body.now), Date.now() + hour, 60_000)
    }).pipe(Effect.provide(dev)))

  it.effect("loses no advance of many at once", () =>
    Effect.gen(function*() {
      yield* Effect.replicateEffect(advance(1000), 20, { concurrency: "unbounded" })

      assert.strictEqual((yield* clock).body.advanced, 20_000)
    }).pipe(Effect.provide(dev)))

  it.effect("refuses any other body, and leaves the clock", () =>
    Effect.gen(function*() {
      yield* advance(5000)
      const fine = `{"advance":1000}`
      const cases: ReadonlyArray<readonly [body: string | undefined, headers?: Record<string, string>]> = [
        [undefined],
        [""],
        ["advance=1000"],
        [`{"advance":1000`],
        ["null"],
        ["1000"],
        ["{}"],
        [`[${fine}]`],
        [`{"Advance":1000}`],
        [`{"advance":1000,"by":1000}`],
        [`{"advance":null}`],
        [`{"advance":true}`],
        [`{"advance":"1000"}`],
        [`{"advance":[1000]}`],
        [`{"advance":{"hours":1}}`],
        [`{"advance":-1}`],
        [`{"advance":-0.1}`],
        [`{"advance":NaN}`],
        [`{"advance":1e999}`],
        [fine, { "Content-Type": "text/plain" }],
        [fine, { "Content-Type": "application/x-www-form-urlencoded" }],
        [fine, {}]
      ]

      for (const [body, headers] of cases) {
        const answer = yield* post(body, headers)
        assert.deepStrictEqual(
          [answer.status, answer.type, answer.body],
          [400, "application/json", {
            message: "Expected { \"advance\": milliseconds }, in JSON, with a finite number from 0 on"
          }],
          JSON.stringify([body, headers])
        )
      }
      const long = yield* post(fine + " ".repeat(65_536))
      assert.deepStrictEqual([long.status, long.body], [413, { message: "Request Too Long" }])
      assert.deepStrictEqual((yield* clock).body, { now: "1970-01-01T00:00:05.000Z", advanced: 5000 })
    }).pipe(Effect.provide(dev)))

  it.effect("goes to the end of the year 9999 and no further, and works there", () =>
    Effect.gen(function*() {
      const all = Date.UTC(10_000, 0, 1) - 1

      for (const milliseconds of [all + 1, 1e300]) {
        const answer = yield* advance(milliseconds)
        assert.deepStrictEqual([answer.status, answer.body], [400, {
          message: "The clock can't go past the year 9999"
        }])
      }
      const moved = yield* advance(all)
      assert.deepStrictEqual(moved.body, { now: "9999-12-31T23:59:59.999Z", advanced: all })
      assert.strictEqual(moved.date, "Fri, 31 Dec 9999 23:59:59 GMT")
      assert.strictEqual((yield* advance(1)).status, 400)
      const { body, status } = yield* token(credentials)
      assert.deepStrictEqual([status, (yield* call(body)).status], [200, 200])
    }).pipe(Effect.provide(dev)))

  it.effect("answers no other path and no other method", () =>
    Effect.gen(function*() {
      const { origin } = yield* AuthorityServer.AuthorityServer

      for (
        const [method, path] of [
          ["GET", "/__control"],
          ["GET", "/__control/"],
          ["GET", "/__control/clock/"],
          ["GET", "/__control/Clock"],
          ["POST", "/__control/journal"],
          ["PUT", "/__control/clock"],
          ["DELETE", "/__control/clock"],
          ["OPTIONS", "/__control/clock"]
        ] as const
      ) {
        const answer = yield* plain(method, `${origin}${path}`)
        assert.deepStrictEqual([answer.status, answer.body], [404, { message: "Not Found" }], `${method} ${path}`)
      }
      const underV1 = yield* plain("GET", `${origin}/v1/__control/clock`, { "X-API-Key": fixtures.apiKey })
      assert.strictEqual(underV1.status, 403)
    }).pipe(Effect.provide(dev)))

  for (const options of [{}, { dev: false }]) {
    it.effect(`is not there with ${JSON.stringify(options)}`, () =>
      Effect.gen(function*() {
        for (const answer of [yield* clock, yield* advance(hour), yield* post("{}")]) {
          assert.deepStrictEqual([answer.status, answer.body], [404, { message: "Not Found" }])
          assert.strictEqual(answer.date, "Thu, 01 Jan 1970 00:00:00 GMT")
        }
      }).pipe(Effect.provide(fixtures.layerNode(options))))
  }

  it.effect("refuses a Host that is no name of loopback, whatever is asked", () =>
    Effect.gen(function*() {
      const { origin } = yield* AuthorityServer.AuthorityServer
      const body = `{"advance":1000}`
      const headers = ["Connection: close", "Content-Type: application/json"]
      const send = (method: string, host: string) =>
        exchange(origin, bytes({ method, path: "/__control/clock", headers: [...headers, `Host: ${host}`], body }))

      for (
        const host of [
          "evil.example",
          "evil.example:4010",
          "localhost.evil.example",
          "127.0.0.1.evil.example",
          "127.evil.example",
          "evil.example/localhost",
          "localhost:4010@evil.example",
          "localhost evil.example",
          "[::1].evil.example",
          "[evil.example]",
          "[::2]:4010",
          "128.0.0.1",
          "0.0.0.0:4010",
          "192.0.2.1",
          ""
        ]
      ) {
        for (const method of ["GET", "POST"]) {
          const answer = yield* send(method, host)
          assert.deepStrictEqual([answer.status, answer.contentType, answer.body], [
            403,
            "application/json",
            JSON.stringify({ message: "The control plane is only for this machine, by a name of loopback" })
          ], `${method} ${host}`)
        }
      }
      assert.strictEqual((yield* clock).body.advanced, 0)

      for (const host of ["localhost", "LocalHost:4010", "127.0.0.1:1", "127.1.2.3", "[::1]", "[::1]:4010"]) {
        assert.strictEqual((yield* send("GET", host)).status, 200, host)
      }
    }).pipe(Effect.provide(dev)))

  it.effect("refuses a socket that comes from elsewhere", () =>
    Effect.gen(function*() {
      const control = Layer.succeed(Control.Control, yield* Control.make)
      const app = yield* AuthorityApi.makeWith(Layer.provide(ControlServer.layerRoutes, control))
      const request = HttpServerRequest.fromClientRequest(
        HttpClientRequest.get("http://localhost/__control/clock", { headers: { host: "localhost" } })
      )
      const statusFor = (remoteAddress: Option.Option<string>) =>
        Effect.scoped(app).pipe(
          Effect.provideService(HttpServerRequest.HttpServerRequest, request.modify({ remoteAddress })),
          Effect.map(({ status }) => status)
        )

      for (const address of ["192.0.2.1", "::2", "::ffff:192.0.2.1"]) {
        assert.strictEqual(yield* statusFor(Option.some(address)), 403, address)
      }
      assert.strictEqual(yield* statusFor(Option.none()), 403)
      for (const address of ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]) {
        assert.strictEqual(yield* statusFor(Option.some(address)), 200, address)
      }
    }).pipe(Effect.provide(fixtures.layerAuthority())))
})

/** One request for each operation, and for the pages. */
const everything: ReadonlyArray<readonly [method: string, path: string, body?: unknown]> = [
  ["GET", "/__control/clock"],
  ["POST", "/__control/clock", { advance: 1 }],
  ["GET", "/__control/faults"],
  ["POST", "/__control/faults", { fault: { kind: "drop" }, operations: ["expire"] }],
  ["DELETE", "/__control/faults/none"],
  ["DELETE", "/__control/faults"],
  ["GET", "/__control/journal"],
  ["GET", "/__control/journal/counts"],
  ["DELETE", "/__control/journal"],
  ["GET", "/__control/sessions"],
  ["GET", "/__control/users"],
  ["POST", "/__control/users", { username: "ada", action: "unlock" }],
  ["POST", "/__control/revoke", { all: true }],
  ["POST", "/__control/snapshots"],
  ["POST", "/__control/reset"],
  ["POST", "/__control/keys/rotate", { immediately: false }],
  ["GET", "/__control/tenants"],
  ["POST", "/__control/tenants", { tenant: "acme" }],
  ["DELETE", "/__control/tenants/acme"],
  ["GET", "/__control/docs"],
  ["GET", "/__control/openapi.json"],
  ["GET", "/__inspector"],
  ["GET", "/__inspector/inspector.css"],
  ["GET", "/__inspector/inspector.js"],
  ["GET", "/__inspector/view.js"]
]

const ask = Effect.fnUntraced(
  function*(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
    const { origin } = yield* AuthorityServer.AuthorityServer
    return yield* Effect.promise(async () => {
      const response = await fetch(`${origin}${path}`, {
        method,
        headers: { ...headers, ...(body === undefined ? {} : json) },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) })
      })
      return { status: response.status, headers: response.headers, text: await response.text() }
    })
  }
)

describe("/__control", () => {
  it.effect("is there with dev", () =>
    Effect.gen(function*() {
      for (const [method, path, body] of everything) {
        const { headers, status } = yield* ask(method, path, body)
        assert.deepStrictEqual(
          [status, headers.get("x-content-type-options"), headers.get("access-control-allow-origin")],
          [200, "nosniff", null],
          `${method} ${path}`
        )
      }
    }).pipe(Effect.provide(dev)))

  it.effect("is not there without", () =>
    Effect.gen(function*() {
      for (const [method, path, body] of everything) {
        const { status, text } = yield* ask(method, path, body)
        assert.deepStrictEqual([status, text], [404, `{"message":"Not Found"}`], `${method} ${path}`)
      }
    }).pipe(Effect.provide(fixtures.layerNode({}))))

  it.effect("refuses everything by a name that isn't of loopback", () =>
    Effect.gen(function*() {
      const { origin } = yield* AuthorityServer.AuthorityServer
      for (const [method, path, body] of everything) {
        const headers = ["Connection: close", "Host: evil.example", "Content-Type: application/json"]
        const { status } = yield* exchange(
          origin,
          bytes({ method, path, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
        )
        assert.strictEqual(status, 403, `${method} ${path}`)
      }
    }).pipe(Effect.provide(dev)))

  it.effect("refuses pages of other origins", () =>
    Effect.gen(function*() {
      const { origin } = yield* AuthorityServer.AuthorityServer
      const { host } = new URL(origin)
      for (
        const line of [
          "Origin: http://evil.example",
          `Origin: https://${host}`,
          "Origin: http://127.0.0.1:1",
          "Origin: null",
          "Sec-Fetch-Site: cross-site",
          "Sec-Fetch-Site: same-site"
        ]
      ) {
        for (const [method, path, body] of everything) {
          const headers = ["Connection: close", `Host: ${host}`, "Content-Type: application/json", line]
          const { body: text, status } = yield* exchange(
            origin,
            bytes({ method, path, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
          )
          assert.deepStrictEqual(
            [status, text],
            [403, `{"message":"The control plane is not for pages of other origins"}`],
            `${method} ${path} ${line}`
          )
        }
      }
      assert.strictEqual((yield* clock).body.advanced, 0)

      const own = yield* ask("POST", "/__control/clock", { advance: 1 }, {
        Origin: origin,
        "Sec-Fetch-Site": "same-origin"
      })
      assert.strictEqual(own.status, 200)
    }).pipe(Effect.provide(dev)))

  it.effect("says what is wrong with a body, and not what was in it", () =>
    Effect.gen(function*() {
      const cases: ReadonlyArray<readonly [path: string, body: string, message: RegExp]> = [
        ["faults", `{"fault":{"kind":"hush"}}`, /\["fault"\]/],
        ["faults", `{"fault":{"kind":"drop"},"times":0}`, /\["times"\]/],
        ["faults", `{"fault":`, /Expected JSON/],
        ["revoke", "{}", /Missing key/],
        ["revoke", `{"all":false}`, /\["all"\]/],
        ["revoke", `{"session":"a","all":true}`, /Unexpected|Expected|Missing/],
        ["users", `{"username":"hush","action":"ban"}`, /\["action"\]/],
        ["restore", `{"snapshot":7}`, /\["snapshot"\]/],
        ["tenants", `{"tenant":"hush/../hush"}`, /\["tenant"\]/],
        ["tenants", `{"users":[{"username":"a","password":["hush"]}]}`, /\["users"\]\[0\]\["password"\]/],
        ["tenants", `{"users":[{"username":"a","password":"${"hush".repeat(65)}"}]}`, /at most 256 bytes/],
        ["tenants", `{"users":[]}`, /\["users"\]/]
      ]
      for (const [path, body, message] of cases) {
        const answer = yield* ask("POST", `/__control/${path}`, body)
        assert.strictEqual(answer.status, 400, body)
        assert.match(JSON.parse(answer.text).message, message)
        assert.notInclude(answer.text, "hush")
      }
      for (const query of ["status=many", "operation=login", "limit=0", "limit=1001", "wait=60001", "fault=fire"]) {
        assert.strictEqual((yield* ask("GET", `/__control/journal?${query}`)).status, 400, query)
      }
      for (const path of ["clock", "faults", "journal", "sessions"]) {
        const answer = yield* ask("GET", `/__control/${path}?tenant=nobody`)
        assert.deepStrictEqual([answer.status, answer.text], [404, `{"message":"There is no such tenant"}`])
      }
    }).pipe(Effect.provide(dev)))

  it.effect("is described with every operation, and the tenant", () =>
    Effect.gen(function*() {
      const document = JSON.parse((yield* ask("GET", "/__control/openapi.json")).text)
      const operations = Object.entries<Record<string, unknown>>(document.paths).flatMap(([path, operations]) =>
        Object.keys(operations).filter((name) => name !== "parameters").map((method) =>
          `${method.toUpperCase()} ${path}`
        )
      )

      assert.sameMembers(operations, [
        ...everything.filter(([, path]) => !/docs|openapi|inspector/.test(path)).map(([method, path]) =>
          `${method} ${path.replace("none", "{id}").replace("acme", "{tenant}")}`
        ),
        "POST /__control/restore"
      ])
      assert.strictEqual(document.paths["/__control/clock"].parameters[0].name, "tenant")
      assert.isUndefined(document.paths["/__control/tenants"].parameters)
      assert.include((yield* ask("GET", "/__control/docs")).text, "swagger")
      // The contract's own page says nothing of it.
      assert.notInclude((yield* ask("GET", "/openapi.json")).text, "__control")
    }).pipe(Effect.provide(dev)))
})

describe("layerNode with dev", () => {
  it.effect("refuses an address that isn't loopback, before it makes a database", () =>
    Effect.gen(function*() {
      const folder = mkdtempSync(join(tmpdir(), "authority-"))
      const database = join(folder, "authority.sqlite")

      for (
        const host of [
          "0.0.0.0",
          "::",
          "::2",
          "",
          " ",
          "192.0.2.1",
          "128.0.0.1",
          "127.1",
          "example.com",
          "127.0.0.1.example.com",
          "localhost.example"
        ]
      ) {
        const error = yield* Layer.build(AuthorityServer.layerNode({ dev: true, host, port: 0, database })).pipe(
          Effect.flip
        )
        assert.deepInclude(error, { _tag: "NotLoopback", host })
        assert.include(error.message, host)
      }
      assert.deepStrictEqual(readdirSync(folder), [])
    }))

  it.effect("takes every name of loopback", () =>
    Effect.gen(function*() {
      const { status } = yield* clock

      assert.strictEqual(status, 200)
      for (const host of ["localhost", "LOCALHOST", "127.0.0.1", "127.255.255.255", "::1", "0:0:0:0:0:0:0:1"]) {
        assert.isTrue(ControlServer.isLoopback(host), host)
      }
    }).pipe(Effect.provide(fixtures.layerNode({ dev: true, host: "localhost" }))))
})
