import { Audit, Keys } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import { SqlClient } from "effect/sql/SqlClient"
import { TestClock } from "effect/testing"
import * as Tracer from "effect/Tracer"
import { inspect } from "node:util"
import * as fixtures from "./fixtures/authority.ts"
import * as databases from "./support/databases.ts"

const storage = (database?: string) => Audit.layer().pipe(Layer.provideMerge(databases.storage(database)))
const empty = storage()

const kinds = ["id", "access", "refresh"] as const

/** Its first keys are those of the fixtures, so that only the next ones have to be made. */
const makeKeys = (options?: Keys.Options) => Keys.make({ keys: fixtures.keys, ...options })

const thumbprints = (keys: Keys.Keys["Service"]) =>
  Effect.forEach(
    kinds,
    (kind) => Effect.map(keys.signing(kind), ({ kid, publicKey }) => `${kid} ${publicKey.export({ format: "jwk" }).n}`)
  )

const kidOf = (keys: Keys.Keys["Service"], kind: Keys.Kind = "access") =>
  Effect.map(keys.signing(kind), ({ kid }) => kid)

const isFound = (keys: Keys.Keys["Service"], kind: Keys.Kind) =>
  Effect.map(keys.find(kind, fixtures.keys[kind].kid), Option.isSome)

const rotations = SqlClient.use((sql) => sql`SELECT reason FROM audit WHERE event = 'rotate'`.values)

/** Lets real work in the background go on, until it shows. */
const until = <A, E, R>(self: Effect.Effect<A, E, R>, isDone: (value: A) => boolean) =>
  self.pipe(
    Effect.tap(Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))),
    Effect.repeat({ until: isDone })
  )

describe("Keys", () => {
  it.effect("makes three pairs of RSA-2048, and reads the same ones afterwards", () =>
    Effect.gen(function*() {
      const first = yield* Keys.make()
      const second = yield* Keys.make()

      assert.strictEqual(new Set(yield* thumbprints(first)).size, 3)
      assert.deepStrictEqual(yield* thumbprints(second), yield* thumbprints(first))
      for (const kind of kinds) {
        const { kid, publicKey } = yield* first.signing(kind)
        assert.match(kid, /^[A-Za-z0-9+/]{43}=$/)
        assert.strictEqual(publicKey.asymmetricKeyDetails?.modulusLength, 2048)
      }
    }).pipe(Effect.provide(empty)))

  it.effect("gives two that start at once on a new database the same keys", () =>
    Effect.gen(function*() {
      const [first, second] = yield* Effect.all([Keys.make(), Keys.make()], { concurrency: 2 })

      assert.deepStrictEqual(yield* thumbprints(second), yield* thumbprints(first))
    }).pipe(Effect.provide(empty)))

  it.effect("shows no private key when it is printed", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      const keys = yield* makeKeys()
      const stored = yield* sql`SELECT private_key FROM keys`

      const all = [keys, yield* keys.published, yield* Effect.forEach(kinds, keys.signing)]
      const printed = inspect(all, { depth: 9, showHidden: true }) + JSON.stringify(all)

      assert.isTrue(stored.every((row) => String(row["private_key"]).includes("PRIVATE KEY")))
      assert.include(printed, fixtures.keys.access.kid)
      assert.notInclude(printed, "PRIVATE KEY")
      assert.notMatch(printed, /"[dpq]":/)
    }).pipe(Effect.provide(empty)))

  it.effect("publishes the next keys ten minutes before they are used, and the old ones for an hour after", () =>
    Effect.gen(function*() {
      const keys = yield* makeKeys({ accessTokenLife: "1 minute" })
      const published = Effect.map(keys.published, (all) => all.map(({ kid }) => kid))
      const old = yield* published
      assert.sameMembers(old, kinds.map((kind) => fixtures.keys[kind].kid))

      const useFrom = yield* keys.rotate()

      assert.strictEqual(DateTime.toEpochMillis(useFrom), 600_000)
      const both = yield* published
      assert.strictEqual(both.length, 6)
      assert.includeMembers(both, old)
      yield* TestClock.adjust("599 seconds")
      assert.strictEqual(yield* kidOf(keys), fixtures.keys.access.kid)

      yield* TestClock.adjust("1 second")
      for (const kind of kinds) {
        const kid = yield* kidOf(keys, kind)
        assert.notInclude(old, kid)
        assert.include(both, kid)
        assert.isTrue(Option.isSome(yield* keys.find(kind, kid)))
      }
      yield* TestClock.adjust("3599 seconds")
      assert.sameMembers(yield* published, both)
      assert.deepStrictEqual(yield* Effect.forEach(kinds, (kind) => isFound(keys, kind)), [true, true, true])

      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* published).length, 3)
      assert.deepStrictEqual(yield* Effect.forEach(kinds, (kind) => isFound(keys, kind)), [false, false, false])
      assert.deepStrictEqual(yield* rotations, [["command"]])
    }).pipe(Effect.provide(empty)))

  it.effect("deletes old private keys, and remembers old access keys as long as a session lives", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      const keys = yield* makeKeys()
      const { access } = fixtures.keys
      const stored = sql`SELECT kind, private_key FROM keys WHERE generation = 1 ORDER BY kind`.values
      yield* keys.rotate()
      yield* keys.published
      assert.strictEqual((yield* stored).length, 3)

      yield* TestClock.adjust("70 minutes")
      yield* keys.published
      assert.deepStrictEqual(yield* until(stored, ({ length }) => length === 1), [["access", null]])
      assert.isTrue(Option.isNone(yield* keys.find("access", access.kid)))
      yield* TestClock.adjust("29 days")
      const recalled = yield* keys.recall("access", access.kid)
      const restarted = yield* Effect.flatMap(makeKeys(), (keys) => keys.recall("access", access.kid))
      for (const key of [recalled, restarted]) {
        assert.isTrue(key.pipe(Option.exists(({ publicKey }) => publicKey.equals(access.publicKey))))
      }

      yield* TestClock.adjust("1 day")
      yield* keys.published
      assert.deepStrictEqual(yield* until(stored, ({ length }) => length === 0), [])
      assert.isTrue(Option.isNone(yield* until(keys.recall("access", access.kid), Option.isNone)))
    }).pipe(Effect.provide(empty)))

  it.effect("keeps old keys longer where tokens live longer, also when somebody else rotated them", () =>
    Effect.gen(function*() {
      const server = yield* makeKeys({ accessTokenLife: "3 hours" })
      const command = yield* makeKeys()

      yield* command.rotate()
      yield* TestClock.adjust("1 minute")
      yield* server.published
      yield* until(
        SqlClient.use((sql) => sql`SELECT DISTINCT retire_at FROM keys WHERE generation = 1`.values),
        ([row]) => row?.[0] === 190 * 60_000
      )
      yield* TestClock.adjust("188 minutes")

      assert.isTrue(yield* isFound(server, "access"))
      assert.isTrue(yield* isFound(command, "access"))
      yield* TestClock.adjust("1 minute")
      assert.isFalse(yield* isFound(server, "access"))
    }).pipe(Effect.provide(empty)))

  it.effect("takes keys that are published already for the next ones, and uses them at once when told to", () =>
    Effect.gen(function*() {
      const keys = yield* makeKeys()
      const first = yield* keys.rotate()
      yield* TestClock.adjust("5 minutes")
      const same = yield* keys.rotate()
      const kids = (yield* keys.published).map(({ kid }) => kid)
      assert.strictEqual(DateTime.toEpochMillis(same), DateTime.toEpochMillis(first))

      const now = yield* keys.rotate({ immediately: true })

      assert.strictEqual(DateTime.toEpochMillis(now), 300_000)
      assert.sameMembers((yield* keys.published).map(({ kid }) => kid), kids)
      const second = yield* kidOf(keys)
      assert.notStrictEqual(second, fixtures.keys.access.kid)

      yield* keys.rotate({ immediately: true })
      assert.notInclude([second, fixtures.keys.access.kid], yield* kidOf(keys))
      assert.deepStrictEqual(yield* rotations, [["command"], ["command"], ["command"]])
    }).pipe(Effect.provide(empty)))

  it.effect("rotates by age, without keeping anybody waiting", () =>
    Effect.gen(function*() {
      const keys = yield* makeKeys({ keyLife: "30 days" })
      yield* TestClock.adjust(30 * 86_400_000 - 600_001)
      assert.strictEqual(yield* kidOf(keys), fixtures.keys.access.kid)
      yield* until(keys.published, () => true)
      assert.strictEqual((yield* keys.published).length, 3)

      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* keys.published).length, 3)
      const all = yield* until(keys.published, ({ length }) => length > 3)

      assert.strictEqual(all.length, 6)
      assert.strictEqual(yield* kidOf(keys), fixtures.keys.access.kid)
      assert.deepStrictEqual(
        all.slice(3).map(({ useFrom }) => DateTime.toEpochMillis(useFrom)),
        Array.from(kinds, () => 30 * 86_400_000 - 600_001 + 60_000 + 600_000)
      )
      yield* TestClock.adjust("10 minutes")
      assert.include(all.slice(3).map(({ kid }) => kid), yield* kidOf(keys))
      assert.deepStrictEqual(yield* rotations, [["age"]])
    }).pipe(Effect.provide(empty)))

  it.effect("doesn't read the database for each key that it doesn't know", () =>
    Effect.gen(function*() {
      let reads = 0
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          const { attribute } = span
          span.attribute = (key, value) => {
            if (key === "db.query.text" && String(value).includes("FROM keys")) reads++
            attribute.call(span, key, value)
          }
          return span
        }
      })
      const keys = yield* makeKeys()

      yield* Effect.gen(function*() {
        for (let n = 0; n < 1000; n++) {
          yield* keys.find("access", `forged ${n}`)
          yield* keys.recall("access", `forged ${n}`)
          yield* TestClock.adjust("10 millis")
        }
      }).pipe(Effect.provideService(Tracer.Tracer, tracer))

      assert.isAtLeast(reads, 100)
      assert.isAtMost(reads, 170)
    }).pipe(Effect.provide(empty)))

  it.effect("knows the keys that another process made a moment ago, however many ask", () =>
    Effect.gen(function*() {
      const [here, there] = [yield* makeKeys(), yield* makeKeys()]
      yield* here.find("access", "forged")
      yield* there.rotate({ immediately: true })
      const kid = yield* kidOf(there)

      const found = yield* Effect.replicateEffect(here.find("access", kid), 10, { concurrency: "unbounded" })

      assert.isTrue(found.every(Option.isSome))
      assert.notStrictEqual(kid, fixtures.keys.access.kid)
    }).pipe(Effect.provide(empty)))

  it.effect("goes on with the keys at hand while the database can't be read", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      const keys = yield* makeKeys()
      const warnings: Array<unknown> = []
      yield* sql`ALTER TABLE keys RENAME TO elsewhere`
      yield* TestClock.adjust("1 hour")

      const kid = yield* kidOf(keys).pipe(
        Effect.provide(Logger.layer([Logger.make(({ message }) => void warnings.push(message))]))
      )

      assert.strictEqual(kid, fixtures.keys.access.kid)
      assert.match(String(warnings), /^The keys could not be read again: \S/)
      yield* sql`ALTER TABLE elsewhere RENAME TO keys`
      yield* TestClock.adjust("1 minute")
      yield* keys.rotate({ immediately: true })
      assert.notStrictEqual(yield* kidOf(keys), fixtures.keys.access.kid)
    }).pipe(Effect.provide(empty)))

  it.effect("uses what there is when the clock was set back", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 day")
      const before = yield* Effect.flatMap(makeKeys(), (keys) => kidOf(keys))
      yield* TestClock.setTime(0)

      const keys = yield* makeKeys()

      assert.strictEqual(yield* kidOf(keys), before)
      assert.isTrue(yield* isFound(keys, "access"))
    }).pipe(Effect.provide(empty)))

  it.effect("agrees with other processes on one database, whatever they do and when", () =>
    Effect.gen(function*() {
      const database = yield* databases.shared
      const open = Effect.gen(function*() {
        const context = yield* Layer.build(
          Keys.layer({ keys: fixtures.keys, keyLife: "1 day" }).pipe(
            Layer.provideMerge(storage(database))
          )
        )
        return yield* Effect.provide(Effect.all([Keys.Keys, SqlClient]), context)
      })
      const processes = yield* Effect.all([open, open, open])
      const random = mulberry32(20260101)
      const used = new Set<string>()

      for (let round = 0; round < 40; round++) {
        const acting = processes.filter(() => random() < 0.5)
        const [, sql] = processes[0]
        yield* Effect.forEach(acting, ([keys]) => {
          const choice = random()
          return choice < 0.2
            ? Effect.asVoid(keys.rotate({ immediately: choice < 0.05 }))
            : Effect.asVoid(keys.published)
        }, { concurrency: "unbounded", discard: true })
        yield* TestClock.adjust(Math.floor(random() * 3 * 3_600_000))

        // Nobody is idle for long enough to be surprised: a minute later each has read the rows again.
        yield* TestClock.adjust("1 minute")
        const kids = yield* Effect.forEach(processes, ([keys]) => kidOf(keys))
        assert.strictEqual(new Set(kids).size, 1)
        for (const [keys] of processes) {
          for (const kid of kids) assert.isTrue(Option.isSome(yield* keys.find("access", kid)))
        }
        for (const kid of kids) used.add(kid)
        const doubled = yield* sql`SELECT kind, generation FROM keys GROUP BY kind, generation HAVING count(*) > 1`
        assert.deepStrictEqual(doubled, [])
      }

      assert.isAbove(used.size, 5)
    }), 120_000)
})

const mulberry32 = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}
