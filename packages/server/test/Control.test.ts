import { Audit, Authority, AuthorityServer, Control, type Fault, Seed } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { TestClock } from "effect/testing"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as fixtures from "./fixtures/authority.ts"
import * as hashes from "./fixtures/hashes.ts"
import { kind, onFresh } from "./support/databases.ts"

const hour = 3_600_000

/** The authority without a socket, under control. */
const controlled = (options?: AuthorityServer.Options) =>
  onFresh((database) => AuthorityServer.layerHttpClientControlled({ keys: fixtures.keys, database, ...options }))
const Live = Layer.effectDiscard(Seed.apply(fixtures.seed)).pipe(Layer.provideMerge(controlled()))

const status = (issued: fixtures.Issued) => Effect.map(fixtures.sample(issued), ({ status }) => status)

describe("Control without a socket", () => {
  it.effect("moves the clock of all", () =>
    Effect.gen(function*() {
      const { all } = yield* Control.Control
      const issued = yield* fixtures.signIn
      assert.strictEqual(yield* status(issued), 200)

      yield* all.clock.advance(hour)

      assert.strictEqual(yield* status(issued), 401)
      assert.strictEqual((yield* fixtures.refresh(issued)).session.expireEpoch, 2 * hour)
      // It goes with the clock of the test besides.
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* fixtures.refresh(issued)).session.expireEpoch, 3 * hour)
    }).pipe(Effect.provide(Live)))

  it.effect("fails the client where a connection would end", () =>
    Effect.gen(function*() {
      const { all } = yield* Control.Control
      const issued = yield* fixtures.signIn
      const failed = Effect.fnUntraced(function*(fault: Fault.Fault) {
        yield* all.faults.add({ fault, times: 1 })
        return (yield* Effect.flip(fixtures.expire(issued))).message
      })

      assert.match(yield* failed({ kind: "drop" }), /^Transport error/)
      assert.strictEqual(yield* status(issued), 200)
      assert.match(yield* failed({ kind: "lostAnswer" }), /^Transport error/)
      assert.strictEqual(yield* status(issued), 401)
      assert.deepStrictEqual((yield* all.journal.find()).map(({ fault, status }) => [status, fault]), [
        [200, null],
        [null, "drop"],
        [200, null],
        [null, "lostAnswer"],
        [401, null]
      ])
    }).pipe(Effect.provide(Live)))

  it.effect("gives the client a complete answer whose JSON ends early", () =>
    Effect.gen(function*() {
      const { all } = yield* Control.Control
      yield* all.faults.add({ fault: { kind: "truncate" }, times: 1 })

      const response = yield* HttpClient.post(`${fixtures.origin}/v1/auth/token`, {
        headers: { "X-API-Key": fixtures.apiKey },
        body: HttpBody.jsonUnsafe({ username: fixtures.username, password: fixtures.password })
      })
      const text = yield* response.text

      assert.deepStrictEqual([response.status, response.headers["content-length"]], [200, String(text.length)])
      assert.match(text, /^\{"endpointUrl":"http/)
      assert.throws(() => JSON.parse(text))
      assert.deepStrictEqual((yield* all.journal.find()).map(({ fault, status }) => [status, fault]), [
        [200, "truncate"]
      ])
    }).pipe(Effect.provide(Live)))

  // Where a database takes its time, nobody can tell when the request has come as far as the latency.
  const onSqlite = it.effect.skipIf(kind === "postgres")

  onSqlite("holds requests up by the clock of the test", () =>
    Effect.gen(function*() {
      const { all } = yield* Control.Control
      yield* all.faults.add({ fault: { kind: "latency", milliseconds: 3000 } })
      const request = yield* Effect.forkChild(fixtures.token({ username: "nobody", password: "x" }))
      yield* TestClock.adjust(2999)
      assert.isUndefined(request.pollUnsafe())
      yield* TestClock.adjust(1)

      assert.strictEqual((yield* Fiber.join(request)).status, 401)
    }).pipe(Effect.provide(Live)))

  onSqlite("notes a request that its caller gave up", () =>
    Effect.gen(function*() {
      const { all } = yield* Control.Control
      yield* all.faults.add({ fault: { kind: "latency", milliseconds: 3000 } })
      const request = yield* Effect.forkChild(fixtures.token({ username: "nobody", password: "x" }))
      yield* TestClock.adjust(1000)
      yield* Fiber.interrupt(request)

      assert.deepStrictEqual((yield* all.journal.find()).map(({ delay, status }) => [status, delay]), [[null, 3000]])
    }).pipe(Effect.provide(Live)))

  it.effect("keeps the newest thousand requests of each tenant, and counts all", () =>
    Effect.gen(function*() {
      const { all, world } = yield* Control.Control
      const entry = {
        at: "1970-01-01T00:00:00.000Z",
        milliseconds: 1,
        operation: "call",
        method: "GET",
        path: "/v1/",
        status: 200,
        fault: null,
        delay: 0,
        received: { headers: {}, body: null },
        answered: null,
        session: null
      } as const
      const [nobody, someone] = [yield* world(null), yield* world("default")]
      yield* someone.record({ ...entry, tenant: "default" }, undefined)
      yield* Effect.replicateEffect(nobody.record({ ...entry, tenant: null }, undefined), 2500, { discard: true })

      const entries = yield* all.journal.find({ limit: 10_000 })

      assert.deepStrictEqual([entries.length, entries[0]?.tenant, entries[1]?.sequence], [1001, "default", 1502])
      assert.strictEqual((yield* all.journal.counts).call.requests, 2501)
    }).pipe(Effect.provide(Live)))

  it.effect("ends sessions each with its row in the audit, or not at all", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { all } = yield* Control.Control
      const authority = yield* Authority.Authority
      yield* Seed.apply(fixtures.seed)
      yield* Effect.replicateEffect(authority.authorize(fixtures.credentials), 2)
      const revoked = Effect.map(all.sessions, (sessions) => sessions.map(({ revokedAt }) => revokedAt))
      yield* all.clock.advance(hour)

      yield* sql`ALTER TABLE audit RENAME TO elsewhere`
      assert.isTrue(Exit.isFailure(yield* Effect.exit(all.revoke({ all: true }))))
      yield* sql`ALTER TABLE elsewhere RENAME TO audit`
      assert.deepStrictEqual(yield* revoked, [null, null])

      assert.strictEqual(yield* all.revoke({ all: true }), 2)
      const at = "1970-01-01T01:00:00.000Z"
      assert.deepStrictEqual(yield* revoked, [at, at])
      const rows = yield* (yield* Audit.Audit).recent({ limit: 2 })
      assert.deepStrictEqual(
        new Set(rows.map(({ session }) => session)),
        new Set((yield* all.sessions).map(({ id }) => id))
      )
      for (const row of rows) {
        assert.deepInclude(row, { event: "expire", outcome: "accepted", reason: "revoked", tenant: fixtures.tenant })
        assert.strictEqual(row.at.epochMilliseconds, hour)
      }
      assert.strictEqual(yield* all.revoke({ all: true }), 0)
    }).pipe(Effect.provide(
      Control.layer.pipe(Layer.provideMerge(AuthorityServer.layerAuthority({ keys: fixtures.keys })))
    )))

  it.effect("keeps the sixteen newest snapshots", () =>
    Effect.gen(function*() {
      const { all } = yield* Control.Control
      const [first = "", second = "", ...others] = yield* Effect.replicateEffect(all.snapshot, 17)

      assert.deepInclude(yield* Effect.flip(all.restore(first)), { message: "There is no such snapshot" })
      yield* Effect.forEach([second, ...others], all.restore)
    }).pipe(Effect.provide(Live)))
})

describe("tenants of one authority", () => {
  it.effect("lose nothing when another's clock jumps and its limits are swept", () =>
    Effect.gen(function*() {
      const control = yield* Control.Control
      const other = yield* control.addTenant()
      const { apiKey, tenant } = yield* control.addTenant({
        users: [{ username: "eve", password: Redacted.make("eve's") }]
      })
      const calm = yield* control.tenant(other.tenant)
      const [locked] = yield* calm.changeUser({ username: other.users[0].username, action: "lock" })
      const audit = yield* Audit.Audit
      const before = yield* audit.recent()
      const early = yield* control.tenant(tenant)
      yield* early.clock.advance(60 * 24 * hour)
      // Which would be the time to throw old rows away.
      yield* early.changeUser({ username: "eve", action: "unlock" })
      yield* early.revoke({ all: true })

      // Enough failures that what has ended is thrown away.
      const wrong = fixtures.call("POST", "/v1/auth/token", {
        headers: { "X-API-Key": Redacted.value(apiKey) },
        body: { username: "eve", password: "wrong" }
      })
      const refusals = yield* Effect.replicateEffect(wrong, 130)

      assert.deepStrictEqual(new Set(refusals.map(({ status }) => status)), new Set([401]))
      assert.deepStrictEqual<unknown>(yield* calm.users, [locked])
      assert.strictEqual(locked?.lockedFor, 900_000)
      assert.deepStrictEqual((yield* audit.recent({ limit: 1000 })).slice(-before.length), before)
    }).pipe(Effect.provide(controlled({ passwords: hashes.cheap }))))

  it.effect("sign with the same keys, which follow the clock of all, and rotate by hand", () =>
    Effect.gen(function*() {
      const control = yield* Control.Control
      const { apiKey, tenant, users: [user] } = yield* control.addTenant()
      const kids = Effect.map(fixtures.jwks, ({ keys }) => keys.map(({ kid }) => kid))
      const before = yield* kids
      const calm = yield* fixtures.signIn
      const ahead = fixtures.call("POST", "/v1/auth/token", {
        headers: { "X-API-Key": Redacted.value(apiKey) },
        body: { username: user.username, password: Redacted.value(user.password) }
      })

      // A tenant that is a year ahead neither ages the keys nor retires them.
      yield* (yield* control.tenant(tenant)).clock.advance(365 * 24 * hour)
      // Long enough that keys are read again, and taken care of.
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* ahead).status, 200)
      assert.strictEqual((yield* ahead).status, 200)
      assert.deepStrictEqual(yield* kids, before)
      assert.strictEqual(yield* status(calm), 200)
      yield* fixtures.refresh(calm)

      yield* control.rotateKeys({ immediately: true })
      const after = yield* kids
      assert.isAbove(after.length, before.length)
      assert.strictEqual(yield* status(calm), 200)
      const renewed = yield* fixtures.refresh(calm)
      assert.strictEqual(yield* status(renewed), 200)
      assert.notInclude(before, (yield* fixtures.verify(renewed.session.accessToken)).protectedHeader.kid)

      yield* control.all.clock.advance(2 * hour)
      yield* ahead
      yield* ahead
      assert.isTrue((yield* kids).every((kid) => !before.includes(kid)))
    }).pipe(Effect.provide(Live)))

  it.effect("take back sessions with their rotated tokens", () =>
    Effect.gen(function*() {
      const { all } = yield* Control.Control
      const first = yield* fixtures.signIn
      const second = yield* fixtures.refresh(first)
      const snapshot = yield* all.snapshot
      const third = yield* fixtures.refresh(second)
      // Found out: a token that was replaced long ago.
      assert.strictEqual((yield* fixtures.token(first)).status, 401)
      assert.strictEqual((yield* fixtures.token(third)).status, 401)

      yield* all.restore(snapshot)

      assert.strictEqual(yield* status(second), 200)
      yield* fixtures.refresh(second)
    }).pipe(Effect.provide(
      Layer.effectDiscard(Seed.apply(fixtures.seed)).pipe(Layer.provideMerge(
        controlled({ refreshAnswer: "replaces" })
      ))
    )))
})

describe("a thousand sessions", () => {
  // The fastest of several: the others tell how busy the machine was.
  const fastest = (times: ReadonlyArray<number>) => Math.min(...times)

  const fill = Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const [user] = yield* sql<{ readonly sub: string }>`SELECT sub FROM users WHERE username = ${fixtures.username}`
    const row = (index: number) => ({
      id: `session-${index}`,
      tenant: fixtures.tenant,
      user_sub: user?.sub,
      client_id: "client",
      refresh_token_hash: `hash-${index}`,
      auth_time: index,
      expires_at: 1e12
    })
    yield* sql`INSERT INTO sessions ${
      sql.insert([row(0), ...Array.from({ length: 999 }, (_, index) => row(index + 1))])
    }`
  })

  // The databases are its own.
  for (const where of ["memory", "a file"]) {
    it.live.skipIf(kind === "postgres")(
      `are reset in under 20 ms in ${where}, and come back from a snapshot`,
      () =>
        Effect.gen(function*() {
          const folder = mkdtempSync(join(tmpdir(), "control-"))
          yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true })))
          const database = where === "memory" ? ":memory:" : join(folder, "authority.sqlite")
          const resets: Array<number> = []
          const restores: Array<number> = []

          yield* Effect.gen(function*() {
            yield* Seed.apply({
              apiKeys: [Redacted.make("k")],
              users: [{ username: "ada", password: Redacted.make("p") }]
            })
            yield* fill
            const { all } = yield* Control.Control
            const snapshot = yield* all.snapshot
            for (let round = 0; round < 9; round++) {
              const started = performance.now()
              yield* all.reset
              resets.push(performance.now() - started)
              assert.strictEqual((yield* all.sessions).length, 0)
              const restoring = performance.now()
              yield* all.restore(snapshot)
              restores.push(performance.now() - restoring)
              assert.strictEqual((yield* all.sessions).length, 500)
            }
          }).pipe(Effect.provide(
            Control.layer.pipe(Layer.provideMerge(AuthorityServer.layerAuthority({ keys: fixtures.keys, database })))
          ))

          assert.isBelow(fastest(resets), 20)
          assert.isBelow(fastest(restores), 200)
        })
    )
  }
})
