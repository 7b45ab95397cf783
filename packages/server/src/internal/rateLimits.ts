import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type * as Statement from "effect/sql/Statement"
import { commonMillis } from "./commonClock.ts"
import { skipLocked } from "./skipLocked.ts"

// The state of rate limits in a table, so that all processes on one database count together. Each consumption is one
// guarded upsert: what is refused changes nothing, and so is told from what is accepted by whether a row comes back.
// A row is of no more use once its bucket is full, or its window over.

export const make: Effect.Effect<RateLimiter.RateLimiterStore["Service"], never, SqlClient.SqlClient> = Effect.gen(
  function*() {
    const sql = yield* SqlClient.SqlClient
    let written = 0

    const number = (value: number) => sql`CAST(${value} AS double precision)`

    /** Now and then a few rows that have ended go: more than have come since. */
    const prune = Effect.gen(function*() {
      if (++written % pruneEvery !== 0) return
      const now = yield* commonMillis
      yield* sql`DELETE FROM rate_limits
        WHERE key IN
          (SELECT key FROM rate_limits WHERE ends_at <= ${number(now)} LIMIT ${pruneEvery * 4} ${skipLocked(sql)})`
    })

    const rows = (statement: Statement.Statement<unknown>) => Effect.flatMap(statement, decodeRows)
    const find = (key: string) => rows(sql`SELECT tokens, at, ends_at FROM rate_limits WHERE key = ${key}`)

    const fixedWindow: RateLimiter.RateLimiterStore["Service"]["fixedWindow"] = (options) =>
      Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        const key = `window:${options.key}`
        const life = Duration.toMillis(options.refillRate) * options.tokens
        const limit = options.limit ?? Infinity

        if (options.tokens <= limit) {
          const isOver = sql`rate_limits.ends_at <= ${number(now)}`
          const room = Number.isFinite(limit)
            ? sql`${isOver} OR rate_limits.tokens <= ${number(limit - options.tokens)}`
            : sql`1 = 1`
          const [taken] = yield* rows(sql`INSERT INTO rate_limits (key, tokens, at, ends_at)
            VALUES (${key}, ${number(options.tokens)}, ${number(now)}, ${number(now + life)})
            ON CONFLICT (key) DO UPDATE SET
              tokens = CASE WHEN ${isOver} THEN 0 ELSE rate_limits.tokens END + ${number(options.tokens)},
              ends_at = CASE WHEN ${isOver} THEN ${number(now)} ELSE rate_limits.ends_at END + ${number(life)}
            WHERE ${room}
            RETURNING tokens, at, ends_at`)
          yield* prune
          if (taken !== undefined) return [taken.tokens, taken.ends_at - now] as const
        }
        const [found] = yield* find(key)
        return found === undefined || found.ends_at <= now
          ? [options.tokens, 0] as const
          : [found.tokens + options.tokens, found.ends_at - now] as const
      }).pipe(orStoreError)

    const tokenBucket: RateLimiter.RateLimiterStore["Service"]["tokenBucket"] = (options) =>
      Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        const key = `bucket:${options.key}`
        const { limit, tokens } = options
        const rate = Duration.toMillis(options.refillRate)

        if (tokens !== 0 && (tokens <= limit || options.allowOverflow)) {
          // Whole refills since `at`, also where the clock was set back.
          const refills = sql`CASE WHEN rate_limits.at < ${number(now)}
            THEN floor((${number(now)} - rate_limits.at) / ${number(rate)}) ELSE 0 END`
          const isFull = sql`rate_limits.tokens + ${refills} >= ${number(limit)}`
          const left = sql`CASE WHEN ${isFull} THEN ${number(limit)} ELSE rate_limits.tokens + ${refills} END
            - ${number(tokens)}`
          const room = options.allowOverflow ? sql`1 = 1` : sql`${left} >= 0`
          const [taken] = yield* rows(sql`INSERT INTO rate_limits (key, tokens, at, ends_at)
            VALUES (${key}, ${number(limit - tokens)}, ${number(now)}, ${number(now + tokens * rate)})
            ON CONFLICT (key) DO UPDATE SET
              tokens = ${left},
              at = CASE WHEN ${isFull} THEN ${number(now)} ELSE rate_limits.at + (${refills}) * ${number(rate)} END,
              ends_at = ${number(now)} + (${number(limit)} - (${left})) * ${number(rate)}
            WHERE ${room}
            RETURNING tokens, at, ends_at`)
          yield* prune
          if (taken !== undefined) return [taken.tokens, Math.max(0, now - taken.at)] as const
        }
        const [found] = yield* find(key)
        if (found === undefined) return [limit - tokens, 0] as const
        const refills = Math.max(0, Math.floor((now - found.at) / rate))
        return found.tokens + refills >= limit
          ? [limit - tokens, 0] as const
          : [found.tokens + refills - tokens, Math.max(0, now - found.at - refills * rate)] as const
      }).pipe(orStoreError)

    return RateLimiter.RateLimiterStore.of({
      fixedWindow,
      tokenBucket,
      adaptiveConsume: () => unlearned,
      adaptiveFeedback: () => unlearned
    })
  }
)

const decodeRows = Schema.decodeUnknownEffect(Schema.Array(
  Schema.Struct({ tokens: Schema.Finite, at: Schema.Finite, ends_at: Schema.Finite })
))

const pruneEvery = 64

const orStoreError = Effect.mapError((cause: unknown) =>
  new RateLimiter.RateLimiterError({
    reason: new RateLimiter.RateLimitStoreError({ message: "The rate limits can't be read or written", cause })
  })
)

// An authority knows its limits, and learns none from the answers of others.
const unlearned = Effect.fail(
  new RateLimiter.RateLimiterError({
    reason: new RateLimiter.RateLimitStoreError({ message: "This store keeps no adaptive limits" })
  })
)
