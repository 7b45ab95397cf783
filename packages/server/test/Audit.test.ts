import { Audit, Authority, AuthorityServer, Keys, MasterKey, Seed } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import { SqlClient } from "effect/sql/SqlClient"
import { TestClock } from "effect/testing"
import * as jose from "jose"
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import * as fixtures from "./fixtures/authority.ts"
import { cheap } from "./fixtures/hashes.ts"
import { kind, shared, storage } from "./support/databases.ts"

const { password, tenant, username } = fixtures

const live = (options?: Audit.Options) => Audit.layer(options).pipe(Layer.provideMerge(storage()))

const refusal = (reason: string): Audit.Decision => ({ event: "sign-in", outcome: "refused", reason, givenName: "x" })

const stored = SqlClient.use((sql) => sql`SELECT reason FROM audit ORDER BY id`.values).pipe(
  Effect.map((rows) => rows.map(([reason]) => reason))
)

/** Lets what runs in the background go on. */
const soon = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

/** Reads what was written since the last time, the oldest first. */
const newRows = Effect.flatMap(Audit.Audit, (audit) => {
  const all = audit.recent({ limit: 1000 })
  return Effect.map(all, ({ length }) => {
    let seen = length
    return Effect.map(all, (entries) => {
      const rows = entries.slice(0, entries.length - seen).toReversed()
      seen = entries.length
      return rows.map(({ event, outcome, reason }) => [event, outcome, reason])
    })
  })
})

describe("what is decided leaves one row", () => {
  it.effect("with whom the proxies in front heard, and nobody else's word for it", () =>
    Effect.gen(function*() {
      const headers = { "X-Forwarded-For": "198.51.100.7, 2001:db8::9, 203.0.113.1" }
      yield* fixtures.call("POST", "/v1/auth/token", { headers, body: { username, password: "wrong" } })

      const [row] = yield* (yield* Audit.Audit).recent()
      assert.strictEqual(row?.address, "2001:db8::9")
    }).pipe(Effect.provide(fixtures.layer({ limits: { proxies: 2 } }))))

  it.effect("whatever it is", () =>
    Effect.gen(function*() {
      const rows = yield* newRows
      const authority = yield* Authority.Authority

      const first = yield* fixtures.signIn
      assert.deepStrictEqual(yield* rows, [["sign-in", "accepted", null]])
      const second = yield* fixtures.refresh(first)
      assert.deepStrictEqual(yield* rows, [["refresh", "accepted", null]])
      yield* fixtures.sample(second)
      yield* fixtures.jwks
      yield* fixtures.call("GET", "/v1/nothing")
      assert.deepStrictEqual(yield* rows, [])

      const refusals = [
        ["wrong password", { username, password: "wrong" }],
        ["unknown user", { username: "nobody", password }],
        ["wrong password", { username, password: "" }],
        ["too long", { username: "x".repeat(129), password }],
        ["too long", { username, password: "x".repeat(257) }]
      ] as const
      for (const [reason, body] of refusals) {
        yield* fixtures.token(body)
        assert.deepStrictEqual(yield* rows, [["sign-in", "refused", reason]])
      }
      const { session } = second
      yield* fixtures.token({ session: { ...session, refreshToken: "unknown" } })
      assert.deepStrictEqual(yield* rows, [["refresh", "refused", "Invalid Refresh Token"]])
      yield* fixtures.token({ session: { ...session, accessToken: "unknown" } })
      assert.deepStrictEqual(yield* rows, [["refresh", "refused", "Invalid Access Token"]])
      yield* fixtures.call("POST", "/v1/auth/token", {
        headers: { "X-API-Key": "unknown" },
        body: { username, password }
      })
      assert.deepStrictEqual(yield* rows, [["api-key", "refused", "unknown key"]])

      yield* fixtures.call("GET", "/v1/nothing", { headers: { "X-API-Key": "unknown" } })
      assert.deepStrictEqual(yield* rows, [["api-key", "refused", "unknown key"]])

      yield* fixtures.expire(second, first.session.accessToken)
      yield* fixtures.call("DELETE", "/v1/auth/token", { body: second })
      const otherHeader = ["expire", "refused", "other AccessToken header"]
      assert.deepStrictEqual(yield* rows, [otherHeader, otherHeader])
      const invalid = { ...second, session: { ...session, accessToken: "unknown" } }
      yield* fixtures.expire(invalid)
      assert.deepStrictEqual(yield* rows, [["expire", "refused", "invalid token"]])
      yield* fixtures.expire(second)
      assert.deepStrictEqual(yield* rows, [["expire", "accepted", null]])
      yield* fixtures.expire(second)
      assert.deepStrictEqual(yield* rows, [["expire", "refused", "ended session"]])
      yield* fixtures.token(second)
      assert.deepStrictEqual(yield* rows, [["refresh", "refused", "Refresh Token has been revoked"]])
      yield* TestClock.adjust("1 hour")
      yield* fixtures.expire(second)
      assert.deepStrictEqual(yield* rows, [["expire", "refused", "expired token"]])

      yield* (yield* Keys.Keys).rotate()
      assert.deepStrictEqual(yield* rows, [["rotate", "accepted", "command"]])

      const user = { tenant, username: "bob" }
      const bob = { username: "bob", password: "hunter2" }
      yield* authority.lock(user, "1 minute")
      yield* authority.unlock({ tenant, username: "nobody" })
      assert.deepStrictEqual(yield* rows, [["lock", "accepted", "locked"]])
      yield* fixtures.token(bob)
      assert.deepStrictEqual(yield* rows, [["sign-in", "refused", "locked"]])
      yield* authority.unlock(user)
      assert.deepStrictEqual(yield* rows, [["lock", "accepted", "unlocked"]])
      const { body } = yield* fixtures.token(bob)
      assert.deepStrictEqual(yield* rows, [["sign-in", "accepted", null]])
      yield* authority.setDisabled(user, true)
      assert.deepStrictEqual(yield* rows, [["lock", "accepted", "disabled"]])
      yield* fixtures.token(body)
      assert.deepStrictEqual(yield* rows, [["refresh", "refused", "User is disabled."]])
      yield* fixtures.token(bob)
      assert.deepStrictEqual(yield* rows, [["sign-in", "refused", "disabled"]])
      yield* authority.setDisabled(user, false)
      assert.deepStrictEqual(yield* rows, [["lock", "accepted", "enabled"]])
      yield* authority.count
      assert.deepStrictEqual(yield* rows, [])
    }).pipe(Effect.provide(fixtures.layer())))

  it.effect("also when an API key or a user is added, moved or changed, and none when nothing changes", () =>
    Effect.gen(function*() {
      const rows = yield* newRows
      const authority = yield* Authority.Authority
      const user = { username, password: Redacted.make(password), email: fixtures.email }
      const apiKey = Redacted.make(fixtures.apiKey)

      yield* authority.addFirst({ apiKey, ...user })
      assert.deepStrictEqual(yield* rows, [["api-key", "accepted", "added"], ["user", "accepted", "added"]])
      yield* authority.addFirst({ apiKey, ...user })
      yield* authority.addApiKey(apiKey)
      yield* authority.addUser(user)
      assert.deepStrictEqual(yield* rows, [])
      yield* authority.addApiKey(apiKey, { tenant: "other" })
      assert.deepStrictEqual(yield* rows, [["api-key", "accepted", "moved"]])
      yield* authority.addUser({ ...user, tenant: "other" })
      assert.deepStrictEqual(yield* rows, [["user", "accepted", "added"]])
      yield* authority.addUser({ username, password: user.password })
      yield* authority.addUser(user)
      yield* authority.addUser({ ...user, password: Redacted.make("another password") })
      assert.deepStrictEqual(yield* rows, Array.from({ length: 3 }, () => ["user", "accepted", "changed"]))
      yield* Seed.apply(fixtures.seed)
      yield* rows
      yield* Seed.apply(fixtures.seed)
      assert.deepStrictEqual(yield* rows, [])

      const entries = yield* (yield* Audit.Audit).recent()
      const { session } = yield* authority.authorize(fixtures.credentials)
      const claims = jose.decodeJwt(Redacted.value(session.accessToken))
      const ofAda = entries.filter((entry) => entry.tenant === tenant && entry.username === username)
      assert.deepStrictEqual(new Set(ofAda.map(({ subject }) => subject ?? undefined)), new Set([claims.sub]))
      const moved = entries.filter(({ reason }) => reason === "moved")
      assert.deepStrictEqual(moved.map(({ tenant }) => tenant), [tenant, "other"])
    }).pipe(Effect.provide(fixtures.layerAuthority({ passwords: cheap }))))

  it.effect("also when a Basic header is missing, malformed or another's", () =>
    Effect.gen(function*() {
      const rows = yield* newRows
      const send = (method: "POST" | "DELETE", authorization: string) =>
        fixtures.call(method, "/v1/auth/token", { body: { username, password }, headers: { authorization } })

      yield* send("POST", "")
      yield* send("POST", "Basic ???")
      yield* send("POST", `Basic ${btoa("bob:hunter2")}`)
      yield* send("DELETE", "")

      assert.deepStrictEqual(yield* rows, [
        ["sign-in", "refused", "no Basic header"],
        ["sign-in", "refused", "malformed Basic header"],
        ["sign-in", "refused", "other Basic header"],
        ["expire", "refused", "no Basic header"]
      ])
      const [, other] = yield* (yield* Audit.Audit).recent()
      assert.deepInclude(other, { tenant, username: null })
      assert.match(other?.fingerprint ?? "", /^[\w-]{11}$/)

      const authority = yield* Authority.Authority
      const { accessToken } = (yield* authority.authorize(fixtures.credentials)).session
      yield* Effect.exit(authority.expire({ tenant, username: "bob", accessToken }))
      assert.deepStrictEqual(yield* rows, [["sign-in", "accepted", null], ["expire", "refused", "another user"]])
    }).pipe(Effect.provide(fixtures.layer({ basicAuthentication: "required" }))))

  it.effect("also when failed sign-ins lock somebody out, whether or not there is such a user", () =>
    Effect.gen(function*() {
      for (const name of [username, "nobody"]) {
        for (let i = 0; i < 6; i++) yield* fixtures.token({ username: name, password: "wrong" })
      }

      const locks = (yield* (yield* Audit.Audit).recent()).filter(({ event }) => event === "lock").toReversed()

      assert.deepStrictEqual(
        locks.map(({ fingerprint, outcome, reason, tenant, username }) => [
          outcome,
          reason,
          tenant,
          username,
          fingerprint !== null
        ]),
        [
          ["accepted", "failed sign-ins", tenant, username, false],
          ["accepted", "failed sign-ins", tenant, null, true]
        ]
      )
    }).pipe(Effect.provide(fixtures.layer({ passwords: cheap }))))

  it.effect("also when it is too much", () =>
    Effect.gen(function*() {
      const rows = yield* newRows
      const nobody = { username: "nobody", password: "wrong" }

      yield* fixtures.token(nobody)
      yield* fixtures.token(nobody)
      yield* fixtures.call("GET", "/v1/security/template")
      yield* fixtures.call("GET", "/v1/security/template")

      assert.deepStrictEqual(yield* rows, [
        ["sign-in", "refused", "unknown user"],
        ["limit", "refused", "sign-ins"],
        ["limit", "refused", "requests"]
      ])
    }).pipe(Effect.provide(fixtures.layer({
      limits: { perUser: { limit: 1, window: "1 hour" }, perApiKey: { limit: 3, window: "1 hour" } }
    }))))

  it.effect("also where the real service is imitated, and refresh tokens are replaced", () =>
    Effect.gen(function*() {
      const rows = yield* newRows

      const first = yield* fixtures.signIn
      const second = yield* fixtures.refresh(first)
      yield* fixtures.refresh(first)
      assert.deepStrictEqual(yield* rows, [
        ["sign-in", "accepted", null],
        ["refresh", "accepted", null],
        ["refresh", "accepted", null]
      ])
      yield* fixtures.token({ username, password: "" })
      assert.deepStrictEqual(yield* rows, [["sign-in", "refused", "empty password"]])
      yield* fixtures.expire(second)
      yield* fixtures.expire(second)
      assert.deepStrictEqual(yield* rows, [["expire", "accepted", null], ["expire", "refused", "ended session"]])
      yield* TestClock.adjust("11 seconds")
      yield* fixtures.token(first)
      assert.deepStrictEqual(yield* rows, [
        ["expire", "accepted", "reused refresh token"],
        ["refresh", "refused", "Refresh Token has been revoked"]
      ])
      yield* fixtures.token(first)
      assert.deepStrictEqual(yield* rows, [["refresh", "refused", "Refresh Token has been revoked"]])
    }).pipe(Effect.provide(fixtures.layer({ profile: "strict", refreshAnswer: "replaces" }))))

  it.effect("also when a reused refresh token ends its session, whatever access token comes with it", () =>
    Effect.gen(function*() {
      const first = yield* fixtures.signIn
      yield* fixtures.refresh(first)
      yield* TestClock.adjust("11 seconds")
      yield* fixtures.token({ session: { ...first.session, accessToken: "unknown" } })

      const [refused, ended, refreshed] = yield* (yield* Audit.Audit).recent()

      const about = { tenant, session: refreshed?.session ?? "" }
      assert.isNotEmpty(about.session)
      assert.deepInclude(ended, { ...about, event: "expire", outcome: "accepted", reason: "reused refresh token" })
      assert.deepInclude(refused, { ...about, event: "refresh", outcome: "refused" })
    }).pipe(Effect.provide(fixtures.layer({ refreshAnswer: "replaces" }))))

  it.effect("which says when, who, where from and which session", () =>
    Effect.gen(function*() {
      const { endpointUrl } = yield* AuthorityServer.AuthorityServer
      const audit = yield* Audit.Audit
      const post = (body: object) =>
        Effect.promise(async () => {
          const response = await fetch(`${endpointUrl}/auth/token`, {
            method: "POST",
            headers: { "x-api-key": fixtures.apiKey, "content-type": "application/json" },
            body: JSON.stringify(body)
          })
          return await response.json()
        })
      yield* TestClock.setTime(1_700_000_000_000)
      const { session } = yield* post({ username, password })
      yield* post({ session })
      yield* post({ username, password: "wrong" })

      // The keys are old at once, and may be rotated meanwhile.
      const rows = yield* audit.recent()
      const [wrong, refreshed, signedIn] = rows.filter(({ event }) => event !== "rotate")

      const claims = JSON.parse(Buffer.from(session.accessToken.split(".")[1], "base64url").toString())
      const about = {
        tenant,
        subject: claims.sub,
        fingerprint: null,
        address: "127.0.0.1",
        session: claims.origin_jti
      }
      assert.deepInclude(signedIn, { ...about, event: "sign-in", outcome: "accepted", reason: null, username })
      assert.deepInclude(refreshed, { ...about, event: "refresh", outcome: "accepted", reason: null, username })
      assert.deepInclude(wrong, {
        ...about,
        event: "sign-in",
        outcome: "refused",
        reason: "wrong password",
        username,
        session: null
      })
      assert.strictEqual(wrong?.at.epochMilliseconds, 1_700_000_000_000)
    }).pipe(Effect.provide(fixtures.layerNode())))

  // Commits are counted in SQLite's journal.
  it.effect.skipIf(kind === "postgres")(
    "in the same commit, and refusals a second later in one of their own",
    () =>
      Effect.gen(function*() {
        const database = yield* shared
        yield* Effect.gen(function*() {
          yield* Seed.apply(fixtures.seed)
          const authority = yield* Authority.Authority
          let before = commitsIn(database)
          const commits = Effect.sync(() => {
            const now = commitsIn(database)
            const made = now - before
            before = now
            return made
          })
          const credentials = { tenant, username, password: Redacted.make(password) }

          const { session } = yield* authority.authorize(credentials)
          assert.strictEqual(yield* commits, 1)
          const { accessToken, refreshToken = Redacted.make("") } = session
          yield* authority.refresh({ tenant, accessToken, refreshToken })
          assert.strictEqual(yield* commits, 1)
          yield* authority.expire({ tenant, accessToken })
          assert.strictEqual(yield* commits, 1)
          for (let n = 0; n < 20; n++) {
            yield* Effect.exit(authority.refresh({ tenant, accessToken, refreshToken }))
          }
          assert.strictEqual(yield* commits, 0)
          yield* Effect.repeat(Effect.andThen(soon, stored), { until: (rows) => rows.length === 26 })
          assert.strictEqual(yield* commits, 1)
        }).pipe(Effect.provide(AuthorityServer.layerAuthority({ keys: fixtures.keys, database })))
      })
  )

  it.effect("or is not decided: nobody is added without a row, and no session begins or ends", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      const authority = yield* Authority.Authority
      yield* Seed.apply(fixtures.seed)
      const signIn = authority.authorize(fixtures.credentials)
      const first = fixtures.tokens(yield* signIn)
      const second = fixtures.tokens(yield* authority.refresh(first))
      yield* TestClock.adjust("11 seconds")
      const kept = Effect.all([
        sql`SELECT id, revoked_at FROM sessions`,
        sql`SELECT username, email FROM users`,
        sql`SELECT tenant FROM api_keys`
      ])
      const before = yield* kept
      const someone = { username: "carl", password: Redacted.make("x") }
      const decisions = [
        signIn,
        authority.refresh(first),
        authority.expire(second),
        authority.addUser(someone),
        authority.addUser({ username, password: someone.password }),
        authority.addApiKey(someone.password)
      ]

      yield* sql`ALTER TABLE audit RENAME TO elsewhere`
      for (const decision of decisions) {
        const exit = yield* Effect.exit(decision)
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      }

      assert.deepStrictEqual(yield* kept, before)
      yield* sql`ALTER TABLE elsewhere RENAME TO audit`
    }).pipe(Effect.provide(fixtures.layerAuthority({ refreshAnswer: "replaces" }))))
})

/** The commits in SQLite's write-ahead log: the frames that say how large the database is after them. */
const commitsIn = (database: string): number => {
  const log = readFileSync(`${database}-wal`)
  const pageSize = log.readUInt32BE(8)
  const salts = log.subarray(16, 24)
  let commits = 0
  for (let at = 32; at + 24 <= log.length; at += 24 + pageSize) {
    if (log.subarray(at + 8, at + 16).equals(salts) && log.readUInt32BE(at + 4) > 0) commits++
  }
  return commits
}

describe("Audit", () => {
  it.effect("writes what is noted within a second, in the order in which it was", () =>
    Effect.gen(function*() {
      const audit = yield* Audit.Audit
      for (const reason of ["a", "b", "c"]) yield* audit.note(refusal(reason))
      assert.deepStrictEqual(yield* stored, [])

      assert.deepStrictEqual(yield* Effect.repeat(Effect.andThen(soon, stored), { until: (rows) => rows.length > 0 }), [
        "a",
        "b",
        "c"
      ])

      yield* audit.note(refusal("d"))
      yield* audit.record({ event: "expire", outcome: "accepted", reason: "e" })
      assert.deepStrictEqual((yield* audit.recent()).map(({ reason }) => reason), ["e", "d", "c", "b", "a"])
      assert.deepStrictEqual((yield* audit.recent({ limit: 2 })).map(({ reason }) => reason), ["e", "d"])
    }).pipe(Effect.provide(live())))

  it.effect("writes what is left when its scope closes", () =>
    Effect.gen(function*() {
      const database = yield* shared
      yield* Effect.gen(function*() {
        const audit = yield* Audit.Audit
        for (let n = 0; n < 1200; n++) yield* audit.note(refusal(String(n)))
      }).pipe(Effect.provide(Audit.layer().pipe(Layer.provideMerge(storage(database)))))

      const rows = yield* Effect.provide(stored, storage(database))

      assert.deepStrictEqual(rows, Array.from({ length: 1200 }, (_, n) => String(n)))
    }))

  it.effect("lets no more than 10,000 wait, and says how many it lost", () =>
    Effect.gen(function*() {
      const audit = yield* Audit.Audit
      for (let n = 0; n < 10_321; n++) yield* audit.note(refusal("many"))

      const rows = yield* audit.recent({ limit: 20_000 })

      assert.strictEqual(rows.length, 10_001)
      assert.deepInclude(rows[0], { event: "lost", outcome: "refused", reason: "321 refusals" })
      assert.strictEqual(rows[1]?.reason, "many")
    }).pipe(Effect.provide(live())))

  it.effect("keeps what it can't write, and writes it later", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      const audit = yield* Audit.Audit
      yield* sql`ALTER TABLE audit RENAME TO elsewhere`
      yield* audit.note(refusal("a"))
      yield* audit.note(refusal("b"))

      const error = yield* Effect.flip(audit.recent())
      yield* sql`ALTER TABLE elsewhere RENAME TO audit`
      yield* audit.note(refusal("c"))
      yield* audit.recent()

      assert.strictEqual(error._tag, "SqlError")
      assert.deepStrictEqual(yield* stored, ["a", "b", "c"])
    }).pipe(Effect.provide(live())))

  it.effect("warns of what it can't write when its scope closes", () =>
    Effect.gen(function*() {
      const warnings: Array<unknown> = []
      yield* Effect.gen(function*() {
        const sql = yield* SqlClient
        const audit = yield* Audit.Audit
        yield* audit.note(refusal("a"))
        yield* sql`DROP TABLE audit`
      }).pipe(
        Effect.provide(
          live().pipe(
            Layer.provideMerge(Logger.layer([Logger.make(({ message }) => void warnings.push(message))]))
          )
        )
      )

      assert.match(String(warnings), /^Audit rows could not be written: \S/)
    }))

  it.effect("forgets a record with the transaction that it was in", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      const audit = yield* Audit.Audit

      yield* audit.record({ event: "expire", outcome: "accepted", reason: "undone" }).pipe(
        Effect.andThen(Effect.fail("no")),
        sql.withTransaction,
        Effect.exit
      )

      assert.deepStrictEqual(yield* audit.recent(), [])
    }).pipe(Effect.provide(live())))

  it.effect("deletes what is older than 30 days, a few hundred rows at a time", () =>
    Effect.gen(function*() {
      const audit = yield* Audit.Audit
      for (let n = 0; n < 1700; n++) yield* audit.note(refusal("old"))
      yield* audit.recent()
      yield* TestClock.adjust("1 day")
      yield* audit.note(refusal("a day younger"))
      yield* TestClock.adjust("29 days")
      yield* audit.note(refusal("still there"))
      yield* audit.recent()
      assert.strictEqual((yield* stored).length, 1702)

      yield* TestClock.adjust("1 hour")
      yield* audit.note(refusal("new"))
      yield* audit.recent()

      const rows = yield* Effect.repeat(stored, { until: (rows) => rows.length < 10 })
      assert.deepStrictEqual(rows, ["a day younger", "still there", "new"])
    }).pipe(Effect.provide(live())))

  it.effect("keeps as long as it is told to", () =>
    Effect.gen(function*() {
      const audit = yield* Audit.Audit
      yield* audit.note(refusal("old"))
      yield* audit.recent()
      yield* TestClock.adjust("3 hours")
      yield* audit.note(refusal("new"))
      yield* audit.recent()

      assert.deepStrictEqual(yield* Effect.repeat(stored, { until: (rows) => rows.length < 2 }), ["new"])
    }).pipe(Effect.provide(live({ auditLife: "2 hours" }))))

  it.effect("tells names of nobody apart without keeping them", () =>
    Effect.gen(function*() {
      const database = yield* shared
      const masterKey = randomBytes(32).toString("hex")
      const fingerprints = (masterKey: string | undefined, ...names: ReadonlyArray<string>) =>
        Effect.gen(function*() {
          const audit = yield* Audit.Audit
          // Rows of two processes are in order from one millisecond to the next.
          yield* TestClock.adjust("1 millis")
          yield* Effect.forEach(names, (givenName) => audit.note({ ...refusal("unknown user"), givenName }))
          const rows = yield* audit.recent({ limit: names.length })
          return rows.map(({ fingerprint }) => fingerprint ?? "").toReversed()
        }).pipe(Effect.provide(
          Audit.layer().pipe(
            Layer.provide(storage(database)),
            Layer.provide(
              MasterKey.layer({ masterKey: masterKey === undefined ? undefined : Redacted.make(masterKey) })
            )
          )
        ))

      const [a = "", b, again] = yield* fingerprints(masterKey, "canary-hunter2", "x", "canary-hunter2")

      assert.match(a, /^[\w-]{11}$/)
      assert.strictEqual(again, a)
      assert.notStrictEqual(b, a)
      assert.deepStrictEqual(yield* fingerprints(masterKey, "canary-hunter2"), [a])
      const [plain] = yield* fingerprints(undefined, "canary-hunter2")
      assert.notStrictEqual(plain, a)
      assert.notDeepEqual(yield* fingerprints(undefined, "canary-hunter2"), [plain])
      const kept = yield* Effect.provide(SqlClient.use((sql) => sql`SELECT * FROM audit`), storage(database))
      assert.notInclude(JSON.stringify(kept), "canary")
      if (kind !== "postgres") assert.notInclude(readFileSync(database, "latin1"), "canary")
    }))
})
