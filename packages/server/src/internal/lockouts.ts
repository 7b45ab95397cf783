import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import * as SqlSchema from "effect/sql/SqlSchema"
import { commonMillis } from "./commonClock.ts"
import { skipLocked } from "./skipLocked.ts"

// Failed passwords by user and address. After the fifth in a row each one locks for twice as long: one second, up to a
// quarter of an hour. What is tried meanwhile doesn't count, and a quarter of an hour without a failure, or a right
// password, forgets them all. This is Cognito's rule.

const longest = 15 * 60 * 1000

const Lock = Schema.Struct({ locked_until: Schema.Int })
const decodeLocks = Schema.decodeUnknownEffect(Schema.Array(Lock))

const latest = (found: ReadonlyArray<typeof Lock.Type>): number =>
  Math.max(0, ...found.map(({ locked_until }) => locked_until))

export interface Who {
  /** A user's `sub`, or what stands for whoever isn't one. */
  readonly user: string
  readonly address: string
}

export const make = (sql: SqlClient.SqlClient) => {
  let written = 0

  const prune = Effect.gen(function*() {
    if (++written % pruneEvery !== 0) return
    const now = yield* commonMillis
    yield* sql`DELETE FROM lockouts WHERE (user_key, address) IN
      (SELECT user_key, address FROM lockouts WHERE ends_at <= ${now} LIMIT ${pruneEvery * 4} ${skipLocked(sql)})`
  })

  const rows = SqlSchema.findAll({
    Request: Schema.Struct({ user: Schema.String, address: Schema.String }),
    Result: Lock,
    execute: ({ address, user }) =>
      sql`SELECT locked_until FROM lockouts WHERE user_key = ${user} AND address IN (${address}, ${everywhere})`
  })

  return {
    /** Whether anything is known of who, and until when they are locked. */
    find: (who: Who) =>
      Effect.orDie(Effect.map(rows(who), (found) => ({
        hasFailed: found.length > 0,
        lockedUntil: latest(found)
      }))),

    /** Counts a failure. Until when that locks. */
    failed: ({ address, user }: Who, now: number) =>
      sql`INSERT INTO lockouts (user_key, address, failures, locked_until, ends_at)
        VALUES (${user}, ${address}, 1, 0, ${now + longest})
        ON CONFLICT (user_key, address) DO UPDATE SET
          failures = CASE
            WHEN lockouts.ends_at <= ${now} THEN 1
            WHEN lockouts.locked_until > ${now} THEN lockouts.failures
            ELSE lockouts.failures + 1 END,
          locked_until = CASE
            WHEN lockouts.ends_at <= ${now} THEN 0
            WHEN lockouts.locked_until > ${now} THEN lockouts.locked_until
            WHEN lockouts.failures >= 14 THEN CAST(${now + longest} AS bigint)
            WHEN lockouts.failures >= 4 THEN CAST(${now} AS bigint) + (CAST(1000 AS bigint) << (lockouts.failures - 4))
            ELSE 0 END,
          ends_at = CASE
            WHEN lockouts.ends_at <= ${now} THEN CAST(${now + longest} AS bigint)
            WHEN lockouts.locked_until > ${now} THEN lockouts.ends_at
            WHEN lockouts.failures >= 14 THEN CAST(${now + 2 * longest} AS bigint)
            WHEN lockouts.failures >= 4
              THEN CAST(${now + longest} AS bigint) + (CAST(1000 AS bigint) << (lockouts.failures - 4))
            ELSE CAST(${now + longest} AS bigint) END
        RETURNING locked_until`.pipe(
        Effect.flatMap(decodeLocks),
        Effect.tap(prune),
        Effect.map(latest),
        Effect.orDie
      ),

    /** A right password from there: its failures are forgotten. */
    forget: ({ address, user }: Who) =>
      Effect.orDie(sql`DELETE FROM lockouts WHERE user_key = ${user} AND address = ${address}`),

    /** Locks from wherever the user signs in. */
    lock: (user: string, until: number) =>
      Effect.orDie(sql`INSERT INTO lockouts (user_key, address, failures, locked_until, ends_at)
        VALUES (${user}, ${everywhere}, 0, ${until}, ${until})
        ON CONFLICT (user_key, address) DO UPDATE SET locked_until = excluded.locked_until, ends_at = excluded.ends_at`),

    /** Ends every lock of the user, and forgets all failures. */
    unlock: (user: string) => Effect.orDie(sql`DELETE FROM lockouts WHERE user_key = ${user}`)
  }
}

/** No address. */
const everywhere = "*"

const pruneEvery = 64
