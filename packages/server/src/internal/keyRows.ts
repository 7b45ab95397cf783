import type * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as SqlSchema from "effect/sql/SqlSchema"
import type { KeyPair, Kind } from "../Keys.ts"

// Every statement about keys. Each that changes something says under which condition, so any number of processes may
// run it at once.

const Key = Schema.Struct({
  kid: Schema.String,
  kind: Schema.Literals(["id", "access", "refresh"]),
  generation: Schema.Int,
  private_key: Schema.NullOr(Schema.String),
  public_key: Schema.String,
  created_at: Schema.Int,
  use_from: Schema.Int,
  retire_at: Schema.NullOr(Schema.Int)
})
export type Key = typeof Key.Type

export const make = (sql: SqlClient.SqlClient) => {
  const selectAll = SqlSchema.findAll({
    Request: Schema.Void,
    Result: Key,
    execute: () =>
      sql`SELECT kid, kind, generation, private_key, public_key, created_at, use_from, retire_at FROM keys
        ORDER BY generation, kind DESC`
  })
  // Only this package writes the table.
  const all: Effect.Effect<ReadonlyArray<Key>, SqlError> = Effect.catchTag(
    selectAll(undefined),
    "SchemaError",
    Effect.die
  )

  /** Adds a generation, unless there is one of this number. Whether it was added. */
  const insert = (rows: Arr.NonEmptyReadonlyArray<Omit<Key, "retire_at">>) =>
    Effect.map(
      sql`INSERT INTO keys ${sql.insert(rows)} ON CONFLICT DO NOTHING RETURNING kid`,
      (added) => added.length > 0
    )

  /** Lets a generation begin at once that was to begin later. Whether it was this that did it. */
  const begin = (generation: number, now: number) =>
    Effect.map(
      sql`UPDATE keys SET use_from = ${now} WHERE generation = ${generation} AND use_from > ${now} RETURNING kid`,
      (begun) => begun.length > 0
    )

  const retireAt = (generation: number, at: number) =>
    sql`UPDATE keys SET retire_at = ${at} WHERE generation = ${generation} AND (retire_at IS NULL OR retire_at < ${at})`

  /** Deletes what could still sign or decrypt. Of access keys the public half stays. */
  const deletePrivate = (now: number) =>
    Effect.andThen(
      sql`DELETE FROM keys WHERE retire_at <= ${now} AND kind <> 'access'`,
      sql`UPDATE keys SET private_key = NULL WHERE retire_at <= ${now} AND private_key IS NOT NULL`
    )

  const forget = (retiredBefore: number) => sql`DELETE FROM keys WHERE retire_at <= ${retiredBefore}`

  const replacePrivate = (kid: string, before: string, after: string) =>
    sql`UPDATE keys SET private_key = ${after} WHERE kid = ${kid} AND private_key = ${before}`

  return { all, insert, begin, retireAt, deletePrivate, forget, replacePrivate }
}

export type Rows = ReturnType<typeof make>

/** What is kept of a pair, but for when. */
export const fields = (kind: Kind, { kid, privateKey, publicKey }: KeyPair) => ({
  kid,
  kind,
  private_key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  public_key: publicKey.export({ type: "spki", format: "pem" }).toString()
})
