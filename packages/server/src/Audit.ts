/**
 * What the authority has decided, one row each: who was let in and who wasn't and why, what was refreshed and ended, who
 * was added, and when keys were rotated. No row holds a secret.
 *
 * **Details**
 *
 * The name of a user who exists is written as it is. Any other name may be a password in the wrong field, so of it only
 * a fingerprint is kept, with which two rows can be told to be about the same one. It is keyed with the master key, and
 * without one with a key that lasts as long as the process.
 *
 * Rows are deleted when they are older than 30 days, a few at a time.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as SqlSchema from "effect/sql/SqlSchema"
import { createHmac, createSecretKey, randomBytes } from "node:crypto"
import * as background from "./internal/background.ts"
import { commonMillis, currentMillis } from "./internal/commonClock.ts"
import { MasterKeys } from "./MasterKey.ts"

/**
 * What a decision is about. `lost` stands for refusals that came faster than they could be written; its reason says how
 * many.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Event = Schema.Literals([
  "sign-in",
  "refresh",
  "expire",
  "rotate",
  "lock",
  "limit",
  "api-key",
  "user",
  "lost"
])
/**
 * @category models
 * @since 0.1.0
 */
export type Event = typeof Event.Type

/**
 * A decision, as it is told.
 *
 * @category models
 * @since 0.1.0
 */
export interface Decision {
  readonly event: Event
  readonly outcome: "accepted" | "refused"
  /** A few words, always the same ones for the same thing. */
  readonly reason?: string | undefined
  readonly tenant?: string | undefined
  /** The `sub` of whom it is about. */
  readonly subject?: string | undefined
  /** The name of a user who exists. */
  readonly username?: string | undefined
  /** What somebody gave as a username. Kept as a fingerprint, and only where `username` isn't known. */
  readonly givenName?: string | undefined
  readonly session?: string | undefined
}

/**
 * A decision, as it was written.
 *
 * @category schemas
 * @since 0.1.0
 */
export class Entry extends Schema.Class<Entry>("@effect-tenovos/server/Audit/Entry")({
  at: Schema.DateTimeUtcFromMillis,
  event: Event,
  outcome: Schema.Literals(["accepted", "refused"]),
  reason: Schema.NullOr(Schema.String),
  tenant: Schema.NullOr(Schema.String),
  /** The `sub` of a user. */
  subject: Schema.NullOr(Schema.String),
  username: Schema.NullOr(Schema.String),
  fingerprint: Schema.NullOr(Schema.String),
  address: Schema.NullOr(Schema.String),
  session: Schema.NullOr(Schema.String)
}) {}

/**
 * How long decisions are kept.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** How long a row is kept. Defaults to 30 days. */
  readonly auditLife?: Duration.Input | undefined
}

/**
 * The address that a request comes from, for the rows of what it brings about.
 *
 * @category references
 * @since 0.1.0
 */
export const Address: Context.Reference<string | undefined> = Context.Reference<string | undefined>(
  "@effect-tenovos/server/Audit/Address",
  { defaultValue: () => undefined }
)

/**
 * Writes decisions down, and reads them.
 *
 * @category services
 * @since 0.1.0
 */
export class Audit extends Context.Service<Audit, {
  /** Writes a row now, in the transaction of its caller: both are kept or neither, and it costs no commit of its own. */
  readonly record: (decision: Decision) => Effect.Effect<void, SqlError>
  /**
   * Writes a row within a second, together with others, and before the scope closes. It costs its caller nothing. At
   * most 10,000 wait to be written; more are counted only.
   */
  readonly note: (decision: Decision) => Effect.Effect<void>
  /** The last decisions, the newest first: 100, unless more or fewer are asked for. */
  readonly recent: (options?: { readonly limit?: number | undefined }) => Effect.Effect<ReadonlyArray<Entry>, SqlError>
}>()("@effect-tenovos/server/Audit") {}

/**
 * The audit in a database. What is still to be written is written before the scope closes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(
  function*(options?: Options): Effect.fn.Return<Audit["Service"], never, SqlClient.SqlClient | Scope.Scope> {
    const sql = yield* SqlClient.SqlClient
    const [masterKey] = yield* MasterKeys
    const inBackground = yield* background.make
    const life = Duration.toMillis(options?.auditLife ?? Duration.days(30))
    const secret = masterKey?.secret ?? createSecretKey(randomBytes(32))
    const process = randomBytes(4).toString("hex")
    const waiting: Array<Row> = []

    let written = 0
    let lost = 0
    let sweptAt = Number.NEGATIVE_INFINITY
    let isDue = false

    // Whatever the database's collation, ids of one length in these digits are in the order of time.
    const idAt = (at: number, number: number) => `${hex(at, 12)}${hex(number, 8)}${process}`

    const toRow = Effect.fnUntraced(function*(decision: Decision) {
      const at = yield* currentMillis
      const { event, givenName, outcome, reason, session, subject, tenant, username } = decision
      // Made in any case: the time of a refusal is not to tell whether the name is known.
      const mark = givenName === undefined ? null : fingerprint(givenName)
      return {
        id: idAt(at, written++),
        at,
        event,
        outcome,
        reason: reason ?? null,
        tenant: tenant ?? null,
        subject: subject ?? null,
        username: username ?? null,
        fingerprint: username === undefined ? mark : null,
        address: (yield* Address) ?? null,
        session: session ?? null
      }
    })

    const fingerprint = (name: string) =>
      createHmac("sha256", secret).update("audit ").update(name).digest("base64url").slice(0, 11)

    const insert = (row: Row) => sql`INSERT INTO audit ${sql.insert(row)}`

    // Whoever reads waits for what another has begun to write.
    const writing = yield* Semaphore.make(1)
    const write = Effect.gen(function*() {
      if (lost > 0) {
        const reason = `${lost} refusals`
        lost = 0
        waiting.push(yield* toRow({ event: "lost", outcome: "refused", reason }))
      }
      while (waiting.length > 0) {
        const batch = waiting.splice(0, perCommit)
        yield* Effect.forEach(batch, insert, { discard: true }).pipe(
          sql.withTransaction,
          Effect.onError(() => Effect.sync(() => void waiting.unshift(...batch)))
        )
      }
    }).pipe(writing.withPermit, Effect.uninterruptible)

    const writeOrWarn = Effect.catch(
      write,
      (error) => Effect.logWarning(`Audit rows could not be written: ${error.message}`)
    )
    yield* Effect.addFinalizer(() => writeOrWarn)

    const sweep = Effect.fnUntraced(function*(before: number) {
      const oldest = sql`SELECT id FROM audit WHERE id < ${idAt(Math.max(0, before), 0)} ORDER BY id LIMIT ${perCommit}`
      let deleted = perCommit
      while (deleted === perCommit) {
        deleted = (yield* sql`DELETE FROM audit WHERE id IN (${oldest}) RETURNING id`).length
        yield* Effect.yieldNow
      }
    })

    const sweepNowAndThen = Effect.flatMap(commonMillis, (now) => {
      if (Math.abs(now - sweptAt) < betweenSweeps) return Effect.void
      sweptAt = now
      return inBackground(
        Effect.catch(
          sweep(now - life),
          (error) => Effect.logWarning(`Old audit rows could not be deleted: ${error.message}`)
        )
      )
    })

    const record: Audit["Service"]["record"] = Effect.fnUntraced(function*(decision) {
      const row = yield* toRow(decision)
      yield* insert(row)
      yield* sweepNowAndThen
    })

    // Of real time: whoever moves a test clock waits for no row.
    const aSecond = Effect.sleep("1 second").pipe(
      Effect.provideService(Clock.Clock, Clock.Clock.defaultValue()),
      Effect.tap(() =>
        Effect.sync(() => {
          isDue = false
        })
      )
    )

    const note: Audit["Service"]["note"] = Effect.fnUntraced(function*(decision) {
      if (waiting.length >= mostWaiting) {
        lost++
        return
      }
      const row = yield* toRow(decision)
      waiting.push(row)
      yield* sweepNowAndThen
      if (isDue) return
      isDue = true
      yield* inBackground(Effect.andThen(aSecond, writeOrWarn))
    })

    const select = SqlSchema.findAll({
      Request: Schema.Int,
      Result: Entry,
      execute: (limit) =>
        sql`SELECT at, event, outcome, reason, tenant, subject, username, fingerprint, address, session FROM audit
          ORDER BY id DESC LIMIT ${limit}`
    })

    const recent: Audit["Service"]["recent"] = Effect.fn("Audit.recent")(function*(options) {
      yield* write
      // Only this module writes the table.
      return yield* Effect.catchTag(select(options?.limit ?? 100), "SchemaError", Effect.die)
    })

    return Audit.of({ record, note, recent })
  }
)

const perCommit = 500
const mostWaiting = 10_000
const betweenSweeps = 3_600_000

interface Row extends Record<string, string | number | null> {
  readonly id: string
  readonly at: number
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0").slice(-digits)

/**
 * Provides the audit in a database: see {@link make}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<Audit, never, SqlClient.SqlClient> =>
  Layer.effect(Audit, make(options))
