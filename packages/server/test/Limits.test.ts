import { AuthorityServer, Limits, Passwords, Seed } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { HttpClient } from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Redacted from "effect/Redacted"
import { SqlClient } from "effect/sql/SqlClient"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { join } from "node:path"
import * as rateLimits from "../src/internal/rateLimits.ts"
import * as fixtures from "./fixtures/authority.ts"
import { cheap } from "./fixtures/hashes.ts"
import { emptyFolder, fresh, kind, storage } from "./support/databases.ts"

const { call, expire, password, refresh, sample, signIn, token, username } = fixtures

const layer = (limits?: Limits.Options) =>
  fixtures.layer({ passwords: cheap, ...(limits === undefined ? {} : { limits }) })

const memory = storage()

/** Not in memory, so that more than one authority can have it. */
const onDisk = kind === "memory" ? Effect.map(emptyFolder, (folder) => join(folder, "a.sqlite")) : fresh

const tooMany = { message: "Too Many Requests" }

const status = <R>(self: Effect.Effect<{ readonly status: number }, unknown, R>) =>
  Effect.orDie(Effect.map(self, ({ status }) => status))

const from = (address: string, body: unknown) =>
  call("POST", "/v1/auth/token", { headers: { "X-Forwarded-For": address }, body })

const wrong = token({ username, password: "wrong" })
const right = token({ username, password })

describe("the limit of an API key", () => {
  const health = call("GET", "/v1/security/template")

  it.effect("answers 429 as the gateway does, and says when to come again", () =>
    Effect.gen(function*() {
      const before = yield* Effect.replicateEffect(status(health), 20)
      const refused = yield* health
      yield* TestClock.adjust("499 millis")
      const early = yield* status(health)
      yield* TestClock.adjust("1 millis")
      const after = [yield* status(health), yield* status(health)]

      assert.deepStrictEqual(before, Array.from({ length: 20 }, () => 401))
      assert.deepStrictEqual([refused.status, refused.body], [429, tooMany])
      assert.strictEqual(refused.headers["retry-after"], "1")
      assert.strictEqual(early, 429)
      assert.deepStrictEqual(after, [401, 429])
    }).pipe(Effect.provide(layer({ perApiKey: { limit: 20, window: "10 seconds" } }))))

  it.effect("tells whole seconds, rounded up", () =>
    Effect.gen(function*() {
      yield* health
      yield* TestClock.adjust("2500 millis")

      const refused = yield* health

      assert.strictEqual(refused.headers["retry-after"], "8")
    }).pipe(Effect.provide(layer({ perApiKey: { limit: 1, window: "10 seconds" } }))))

  it.effect("counts no request whose key is unknown, and each key for itself", () =>
    Effect.gen(function*() {
      yield* Seed.apply({ apiKeys: [Redacted.make("another-key")], users: [] })
      const unknown = call("GET", "/v1/security/template", { headers: { "X-API-Key": "unknown" } })

      const refused = yield* Effect.replicateEffect(status(unknown), 3)
      const own = [yield* status(health), yield* status(health)]
      const other = yield* status(call("GET", "/v1/security/template", { headers: { "X-API-Key": "another-key" } }))

      assert.deepStrictEqual(refused, [403, 403, 403])
      assert.deepStrictEqual(own, [401, 429])
      assert.strictEqual(other, 401)
    }).pipe(Effect.provide(layer({ perApiKey: { limit: 1, window: "1 minute" } }))))

  // A hundredth of the limit is taken from the store at a time.
  it.effect("writes once in a hundred requests when it is far, and lets no request pass that is over it", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      const limits = yield* Limits.Limits
      const key = Redacted.make("key")
      const changes = Effect.map(sql`SELECT total_changes() AS n`, ([row]) => Number(row?.["n"]))
      const outcome = Effect.match(limits.request(key, fixtures.tenant), { onFailure: () => 0, onSuccess: () => 1 })

      const before = yield* changes
      const passed = yield* Effect.replicateEffect(outcome, 10_000, { concurrency: 50 })
      const writes = (yield* changes) - before
      const late = yield* Effect.replicateEffect(outcome, 100)

      assert.strictEqual(passed.reduce((sum, n) => sum + n), 10_000)
      assert.isAtMost(writes, 110)
      assert.deepStrictEqual(late.filter((n) => n === 1), [])
    }).pipe(Effect.provide(Layer.provideMerge(
      Limits.layer({ perApiKey: { limit: 10_000, window: "1 hour" } }),
      // Whose changes can be counted.
      storage(":memory:")
    ))))

  it.effect("takes one share for many who come while the database is busy", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      const limits = yield* Limits.Limits
      const free = yield* Deferred.make<void>()
      const busy = yield* Effect.forkChild(sql.withTransaction(Deferred.await(free)))
      yield* Effect.yieldNow
      const requests = yield* Effect.forkChild(
        Effect.replicateEffect(limits.request(Redacted.make("key"), fixtures.tenant), 90, { concurrency: "unbounded" })
      )
      yield* Effect.yieldNow

      yield* Deferred.succeed(free, undefined)
      yield* Fiber.join(busy)
      yield* Fiber.join(requests)

      const [row] = yield* sql`SELECT tokens FROM rate_limits`
      assert.strictEqual(row?.["tokens"], 9_900)
    }).pipe(Effect.provide(Layer.provideMerge(Limits.layer(), memory))))

  it.effect("is one for all who share a database, and outlives them", () =>
    Effect.gen(function*() {
      const options = { database: yield* onDisk, keys: fixtures.keys, passwords: cheap }
      const client = Layer.effectDiscard(Seed.apply(fixtures.seed)).pipe(
        Layer.provideMerge(
          AuthorityServer.layerHttpClient({ ...options, limits: { perApiKey: { limit: 50, window: "1 hour" } } })
        )
      )
      const some = Effect.replicateEffect(status(health), 30)

      const answers = [...yield* Effect.provide(some, client), ...yield* Effect.provide(some, Layer.fresh(client))]

      assert.strictEqual(answers.filter((status) => status === 401).length, 50)
      assert.deepStrictEqual(answers.slice(50), Array.from({ length: 10 }, () => 429))
    }).pipe(Effect.scoped))
})

describe("the limit of an address", () => {
  const limits = { perAddress: { limit: 2, window: "1 minute" }, proxies: 1 } as const

  it.effect("counts sign-ins, good or bad, and nothing else", () =>
    Effect.gen(function*() {
      const answers = [
        yield* from("192.0.2.1", { username, password }),
        yield* from("192.0.2.1", { username: "nobody", password }),
        yield* from("192.0.2.1", { username, password }),
        yield* from("192.0.2.2", { username, password })
      ]
      const [first] = answers
      const refreshed = yield* from("192.0.2.1", first?.body)
      yield* TestClock.adjust("30 seconds")
      const later = yield* from("192.0.2.1", { username, password })

      assert.deepStrictEqual(answers.map(({ status }) => status), [200, 401, 429, 200])
      assert.deepStrictEqual([answers[2]?.body, answers[2]?.headers["retry-after"]], [tooMany, "30"])
      assert.strictEqual(refreshed.status, 200)
      assert.strictEqual(later.status, 200)
    }).pipe(Effect.provide(layer(limits))))

  it.effect("believes of X-Forwarded-For what its own proxies added, and takes half an IPv6 address", () =>
    Effect.gen(function*() {
      const body = { username, password }
      const answers = [
        yield* from("198.51.100.1, 192.0.2.1", body),
        yield* from("198.51.100.2, 192.0.2.1", body),
        yield* from("198.51.100.3, 192.0.2.1", body),
        yield* from("2001:db8:0:1::1", body),
        yield* from("2001:DB8:0:1:ffff:ffff:ffff:ffff", body),
        yield* from("2001:db8::1:0:0:0:9", body),
        yield* from("2001:db8:0:2::1", body),
        yield* from("::ffff:192.0.2.1", body)
      ]

      assert.deepStrictEqual(answers.map(({ status }) => status), [200, 200, 429, 200, 200, 429, 200, 429])
    }).pipe(Effect.provide(layer(limits))))

  it.effect("is none for loopback, and believes no header without a proxy", () =>
    Effect.gen(function*() {
      const answers = yield* Effect.replicateEffect(status(from("192.0.2.1", { username, password })), 5)

      assert.deepStrictEqual(answers, [200, 200, 200, 200, 200])
    }).pipe(Effect.provide(layer({ ...limits, proxies: 0 }))))
})

describe("the limit of a user", () => {
  const limits = { perUser: { limit: 3, window: "1 hour" }, proxies: 1 } as const

  it.effect("counts refused sign-ins from everywhere, also of a user whom nobody is", () =>
    Effect.gen(function*() {
      for (const name of [username, "nobody"]) {
        const answers = yield* Effect.forEach(["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"], (address) =>
          from(address, { username: name, password: "wrong" }))

        assert.deepStrictEqual(
          answers.map(({ status }) =>
            status
          ),
          [401, 401, 401, 429]
        )
        assert.deepStrictEqual([answers[3]?.body, answers[3]?.headers["retry-after"]], [tooMany, "1200"])
      }
      const other = yield* token({ username: "bob", password: "hunter2" })
      yield* TestClock.adjust("20 minutes")
      const later = yield* right

      assert.strictEqual(other.status, 200)
      assert.strictEqual(later.status, 200)
    }).pipe(Effect.provide(layer(limits))))

  it.effect("answers no more guesses than it allows that come all at once", () =>
    Effect.gen(function*() {
      const addresses = Array.from({ length: 40 }, (_, i) => `192.0.2.${i}`)
      for (const name of [username, "nobody"]) {
        const answers = yield* Effect.forEach(
          addresses,
          (address) => status(from(address, { username: name, password: "wrong" })),
          { concurrency: "unbounded" }
        )

        assert.deepStrictEqual(answers.toSorted(), [401, 401, 401, ...Array.from({ length: 37 }, () => 429)])
      }
    }).pipe(Effect.provide(layer(limits))))

  it.effect("says nothing of a password that was still hashed when others used it up, right or wrong", () =>
    Effect.gen(function*() {
      const late = ["late: wrong", password]
      const come = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      let waiting = 0
      const passwords = Passwords.Passwords.of({
        ...cheap,
        tryVerify: Effect.fnUntraced(function*(hash, password) {
          if (late.includes(Redacted.value(password))) {
            if (++waiting === late.length) yield* Deferred.succeed(come, undefined)
            yield* Deferred.await(go)
          }
          return yield* cheap.tryVerify(hash, password)
        })
      })
      yield* Effect.gen(function*() {
        const attempts = yield* Effect.forEach(
          late,
          (password, i) => Effect.forkChild(from(`192.0.2.${i}`, { username, password }))
        )
        yield* Deferred.await(come)
        yield* Effect.replicateEffect(wrong, 3)
        yield* TestClock.adjust("1 minute")

        yield* Deferred.succeed(go, undefined)
        const answers = yield* Effect.forEach(attempts, Fiber.join)

        const [refused, same] = answers.map(({ headers, status, text }) => ({ headers, status, text }))
        assert.propertyVal(refused, "status", 429)
        assert.propertyVal(refused?.headers, "retry-after", "1200")
        assert.deepStrictEqual(same, refused)
      }).pipe(Effect.provide(fixtures.layer({ limits, passwords })))
    }))

  it.effect("can't be used up by guesses that a lock refuses", () =>
    Effect.gen(function*() {
      const refused = yield* Effect.replicateEffect(status(wrong), 50)
      const elsewhere = yield* from("192.0.2.9", { username, password })

      assert.deepStrictEqual(refused, Array.from({ length: 50 }, () => 401))
      assert.strictEqual(elsewhere.status, 200)
    }).pipe(Effect.provide(layer({ perUser: { limit: 6, window: "1 hour" }, proxies: 1 }))))
})

describe("a lock", () => {
  const fail = (times: number) => Effect.replicateEffect(wrong, times)

  it.effect("comes with the fifth wrong password, and lasts twice as long each time, up to a quarter of an hour", () =>
    Effect.gen(function*() {
      yield* fail(5)

      for (const seconds of [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]) {
        yield* TestClock.adjust(Duration.millis(seconds * 1000 - 1))
        assert.strictEqual(yield* status(right), 401, `just before ${seconds} s`)
        yield* TestClock.adjust("1 millis")
        // It counts, so the lock is over.
        yield* wrong
      }
    }).pipe(Effect.provide(layer())))

  it.effect("refuses the right password as it refuses a wrong one, until its time is over", () =>
    Effect.gen(function*() {
      const refused = yield* wrong
      yield* fail(4)

      const locked = yield* right
      yield* TestClock.adjust("999 millis")
      const still = yield* right
      yield* TestClock.adjust("1 millis")
      const free = yield* right

      assert.deepStrictEqual([locked.status, locked.text, locked.headers], [401, refused.text, refused.headers])
      assert.strictEqual(still.status, 401)
      assert.strictEqual(free.status, 200)
    }).pipe(Effect.provide(layer())))

  it.effect("counts nothing that is tried meanwhile", () =>
    Effect.gen(function*() {
      yield* fail(50)
      yield* TestClock.adjust("1 second")

      assert.strictEqual(yield* status(right), 200)
    }).pipe(Effect.provide(layer())))

  it.effect("forgets failures with a right password, and after a quarter of an hour", () =>
    Effect.gen(function*() {
      for (const forget of [right, TestClock.adjust("15 minutes")]) {
        yield* fail(4)
        yield* forget
        yield* fail(4)
        assert.strictEqual(yield* status(right), 200)
      }
      yield* fail(4)
      yield* TestClock.adjust("14 minutes")
      yield* fail(1)
      assert.strictEqual(yield* status(right), 401)
    }).pipe(Effect.provide(layer())))

  it.effect("is for the address that guessed, so it keeps the user out from nowhere else", () =>
    Effect.gen(function*() {
      for (let i = 0; i < 9; i++) yield* from("192.0.2.1", { username, password: "wrong" })

      const there = yield* from("192.0.2.1", { username, password })
      const elsewhere = yield* from("192.0.2.2", { username, password })

      assert.deepStrictEqual([there.status, elsewhere.status], [401, 200])
    }).pipe(Effect.provide(layer({ proxies: 1 }))))

  it.effect("never ends or hinders a session", () =>
    Effect.gen(function*() {
      const session = yield* signIn
      yield* fail(20)
      assert.strictEqual(yield* status(right), 401)

      const renewed = yield* refresh(session)
      const used = yield* sample(renewed)
      const again = yield* refresh(renewed)
      const ended = yield* expire(again)

      assert.deepStrictEqual([used.status, ended.status], [200, 200])
    }).pipe(Effect.provide(layer())))

  it.effect("stops guesses that come all at once after five", () =>
    Effect.gen(function*() {
      yield* Effect.replicateEffect(wrong, 10, { concurrency: "unbounded" })
      const answers = yield* Effect.replicateEffect(right, 10, { concurrency: "unbounded" })

      assert.deepStrictEqual(answers.map(({ status }) => status), Array.from({ length: 10 }, () => 401))
    }).pipe(Effect.provide(layer())))
})

describe("the limits of those who sign in", () => {
  const authority = (database: string, limits: Limits.Options) =>
    Layer.effectDiscard(Seed.apply(fixtures.seed)).pipe(
      Layer.provideMerge(
        AuthorityServer.layerHttpClient({ database, keys: fixtures.keys, limits, passwords: cheap })
      ),
      Layer.fresh
    )

  /** What two authorities on one database answer by turns, and what a third does once they have ended. */
  const answers = Effect.fnUntraced(function*(
    limits: Limits.Options,
    attempts: ReadonlyArray<Effect.Effect<number, never, HttpClient>>,
    late: Effect.Effect<number, never, HttpClient>
  ) {
    const database = yield* onDisk
    const together = yield* Effect.gen(function*() {
      const first = yield* Layer.build(authority(database, limits))
      const second = yield* Layer.build(authority(database, limits))
      return yield* Effect.forEach(attempts, (attempt, i) => Effect.provide(attempt, i % 2 === 0 ? first : second))
    }).pipe(Effect.scoped)
    const after = Effect.all([late, Effect.andThen(TestClock.adjust("1 minute"), late)])
    return [...together, ...yield* Effect.provide(after, authority(database, limits))]
  })

  const names = ["a", "b", "c", "d"]

  it.effect("are one for all who share a database, and outlive them: an address", () =>
    Effect.gen(function*() {
      const attempt = (username: string) => status(from("192.0.2.1", { username, password }))
      const limits = { perAddress: { limit: 3, window: "3 minutes" }, proxies: 1 } as const

      const seen = yield* answers(limits, names.map(attempt), attempt("e"))

      assert.deepStrictEqual(seen, [401, 401, 401, 429, 429, 401])
    }))

  it.effect("are one for all who share a database, and outlive them: a user", () =>
    Effect.gen(function*() {
      const limits = { perUser: { limit: 3, window: "3 minutes" } } as const

      const seen = yield* answers(limits, names.map(() => status(wrong)), status(right))

      assert.deepStrictEqual(seen, [401, 401, 401, 429, 429, 200])
    }))

  it.effect("are one for all who share a database, and outlive them: a lock", () =>
    Effect.gen(function*() {
      const five = Array.from({ length: 5 }, () => status(wrong))

      const seen = yield* answers({}, [...five, status(right)], status(right))

      assert.deepStrictEqual(seen, [401, 401, 401, 401, 401, 401, 401, 200])
    }))
})

describe("the store of rate limits", () => {
  const refillRate = fc.constantFrom(0.1, 1, 7, 250).map(Duration.millis)
  const step = fc.oneof(
    fc.record({
      kind: fc.constant("fixed"),
      key: fc.constantFrom("a", "b"),
      tokens: fc.integer({ min: 0, max: 4 }),
      refillRate,
      limit: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined })
    }),
    fc.record({
      kind: fc.constant("bucket"),
      tokens: fc.integer({ min: 0, max: 4 }),
      allowOverflow: fc.boolean()
    }),
    fc.record({ kind: fc.constant("wait"), millis: fc.integer({ min: 0, max: 900 }) })
  )

  it("answers what the store in memory answers, in random programs", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        refillRate,
        fc.integer({ min: 1, max: 6 }),
        (steps, rate, limit) =>
          Effect.gen(function*() {
            const ours = yield* rateLimits.make
            const model = yield* Effect.provide(RateLimiter.RateLimiterStore, Layer.fresh(RateLimiter.layerStoreMemory))
            for (const step of steps) {
              if ("millis" in step) yield* TestClock.adjust(Duration.millis(step.millis))
              else if ("allowOverflow" in step) {
                const options = { ...step, key: "bucket", refillRate: rate, limit }
                assertNear(yield* ours.tokenBucket(options), yield* model.tokenBucket(options))
              } else assertNear(yield* ours.fixedWindow(step), yield* model.fixedWindow(step))
            }
          }).pipe(
            Effect.provide([memory, TestClock.layer()]),
            Effect.runPromise
          )
      ),
      { seed: 4, numRuns: kind === "postgres" ? 20 : 300 }
    ))

  const assertNear = (actual: readonly [number, number], expected: readonly [number, number]) => {
    assert.strictEqual(actual[0], expected[0])
    assert.approximately(actual[1], expected[1], 1e-6)
  }

  it.effect("keeps no row that has ended for long", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      const limiter = yield* Effect.provideServiceEffect(
        RateLimiter.make,
        RateLimiter.RateLimiterStore,
        rateLimits.make
      )
      for (let i = 0; i < 2_000; i++) {
        yield* limiter.consume({ algorithm: "token-bucket", key: String(i), limit: 5, window: "1 second" })
        yield* TestClock.adjust("10 millis")
      }

      const [row] = yield* sql`SELECT count(*) AS n FROM rate_limits`

      assert.isBelow(Number(row?.["n"]), 200)
    }).pipe(Effect.provide(memory)))
})
