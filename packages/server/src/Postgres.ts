/**
 * A `SqlClient` for PostgreSQL, through `@effect/sql-pg`.
 *
 * Connections are opened when they are needed. Integers of 64 bits come back as numbers: all that this package keeps in
 * them are instants and counts.
 *
 * @since 0.1.0
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"

/**
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** `postgres://user:password@host:port/database`, as libpq has it. */
  readonly url: Redacted.Redacted
}

/**
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<SqlClient, SqlError> =>
  PgClient.layer({
    url: options.url,
    applicationName: "tenovos",
    types
  })

const types = PgTypes.makeRegistry()
types.register<number>(PgTypes.OID.int8, {
  encode: (value) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64BE(BigInt(value))
    return Result.succeed(bytes)
  },
  decode: (bytes) => Result.succeed(Number(Buffer.from(bytes).readBigInt64BE()))
})
