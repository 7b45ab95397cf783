import { Authority, Seed } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { SqlClient } from "effect/sql/SqlClient"
import { TestClock } from "effect/testing"
import * as Tracer from "effect/Tracer"
import { readFileSync } from "node:fs"
import * as fixtures from "./fixtures/authority.ts"
import { kind } from "./support/databases.ts"

const { refresh, sample, signIn, token } = fixtures

/** All that an authority is asked for, with each statement that it sends. */
const everyStatement = Effect.gen(function*() {
  const statements = new Set<string>()
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      const { attribute } = span
      return Object.assign(span, {
        attribute: (key: string, value: unknown) => {
          if (key === "db.query.text" && !isMigration(Option.some(span))) statements.add(String(value))
          attribute.call(span, key, value)
        }
      })
    }
  })
  const calls = Effect.gen(function*() {
    const first = yield* signIn
    yield* refresh(first)
    yield* refresh(first)
    yield* sample(first)
    yield* token({ session: { accessToken: "unknown", refreshToken: "unknown" } })
    yield* fixtures.expire(first)
    // A refresh token that was replaced long ago.
    const second = yield* signIn
    yield* refresh(second)
    yield* TestClock.adjust("1 minute")
    yield* token(second)
    yield* (yield* Authority.Authority).count
  })
  yield* Effect.forEach(
    [{}, { refreshAnswer: "replaces" }, { profile: "strict" }] as const,
    (options) => calls.pipe(Effect.provide(fixtures.layer(options)), Effect.withTracer(tracer))
  )
  yield* Seed.firstStart.pipe(Effect.provide(fixtures.layerAuthority()), Effect.withTracer(tracer))
  return statements
})

const isMigration = (span: Option.Option<Tracer.AnySpan>): boolean =>
  Option.isSome(span) && span.value._tag === "Span" &&
  (span.value.name.startsWith("Migrator ") || isMigration(span.value.parent))

describe("statements", () => {
  it.effect("find what they need by an index, whatever is stored", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      const statements = Array.from(yield* everyStatement).filter((text) => /^(SELECT|INSERT|UPDATE|DELETE)/.test(text))

      // What a start counts apart, these are the only tables that don't grow.
      const small = ["effect_sql_migrations", "installation", "keys", "row", "sqlite_master"]
      const scans: Array<string> = []
      for (const text of statements) {
        // Without values, which change no plan.
        const plan = yield* sql.unsafe<{ readonly detail: string }>(
          `EXPLAIN QUERY PLAN ${text}`,
          Array.from(text.matchAll(/\?/g), () => null)
        )
        for (const { detail } of plan) {
          const table = /^SCAN (\w+)$|^SCAN (\w+) USING/.exec(detail)?.slice(1).find((name) => name !== undefined)
          if (table !== undefined && !small.includes(table) && !text.includes("SELECT (SELECT count")) {
            scans.push(`${detail}: ${text}`)
          }
        }
      }

      assert.deepStrictEqual(scans, [])
      const source = readFileSync(new URL("../src/internal/rows.ts", import.meta.url), "utf8")
      const written = source.match(/sql`(?:SELECT|INSERT|UPDATE|DELETE)/g) ?? []
      assert.isAtLeast(statements.length, written.length)
    }).pipe(Effect.provide(fixtures.layerAuthority()), (self) => kind === "postgres" ? Effect.void : self))
})

describe("sessions that have ended", () => {
  const sessions = SqlClient.use((sql) => Effect.map(sql`SELECT id FROM sessions`, (rows) => rows.length))

  it.effect("are kept for a day after their refresh token, and go at later sign-ins", () =>
    Effect.gen(function*() {
      const authority = yield* Authority.Authority
      const sign = authority.authorize(fixtures.credentials)
      const early = yield* Effect.replicateEffect(sign, 12)
      yield* TestClock.adjust("31 days")
      const late = yield* sign
      const kept = yield* sessions

      const expired = yield* Effect.flip(authority.refresh(fixtures.tokens(early[0])))
      yield* TestClock.adjust("1 second")
      // They go with each sixteenth sign-in.
      yield* Effect.replicateEffect(sign, 2)
      const before = yield* sessions
      yield* sign
      const after = yield* sessions
      const gone = yield* Effect.flip(authority.refresh(fixtures.tokens(early[0])))
      yield* authority.refresh(fixtures.tokens(late))

      assert.deepStrictEqual([kept, before, after], [13, 15, 4])
      assert.deepStrictEqual([expired.message, gone.message], ["Refresh Token has expired", "Invalid Refresh Token"])
    }).pipe(Effect.provide(
      Layer.effectDiscard(Seed.apply(fixtures.seed)).pipe(Layer.provideMerge(fixtures.layerAuthority()))
    )))
})
