import { AuthorityServer, type ControlMessages, type Fault, Journal } from "@effect-tenovos/server"
import { AuthorityControl } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { TestClock } from "effect/testing"
import * as fixtures from "./fixtures/authority.ts"
import { bytes, exchange } from "./fixtures/rawHttp.ts"

const json = { "Content-Type": "application/json" }

/** The authority on a socket under control, and a client of its control plane. */
const layer = (options?: AuthorityServer.NodeOptions) =>
  Layer.unwrap(
    Effect.map(AuthorityServer.AuthorityServer, ({ origin }) => AuthorityControl.layer({ origin }))
  ).pipe(Layer.provideMerge(fixtures.layerNode({ ...options, dev: true })), Layer.provideMerge(FetchHttpClient.layer))

const Live = layer()

interface Account {
  readonly apiKey: string
  readonly username: string
  readonly password: string
}

const ada: Account = fixtures

const send = (
  method: string,
  path: string,
  options: { readonly headers?: Record<string, string>; readonly body?: unknown; readonly apiKey?: string }
) =>
  Effect.gen(function*() {
    const { endpointUrl } = yield* AuthorityServer.AuthorityServer
    return yield* Effect.tryPromise({
      try: async (signal) => {
        const response = await fetch(`${endpointUrl}${path}`, {
          method,
          signal,
          headers: { "X-API-Key": options.apiKey ?? fixtures.apiKey, ...options.headers },
          ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) })
        })
        const text = await response.text()
        return { status: response.status, headers: response.headers, text }
      },
      catch: (cause) => `severed: ${cause instanceof Error ? cause.message : String(cause)}`
    })
  })

const token = (body: unknown, apiKey?: string) =>
  send("POST", "/auth/token", { headers: json, body, ...(apiKey === undefined ? {} : { apiKey }) })

const signIn = Effect.fnUntraced(function*({ apiKey, password, username }: Account = ada) {
  const { text } = yield* token({ username, password }, apiKey)
  const issued: fixtures.Issued = JSON.parse(text)
  return issued
})

const call = ({ session }: fixtures.Issued, apiKey: string = fixtures.apiKey) =>
  send("GET", "/security/template", {
    apiKey,
    headers: { AccessToken: session.accessToken, Authorization: session.authorization }
  })

const expire = (issued: fixtures.Issued) =>
  send("DELETE", "/auth/token", { headers: { ...json, AccessToken: issued.session.accessToken }, body: issued })

const inject = (fault: Fault.Fault, rule: Omit<Fault.Rule, "fault"> = {}) =>
  AuthorityControl.AuthorityControl.use((control) => control.faults.inject({ payload: { fault, ...rule } }))

const journal = AuthorityControl.AuthorityControl.use((control) => control.journal.find({ query: {} }))

const severed = (result: unknown) => assert.match(String(result), /^severed: /)

describe("faults", () => {
  it.effect("answer with a status and the body that the gateway has for it", () =>
    Effect.gen(function*() {
      const issued = yield* signIn()
      const cases: ReadonlyArray<readonly [Fault.Fault, number, unknown]> = [
        [{ kind: "status", status: 403 }, 403, { message: "Forbidden" }],
        [{ kind: "status", status: 500 }, 500, { message: "Internal server error" }],
        [{ kind: "status", status: 502 }, 502, { message: "Internal server error" }],
        [{ kind: "status", status: 503 }, 503, { message: "Service Unavailable" }],
        [{ kind: "status", status: 504 }, 504, { message: "Endpoint request timed out" }],
        [{ kind: "status", status: 418, body: { tea: true } }, 418, { tea: true }]
      ]
      for (const [fault, status, body] of cases) {
        yield* inject(fault, { times: 1 })
        const answer = yield* token(issued)
        assert.deepStrictEqual([answer.status, JSON.parse(answer.text)], [status, body])
        assert.strictEqual(answer.headers.get("date"), "Thu, 01 Jan 1970 00:00:00 GMT")
        assert.strictEqual(answer.headers.get("cache-control"), "no-store")
      }

      yield* inject({ kind: "status", status: 401 }, { times: 3 })
      const refused = [yield* token(issued), yield* expire(issued), yield* call(issued)]
      assert.deepStrictEqual(refused.map(({ text }) => JSON.parse(text)), [
        { status: "error", message: "Invalid Authentication Parameters" },
        { status: "error", message: "Failed to Expire Session and Logout 1" },
        { message: "Unauthorized" }
      ])
      // None of them was carried out.
      assert.strictEqual((yield* call(issued)).status, 200)
    }).pipe(Effect.provide(Live)))

  it.effect("answer 429 with Retry-After, and a page of HTML", () =>
    Effect.gen(function*() {
      yield* inject({ kind: "rateLimit", retryAfter: 7 }, { times: 1 })
      yield* inject({ kind: "html" }, { times: 1 })

      const limited = yield* token({ username: "x", password: "y" })
      const page = yield* token({ username: "x", password: "y" })

      assert.deepStrictEqual([limited.status, limited.headers.get("retry-after"), limited.text], [
        429,
        "7",
        `{"message":"Too Many Requests"}`
      ])
      assert.deepStrictEqual([page.status, page.headers.get("content-type")], [502, "text/html"])
      assert.include(page.text, "<h1>502 Bad Gateway</h1>")
    }).pipe(Effect.provide(Live)))

  it.effect("drop the connection before anything happens", () =>
    Effect.gen(function*() {
      const { origin } = yield* AuthorityServer.AuthorityServer
      const issued = yield* signIn()
      yield* inject({ kind: "drop" }, { times: 2 })

      severed(yield* Effect.flip(expire(issued)))
      const raw = yield* exchange(
        origin,
        bytes({
          headers: ["Host: localhost", `X-API-Key: ${fixtures.apiKey}`, "Content-Type: application/json"],
          body: "{}"
        })
      )

      assert.deepStrictEqual(raw, { status: 0, contentType: "", body: "" })
      assert.strictEqual((yield* call(issued)).status, 200)
    }).pipe(Effect.provide(Live)))

  it.effect("lose the answer after the operation took effect", () =>
    Effect.gen(function*() {
      const issued = yield* signIn()
      yield* inject({ kind: "lostAnswer" }, { times: 1 })

      severed(yield* Effect.flip(expire(issued)))

      assert.strictEqual((yield* call(issued)).status, 401)
    }).pipe(Effect.provide(Live)))

  it.effect("answer completely, with JSON that ends early, after the operation took effect", () =>
    Effect.gen(function*() {
      const issued = yield* signIn()
      yield* inject({ kind: "truncate" }, { times: 2 })

      const refreshed = yield* token(issued)
      const expired = yield* expire(issued)

      for (const { headers, status, text } of [refreshed, expired]) {
        assert.deepStrictEqual([status, headers.get("content-type")], [200, "application/json"])
        assert.strictEqual(headers.get("content-length"), String(text.length))
        assert.match(text, /^\{"endpointUrl":"http/)
        assert.throws(() => JSON.parse(text))
      }
      assert.isAbove(refreshed.text.length, 1000)
      assert.strictEqual((yield* call(issued)).status, 401)
      const entries = yield* journal
      assert.deepStrictEqual(entries.slice(1, 3).map(({ fault, status }) => [fault, status]), [
        ["truncate", 200],
        ["truncate", 200]
      ])
    }).pipe(Effect.provide(Live)))

  it.live("hold a request up in real time, whatever the authority's clock says", () =>
    Effect.gen(function*() {
      const control = yield* AuthorityControl.AuthorityControl
      yield* inject({ kind: "latency", milliseconds: 150 }, { times: 1 })
      const before = performance.now()
      const request = yield* Effect.forkChild(token({ username: "nobody", password: "x" }), { startImmediately: true })
      yield* control.clock.advance({ payload: { advance: 3_600_000 } })

      yield* Fiber.join(request)

      assert.isAtLeast(performance.now() - before, 149)
      const [entry] = yield* control.journal.find({ query: { fault: "latency" } })
      assert.deepStrictEqual([entry?.delay, entry?.fault, entry?.status], [150, null, 401])
      assert.isAtLeast(entry?.milliseconds ?? 0, 149)
    }).pipe(Effect.provide(Live)))

  it.effect("meet only the operations that they are for", () =>
    Effect.gen(function*() {
      yield* inject({ kind: "status", status: 503 }, { operations: ["refresh"] })
      const issued = yield* signIn()

      assert.deepStrictEqual([
        (yield* token(issued)).status,
        (yield* token({ session: issued.session })).status,
        (yield* token({ username: ada.username, password: ada.password, session: null })).status,
        (yield* call(issued)).status,
        (yield* expire(issued)).status
      ], [503, 503, 200, 200, 200])
    }).pipe(Effect.provide(Live)))

  it.effect("leave bodies to the application as they are", () =>
    Effect.gen(function*() {
      const control = yield* AuthorityControl.AuthorityControl
      const long = yield* token({ username: "a", password: "b", more: "x".repeat(70_000) })
      const { endpointUrl } = yield* AuthorityServer.AuthorityServer
      const raw = (body: string, headers: Record<string, string>) =>
        Effect.promise(async () =>
          (await fetch(`${endpointUrl}/auth/token`, {
            method: "POST",
            headers: { "X-API-Key": ada.apiKey, ...headers },
            body
          })).status
        )

      assert.deepStrictEqual([
        long.status,
        yield* raw("{", json),
        yield* raw("{}", { "Content-Type": "text/plain" }),
        yield* raw(JSON.stringify({ username: ada.username, password: ada.password }), json)
      ], [413, 400, 400, 200])
      const entries = yield* control.journal.find({ query: {} })
      assert.deepStrictEqual(entries.map(({ operation, received }) => [operation, received.body]), [
        ["authorize", null],
        ["authorize", null],
        ["authorize", null],
        ["authorize", { username: "ada", password: "<redacted>" }]
      ])
    }).pipe(Effect.provide(Live)))
})

describe("journal", () => {
  it.effect("tells what was received and answered, without a secret", () =>
    Effect.gen(function*() {
      const issued = yield* signIn()
      const again: fixtures.Issued = JSON.parse((yield* token(issued)).text)
      yield* call(again)
      yield* expire(again)
      yield* token({ username: "eve", password: "guess" }, "unknown-key")

      const entries = yield* journal

      assert.deepStrictEqual(
        entries.map((entry) => [entry.sequence, entry.tenant, entry.operation, entry.method, entry.path, entry.status]),
        [
          [1, "default", "authorize", "POST", "/v1/auth/token", 200],
          [2, "default", "refresh", "POST", "/v1/auth/token", 200],
          [3, "default", "call", "GET", "/v1/security/template", 200],
          [4, "default", "expire", "DELETE", "/v1/auth/token", 200],
          [5, null, "authorize", "POST", "/v1/auth/token", 403]
        ]
      )
      const [first, second] = entries
      assert.isDefined(first?.session)
      assert.deepStrictEqual(entries.map(({ session }) => session), [...Array(4).fill(first?.session), null])
      assert.deepStrictEqual(first?.received.body, { username: "ada", password: "<redacted>" })
      assert.strictEqual(first?.received.headers["x-api-key"], Journal.fingerprint(Redacted.make(ada.apiKey)))
      // What was sent can be compared with what was issued.
      assert.deepInclude(second?.received.body, {
        session: {
          authorization: Journal.fingerprint(issued.session.authorization),
          refreshToken: Journal.fingerprint(issued.session.refreshToken),
          accessToken: Journal.fingerprint(issued.session.accessToken),
          expireEpoch: issued.session.expireEpoch
        }
      })
      const text = JSON.stringify(entries)
      const secrets = [
        ada.apiKey,
        ada.password,
        "guess",
        "unknown-key",
        ...[issued, again].flatMap(({ session }) => [
          session.accessToken,
          session.authorization,
          session.refreshToken
        ])
      ]
      for (const secret of secrets) assert.notInclude(text, secret)
    }).pipe(Effect.provide(Live)))

  it.effect("hides secrets wherever a program puts them", () =>
    Effect.gen(function*() {
      const { session } = yield* signIn()
      yield* send("POST", `/search/${session.accessToken}?key=hush-1`, {
        headers: {
          ...json,
          AccessToken: "hush-2",
          Authorization: `Basic ${Buffer.from("ada:hush-3").toString("base64")}`,
          Cookie: "sid=hush-4",
          "X-Auth-Token": "hush-5",
          "X-Note": session.refreshToken,
          "X-Glued": `note${session.accessToken}`
        },
        body: {
          deep: [{ password: { text: "hush-6" } }],
          token: ["hush-7"],
          [session.accessToken]: session.accessToken
        }
      })

      const text = JSON.stringify(yield* journal)

      for (
        const part of ["hush-", btoa("ada:hush-3"), session.accessToken.slice(0, 60), session.refreshToken.slice(0, 80)]
      ) {
        assert.notInclude(text, part)
      }
      assert.include(text, Journal.fingerprint("hush-2"))
    }).pipe(Effect.provide(Live)))

  it.effect("finds by operation, status, fault and sequence, and counts all", () =>
    Effect.gen(function*() {
      const { journal: find } = yield* AuthorityControl.AuthorityControl
      const issued = yield* signIn()
      yield* inject({ kind: "lostAnswer" }, { operations: ["refresh"], times: 1 })
      yield* Effect.flip(token(issued))
      yield* token(issued)
      yield* call(issued)
      yield* token({ username: "ada", password: "wrong" })
      const sequences = (query: Parameters<typeof find.find>[0]["query"]) =>
        Effect.map(find.find({ query }), (entries) => entries.map(({ sequence }) => sequence))

      assert.deepStrictEqual([
        yield* sequences({ operation: "refresh" }),
        yield* sequences({ status: 401 }),
        yield* sequences({ fault: "lostAnswer" }),
        yield* sequences({ after: 3 }),
        yield* sequences({ after: 1, limit: 2 })
      ], [[2, 3], [5], [2], [4, 5], [2, 3]])
      assert.deepStrictEqual(yield* find.counts(), {
        authorize: { requests: 2, faults: 0, statuses: { 200: 1, 401: 1 } },
        refresh: { requests: 2, faults: 1, statuses: { none: 1, 200: 1 } },
        expire: { requests: 0, faults: 0, statuses: {} },
        call: { requests: 1, faults: 0, statuses: { 200: 1 } }
      })
      yield* find.clear()
      assert.deepStrictEqual([yield* sequences({}), (yield* find.counts()).call.requests], [[], 0])
    }).pipe(Effect.provide(Live)))

  it.live("waits for the first request that fits", () =>
    Effect.gen(function*() {
      const control = yield* AuthorityControl.AuthorityControl
      const issued = yield* signIn()
      const waiting = yield* Effect.forkChild(
        control.journal.find({ query: { after: 0, operation: "call", wait: 20_000 } }),
        { startImmediately: true }
      )
      yield* token(issued)
      yield* call(issued)

      assert.deepStrictEqual((yield* Fiber.join(waiting)).map(({ sequence }) => sequence), [3])
      assert.deepStrictEqual(yield* control.journal.find({ query: { after: 3, wait: 20 } }), [])
    }).pipe(Effect.provide(Live)))
})

describe("the clock", () => {
  const advance = (milliseconds: number) =>
    AuthorityControl.AuthorityControl.use(({ clock }) => clock.advance({ payload: { advance: milliseconds } }))

  it.effect("gives users and addresses back what they may ask", () =>
    Effect.gen(function*() {
      const attempt = (username: string, address: string) =>
        Effect.map(
          send("POST", "/auth/token", {
            headers: { ...json, "X-Forwarded-For": address },
            body: { username, password: ada.password }
          }),
          ({ status }) => status
        )
      const ofUser = Effect.forEach(["192.0.2.1", "192.0.2.2"], (address) => attempt("nobody", address))
      const ofAddress = Effect.forEach(["ada", "ada"], (username) => attempt(username, "192.0.2.3"))

      assert.deepStrictEqual([yield* ofUser, yield* ofAddress], [[401, 429], [200, 429]])
      yield* advance(59_999)
      assert.deepStrictEqual([yield* ofUser, yield* ofAddress], [[429, 429], [429, 429]])
      yield* advance(1)
      assert.deepStrictEqual([yield* ofUser, yield* ofAddress], [[429, 429], [200, 429]])
      yield* advance(3_540_000)
      assert.deepStrictEqual([yield* ofUser, yield* ofAddress], [[401, 429], [200, 429]])
    }).pipe(Effect.provide(layer({
      limits: {
        perUser: { limit: 1, window: "1 hour" },
        perAddress: { limit: 1, window: "1 minute" },
        proxies: 1
      }
    }))))

  it.effect("ends the lock that failures bring about", () =>
    Effect.gen(function*() {
      const attempt = (password: string) =>
        Effect.map(token({ username: ada.username, password }), ({ status }) => status)
      yield* Effect.replicateEffect(attempt("wrong"), 5)

      assert.strictEqual(yield* attempt(ada.password), 401)
      yield* advance(999)
      assert.strictEqual(yield* attempt(ada.password), 401)
      yield* advance(1)
      assert.strictEqual(yield* attempt(ada.password), 200)
    }).pipe(Effect.provide(Live)))

  it.live("lets keys follow each other by age", () =>
    Effect.gen(function*() {
      const { origin } = yield* AuthorityServer.AuthorityServer
      const kids = Effect.promise(async () => {
        const { keys } = await (await fetch(`${origin}/.well-known/jwks.json`)).json()
        return keys.map(({ kid }: { readonly kid: string }) => kid)
      })
      const signingKid = Effect.map(
        signIn(),
        ({ session }) => JSON.parse(atob(session.accessToken.split(".")[0] ?? "")).kid
      )
      const before = yield* kids
      assert.include(before, yield* signingKid)

      yield* advance(30 * 86_400_000 - 600_000)
      assert.include(before, yield* signingKid)
      // The next keys are made meanwhile.
      const after = yield* Effect.repeat(kids, { while: ({ length }) => length === before.length })
      yield* advance(600_000)

      assert.include(after.filter((kid: string) => !before.includes(kid)), yield* signingKid)
    }).pipe(Effect.provide(layer({ keyLife: "30 days" }))))
})

describe("tenants", () => {
  const own = Effect.flatMap(AuthorityServer.AuthorityServer, ({ origin }) => AuthorityControl.makeTenant({ origin }))

  const accountOf = ({ credentials }: AuthorityControl.OwnTenant): Account => ({
    apiKey: Redacted.value(credentials.apiKey),
    username: credentials.username,
    password: Redacted.value(credentials.password)
  })

  it.effect("have a clock, faults, a journal and sessions of their own", () =>
    Effect.gen(function*() {
      const [one, two] = [yield* own, yield* own]
      const [a, b] = [accountOf(one), accountOf(two)]
      const sessions = [yield* signIn(a), yield* signIn(b)] as const
      const statuses = Effect.gen(function*() {
        return [
          (yield* call(sessions[0], a.apiKey)).status,
          (yield* call(sessions[1], b.apiKey)).status
        ]
      })
      assert.deepStrictEqual(yield* statuses, [200, 200])

      yield* one.control.clock.advance({ payload: { advance: 3_600_000 } })
      const late = yield* call(sessions[0], a.apiKey)
      assert.deepStrictEqual([late.status, late.headers.get("date")], [401, "Thu, 01 Jan 1970 01:00:00 GMT"])
      const there = yield* call(sessions[1], b.apiKey)
      assert.deepStrictEqual([there.status, there.headers.get("date")], [200, "Thu, 01 Jan 1970 00:00:00 GMT"])

      yield* two.control.faults.inject({ payload: { fault: { kind: "status", status: 503 } } })
      assert.deepStrictEqual(yield* statuses, [401, 503])
      yield* two.control.faults.clear()

      yield* one.control.accounts.revoke({ payload: { all: true } })
      assert.deepStrictEqual(yield* statuses, [401, 200])
      yield* one.control.state.reset()

      const control = yield* AuthorityControl.AuthorityControl
      assert.deepStrictEqual([
        (yield* one.control.journal.find({ query: {} })).length,
        (yield* two.control.journal.find({ query: {} })).map(({ tenant }) => tenant),
        (yield* control.journal.find({ query: {} })).length
      ], [0, Array(5).fill(two.tenant), 5])
    }).pipe(Effect.scoped, Effect.provide(Live)))

  it.effect("meet the faults of all too, after their own, and go along with the clock of all", () =>
    Effect.gen(function*() {
      const control = yield* AuthorityControl.AuthorityControl
      const one = yield* own
      const { apiKey } = accountOf(one)
      const status = Effect.map(token({ username: "x", password: "y" }, apiKey), ({ status }) => status)
      yield* control.faults.inject({ payload: { fault: { kind: "status", status: 500 }, times: 1 } })
      yield* one.control.faults.inject({ payload: { fault: { kind: "status", status: 418 }, times: 1 } })
      assert.deepStrictEqual([yield* status, yield* status, yield* status], [418, 500, 401])

      yield* control.clock.advance({ payload: { advance: 1000 } })
      yield* one.control.clock.advance({ payload: { advance: 500 } })
      assert.deepStrictEqual([yield* one.control.clock.read(), yield* control.clock.read()], [
        { now: "1970-01-01T00:00:01.500Z", advanced: 1500 },
        { now: "1970-01-01T00:00:01.000Z", advanced: 1000 }
      ])
      // Nobody comes past the end, not even one who was ahead.
      const end = Date.UTC(9999, 11, 31, 23, 59, 59, 999)
      yield* one.control.clock.advance({ payload: { advance: end - 1500 } })
      assert.deepInclude(yield* Effect.flip(control.clock.advance({ payload: { advance: 1 } })), {
        message: "The clock can't go past the year 9999"
      })
    }).pipe(Effect.scoped, Effect.provide(Live)))

  it.effect("are made with given users, listed, and removed", () =>
    Effect.gen(function*() {
      const { tenants } = yield* AuthorityControl.AuthorityControl
      const users: ControlMessages.NewTenant["users"] = [
        { username: "grace", password: Redacted.make("one") },
        { username: "linus", password: Redacted.make("two"), email: "linus@example.com" }
      ]
      const made = yield* tenants.add({ payload: { tenant: "acme", users } })
      const apiKey = Redacted.value(made.apiKey)
      const issued = yield* signIn({ apiKey, username: "linus", password: "two" })
      assert.strictEqual((yield* call(issued, apiKey)).status, 200)
      // A session is of its tenant only.
      assert.strictEqual((yield* call(issued)).status, 401)

      assert.deepStrictEqual(yield* tenants.list(), [
        { tenant: "acme", apiKeys: 1, users: 2, sessions: 1 },
        { tenant: "default", apiKeys: 1, users: 2, sessions: 0 }
      ])
      assert.deepInclude(yield* Effect.flip(tenants.add({ payload: { tenant: "acme" } })), {
        message: "There is such a tenant already"
      })

      yield* tenants.remove({ params: { tenant: "acme" } })
      assert.strictEqual((yield* call(issued, apiKey)).status, 403)
      assert.deepInclude(yield* Effect.flip(tenants.remove({ params: { tenant: "acme" } })), {
        message: "There is no such tenant"
      })
      const { origin } = yield* AuthorityServer.AuthorityServer
      const gone = yield* AuthorityControl.make({ origin, tenant: "acme" })
      assert.deepInclude(yield* Effect.flip(gone.clock.read()), { message: "There is no such tenant" })
    }).pipe(Effect.provide(Live)))
})

describe("state", () => {
  it.effect("ends one session, all of a user, or all", () =>
    Effect.gen(function*() {
      const { accounts } = yield* AuthorityControl.AuthorityControl
      const bob = { apiKey: ada.apiKey, username: "bob", password: "hunter2" }
      const issued = [yield* signIn(), yield* signIn(), yield* signIn(bob), yield* signIn(bob)]
      const statuses = Effect.forEach(issued, (issued) => Effect.map(call(issued), ({ status }) => status))
      const sessions = yield* accounts.sessions()
      const [first] = sessions.filter(({ claims }) => claims?.access["jti"] === jtiOf(issued[0]))

      assert.deepStrictEqual(yield* accounts.revoke({ payload: { session: first?.id ?? "" } }), { revoked: 1 })
      assert.deepStrictEqual(yield* statuses, [401, 200, 200, 200])
      assert.deepStrictEqual(yield* accounts.revoke({ payload: { username: "bob" } }), { revoked: 2 })
      assert.deepStrictEqual(yield* statuses, [401, 200, 401, 401])
      assert.deepStrictEqual(yield* accounts.revoke({ payload: { all: true } }), { revoked: 1 })
      assert.deepStrictEqual(yield* statuses, [401, 401, 401, 401])
      assert.strictEqual(
        (yield* token(issued[1])).text,
        `{"status":"error","message":"Refresh Token has been revoked"}`
      )
    }).pipe(Effect.provide(Live)))

  it.effect("lists sessions with what is left of them", () =>
    Effect.gen(function*() {
      const control = yield* AuthorityControl.AuthorityControl
      const issued = yield* signIn()
      yield* control.clock.advance({ payload: { advance: 600_000 } })
      const [running] = yield* control.accounts.sessions()
      yield* TestClock.adjust("1 hour")
      const [over] = yield* control.accounts.sessions()

      assert.deepInclude(running, {
        tenant: "default",
        username: "ada",
        signedInAt: "1970-01-01T00:00:00.000Z",
        refreshedAt: null,
        revokedAt: null,
        accessTokenLife: 3_000_000,
        refreshTokenLife: 30 * 86_400_000 - 600_000
      })
      assert.strictEqual(running?.claims?.id["email"], "ada@example.com")
      assert.strictEqual(over?.accessTokenLife, 0)
      assert.notInclude(JSON.stringify(running), issued.session.accessToken.split(".")[2] ?? "")
    }).pipe(Effect.provide(Live)))

  it.effect("locks, unlocks, disables and enables a user", () =>
    Effect.gen(function*() {
      const { accounts, clock } = yield* AuthorityControl.AuthorityControl
      const issued = yield* signIn()
      const change = (payload: ControlMessages.UserChange) =>
        Effect.map(accounts.changeUser({ payload }), (users) =>
          users.map(({ disabled, lockedFor }) => [disabled, lockedFor]))
      const statuses = Effect.gen(function*() {
        return [(yield* token({ username: "ada", password: ada.password })).status, (yield* call(issued)).status]
      })

      assert.deepStrictEqual(yield* change({ username: "ada", action: "lock", milliseconds: 60_000 }), [[
        false,
        60_000
      ]])
      assert.deepStrictEqual(yield* statuses, [401, 200])
      // A lock ends by the authority's clock.
      yield* clock.advance({ payload: { advance: 60_000 } })
      assert.deepStrictEqual(yield* statuses, [200, 200])
      assert.deepStrictEqual(yield* change({ username: "ada", action: "lock" }), [[false, 900_000]])
      assert.deepStrictEqual(yield* change({ username: "ada", action: "unlock" }), [[false, 0]])
      assert.deepStrictEqual(yield* statuses, [200, 200])
      assert.deepStrictEqual(yield* change({ username: "ada", action: "disable" }), [[true, 0]])
      assert.deepStrictEqual(yield* statuses, [401, 401])
      assert.deepStrictEqual(yield* change({ username: "ada", action: "enable" }), [[false, 0]])
      assert.deepStrictEqual(yield* statuses, [200, 200])
      assert.deepInclude(yield* Effect.flip(accounts.changeUser({ payload: { username: "eve", action: "lock" } })), {
        message: "There is no such user"
      })
    }).pipe(Effect.provide(Live)))

  it.effect("is reset with its locks, and keeps API keys and users", () =>
    Effect.gen(function*() {
      const { accounts, faults, journal, state } = yield* AuthorityControl.AuthorityControl
      const issued = yield* signIn()
      yield* accounts.changeUser({ payload: { username: "ada", action: "lock" } })
      yield* accounts.changeUser({ payload: { username: "bob", action: "disable" } })
      yield* inject({ kind: "drop" })

      yield* state.reset()

      assert.deepStrictEqual([yield* accounts.sessions(), yield* faults.active(), yield* journal.find({ query: {} })], [
        [],
        [],
        []
      ])
      assert.strictEqual((yield* call(issued)).status, 401)
      yield* signIn()
      yield* signIn({ apiKey: ada.apiKey, username: "bob", password: "hunter2" })
    }).pipe(Effect.provide(Live)))

  it.effect("comes back from a snapshot", () =>
    Effect.gen(function*() {
      const control = yield* AuthorityControl.AuthorityControl
      const before = yield* signIn()
      const snapshot = yield* control.state.snapshot()
      const after = yield* signIn()
      yield* expire(before)
      yield* control.tenants.add({ payload: { tenant: "acme" } })

      yield* control.state.restore({ payload: snapshot })

      assert.deepStrictEqual([(yield* call(before)).status, (yield* call(after)).status], [200, 401])
      assert.deepStrictEqual((yield* control.tenants.list()).map(({ tenant }) => tenant), ["default"])
      assert.strictEqual((yield* token(before)).status, 200)
      assert.deepInclude(yield* Effect.flip(control.state.restore({ payload: { snapshot: "none" } })), {
        message: "There is no such snapshot"
      })
    }).pipe(Effect.provide(Live)))
})

const jtiOf = (issued: fixtures.Issued | undefined) =>
  JSON.parse(Buffer.from(issued?.session.accessToken.split(".")[1] ?? "", "base64url").toString()).jti
