/**
 * A `SqlClient` for PostgreSQL, through `@effect/sql-pg`.
 *
 * Connections are opened when they are needed, up to ten. Integers of 64 bits come back as numbers: all that this package keeps in
 * them are instants and counts.
 *
 * @since 0.1.0
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { SqlClient } from "effect/sql/SqlClient"
import { ConnectionError, SqlError } from "effect/sql/SqlError"

/**
 * Which database to connect to.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** `postgres://user:password@host:port/database`, as libpq has it. */
  readonly url: Redacted.Redacted
}

/**
 * Opens a first connection, to see whether it can, and closes all of them with the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(
  function*(options: Options): Effect.fn.Return<SqlClient, SqlError, Scope.Scope | Reactivity.Reactivity> {
    const sql = yield* PgClient.make({ url: options.url, applicationName: "tenovos", types }).pipe(
      // Sockets age in real time, also where a test's clock goes on by years.
      Effect.provideService(Clock.Clock, Clock.Clock.defaultValue())
    )
    yield* Effect.mapError(sql`SELECT 1`, ({ message, reason: { cause } }) => {
      // The driver's own sentence is the same for all causes. What it caught says which host, user or database.
      const text = Predicate.isError(cause) && cause.message !== "" ? cause.message : message
      return new SqlError({
        reason: new ConnectionError({ cause, message: `The database can't be reached: ${text}`, operation: "connect" })
      })
    })
    return sql
  }
)

const types = PgTypes.makeRegistry()
types.register<number>(PgTypes.OID.int8, {
  encode: (value) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64BE(BigInt(value))
    return Result.succeed(bytes)
  },
  decode: (bytes) => Result.succeed(Number(Buffer.from(bytes).readBigInt64BE()))
})

/**
 * Provides the database: see {@link make}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<SqlClient, SqlError> =>
  Layer.effect(SqlClient, make(options)).pipe(Layer.provide(Reactivity.layer))
