/**
 * Keeps the session in a table of SQLite or PostgreSQL.
 *
 * Each session is a row, with its generation and its lease. Every change is one statement that names what it expects. Leases
 * run on the clock of the database. Whoever waits for a change looks for one every 200 milliseconds.
 *
 * **Gotchas**
 *
 * - A change is as durable as the database makes it: with `synchronous` set to `FULL` in SQLite, and to `on` in PostgreSQL, it is
 *   on disk when it is answered.
 * - No statement of the store is part of a transaction of the program, since a session must stay when that one is rolled
 *   back. A SQLite client has one connection, so there the store waits for the transaction to end.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Statement } from "effect/sql/Statement"
import { PlaceFailure, toInteger } from "./internal/place.ts"
import * as SessionBackend from "./SessionBackend.ts"
import { SessionStore } from "./SessionStore.ts"

/**
 * In which table and row the session is.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends SessionBackend.Options {
  /** Made when it is missing. A dot parts it from its schema. Defaults to `tenovos_sessions`. */
  readonly table?: string | undefined
  /** Names the row of the session. Defaults to `session`. */
  readonly name?: string | undefined
}

/**
 * The store in a database. Dies where that is neither SQLite nor PostgreSQL.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options?: Options
): Effect.fn.Return<SessionStore["Service"], never, SqlClient> {
  const sql = (yield* SqlClient).withoutTransforms()
  const table = sql(options?.table ?? "tenovos_sessions")
  const name = options?.name ?? "session"

  const dialect = sql.onDialectOrElse({
    sqlite: () => ({
      now: "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS integer) * 1000",
      greatest: "MAX"
    }),
    pg: () => ({ now: "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS bigint)", greatest: "GREATEST" }),
    orElse: () => undefined
  })
  if (dialect === undefined) {
    return yield* Effect.die(new Error("A session can be kept in SQLite and PostgreSQL, and in no other database"))
  }
  /** Microseconds since 1970. */
  const now = sql.literal(dialect.now)
  const greatest = sql.literal(dialect.greatest)
  const integer = (value: number) => sql`CAST(${value} AS bigint)`
  const after = (life: Duration.Duration) => sql`${now} + ${integer(Math.round(Duration.toMillis(life) * 1000))}`

  const probe = sql`SELECT gap FROM ${table} WHERE 1 = 0`
  // Looked for first, since who may use the table need not be allowed to make one, or to add what an earlier version did not
  // make. Two who do at once can be in each other's way.
  const prepare = Effect.catch(probe, () =>
    sql`
      CREATE TABLE IF NOT EXISTS ${table} (
        name text NOT NULL PRIMARY KEY,
        generation bigint NOT NULL,
        text text NOT NULL,
        written_at bigint NOT NULL,
        fence bigint NOT NULL,
        leased_until bigint NOT NULL,
        gap integer DEFAULT 0 NOT NULL
      )`.pipe(
      Effect.andThen(Effect.catch(probe, () => sql`ALTER TABLE ${table} ADD COLUMN gap integer DEFAULT 0 NOT NULL`)),
      Effect.retry({ times: 3 })
    ))

  let isPrepared = false
  const run = (statement: Statement<Cells>): Effect.Effect<ReadonlyArray<Cells>, PlaceFailure> =>
    Effect.suspend(() => isPrepared ? Effect.void : prepare).pipe(
      Effect.andThen(Effect.suspend(() => {
        isPrepared = true
        return statement
      })),
      Effect.tapError(() => Effect.sync(() => isPrepared = false)),
      Effect.retry({ while: isUndone, times: 20 }),
      Effect.mapError((error) => new PlaceFailure({ message: describe(error) })),
      Effect.updateContext((context: Context.Context<never>) => Context.omit(sql.transactionService)(context))
    )

  const changes = (statement: Statement<Cells>) => Effect.map(run(statement), (rows) => rows.length > 0)

  return yield* SessionBackend.make({
    place: name,
    read: Effect.gen(function*() {
      const [row] = yield* run(sql`
        SELECT generation, text, ${now} - written_at AS age, fence FROM ${table} WHERE name = ${name}`)
      return row === undefined
        ? { generation: 0, text: "", fence: 0 }
        : {
          fence: yield* toInteger(row["fence"]),
          generation: yield* toInteger(row["generation"]),
          text: String(row["text"]),
          age: Math.max(0, Math.round((yield* toInteger(row["age"])) / 1000))
        }
    }),
    write: ({ generation, text }, { expected, fence }) =>
      changes(
        expected === 0 && fence === undefined
          ? sql`
            INSERT INTO ${table} AS stored (name, generation, text, written_at, fence, leased_until)
            VALUES (${name}, ${integer(generation)}, ${text}, ${now}, 0, 0)
            ON CONFLICT (name) DO UPDATE
            SET generation = excluded.generation, text = excluded.text, written_at = excluded.written_at, gap = 0
            WHERE stored.generation = 0
            RETURNING generation`
          : sql`
            UPDATE ${table} SET generation = ${integer(generation)}, text = ${text}, written_at = ${now}, gap = 0
            WHERE name = ${name} AND generation = ${integer(expected)}
              ${fence === undefined ? sql.literal("") : sql`AND fence = ${integer(fence)}`}
            RETURNING generation`
      ),
    setAside: ({ generation, text }) => {
      const copy = `${name} (unreadable, ${generation})`
      return run(sql`
        INSERT INTO ${table} (name, generation, text, written_at, fence, leased_until)
        VALUES (${copy}, ${integer(generation)}, ${text}, ${now}, 0, 0)
        ON CONFLICT (name) DO UPDATE SET text = excluded.text
        RETURNING name`).pipe(Effect.as(`the row ${copy}`))
    },
    // Fences begin at the clock, so that none comes again after the row was lost. A gap of 2 is older than the lease: what
    // a row was before can't be asked for.
    acquire: (life) =>
      Effect.gen(function*() {
        const [row] = yield* run(sql`
          INSERT INTO ${table} AS stored (name, generation, text, written_at, fence, leased_until, gap)
          VALUES (${name}, 0, '', ${now}, ${now}, ${after(life)}, 1)
          ON CONFLICT (name) DO UPDATE
          SET fence = ${greatest}(stored.fence + 1, ${now}), leased_until = ${after(life)},
            gap = CASE stored.gap WHEN 0 THEN 1 ELSE 2 END
          WHERE stored.leased_until <= ${now}
          RETURNING fence, gap`)
        return row === undefined
          ? Option.none()
          : Option.some({ fence: yield* toInteger(row["fence"]), isGap: (yield* toInteger(row["gap"])) === 2 })
      }),
    extend: (fence, life) =>
      changes(sql`
        UPDATE ${table} SET leased_until = ${after(life)}
        WHERE name = ${name} AND fence = ${integer(fence)} AND leased_until > 0
        RETURNING fence`),
    release: (fence, leavesGap) =>
      run(sql`
        UPDATE ${table} SET leased_until = 0 ${leavesGap ? sql.literal("") : sql`, gap = 0`}
        WHERE name = ${name} AND fence = ${integer(fence)}
        RETURNING fence`),
    listen: Effect.succeed(Effect.sleep("200 millis"))
  }, options)
})

type Cells = Readonly<Record<string, unknown>>

/** The database has refused the statement because of another one, and says that it may be repeated. */
const isUndone = ({ reason: { _tag } }: SqlError): boolean => _tag === "SerializationError" || _tag === "DeadlockError"

/** In words that repeat nothing of what was sent or is stored: what a driver says may quote the statement's values. */
const describe = ({ reason: { _tag, cause } }: SqlError): string => {
  const code = Predicate.hasProperty(cause, "code") ? String(cause.code) : ""
  return `The database failed: ${_tag}${/^\w{1,40}$/.test(code) ? ` ${code}` : ""}`
}

/**
 * Provides the store in the program's own database: see {@link make}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<SessionStore, never, SqlClient> =>
  Layer.effect(SessionStore, make(options))
