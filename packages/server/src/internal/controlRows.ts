import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import * as SqlSchema from "effect/sql/SqlSchema"
import type { Which } from "../ControlApi.ts"

// The statements of the control plane, each for one tenant or, without a name, for all.

const Session = Schema.Struct({
  id: Schema.String,
  tenant: Schema.String,
  username: Schema.String,
  auth_time: Schema.Int,
  expires_at: Schema.Int,
  refreshed_at: Schema.NullOr(Schema.Int),
  revoked_at: Schema.NullOr(Schema.Int)
})
export type Session = typeof Session.Type

const User = Schema.Struct({ tenant: Schema.String, username: Schema.String, email: Schema.NullOr(Schema.String) })

const TenantRow = Schema.Struct({
  tenant: Schema.String,
  apiKeys: Schema.Int,
  users: Schema.Int,
  sessions: Schema.Int
})

/** Sessions point to users, so this is the order in which they can be put back. */
const tables = ["api_keys", "users", "sessions"] as const

/** Whole rows, whatever columns they have. */
type Row = Record<string, string | number | null>
export type Snapshot = Readonly<Record<typeof tables[number], ReadonlyArray<Row>>>

export const make = (sql: SqlClient.SqlClient) => {
  const of = (tenant: string | undefined, column = "tenant") =>
    sql.and(tenant === undefined ? [] : [sql`${sql(column)} = ${tenant}`])

  const remove = Effect.fnUntraced(function*(tenant: string | undefined) {
    for (const table of tables.toReversed()) yield* sql`DELETE FROM ${sql(table)} WHERE ${of(tenant)}`
  })

  const restore = Effect.fnUntraced(
    function*(tenant: string | undefined, snapshot: Snapshot) {
      yield* remove(tenant)
      for (const table of tables) {
        for (const rows of Arr.chunksOf(snapshot[table], rowsAtOnce)) {
          yield* sql`INSERT INTO ${sql(table)} ${sql.insert(rows)}`
        }
      }
    },
    sql.withTransaction,
    Effect.orDie
  )

  const snapshot = (tenant: string | undefined): Effect.Effect<Snapshot> =>
    Effect.all({
      api_keys: sql<Row>`SELECT * FROM api_keys WHERE ${of(tenant)}`,
      users: sql<Row>`SELECT * FROM users WHERE ${of(tenant)}`,
      sessions: sql<Row>`SELECT * FROM sessions WHERE ${of(tenant)}`
    }).pipe(sql.withTransaction, Effect.orDie)

  const sessions = SqlSchema.findAll({
    Request: Schema.UndefinedOr(Schema.String),
    Result: Session,
    execute: (tenant) =>
      sql`SELECT sessions.id, sessions.tenant, users.username, auth_time, expires_at, refreshed_at, revoked_at
        FROM sessions JOIN users ON users.sub = sessions.user_sub
        WHERE ${of(tenant, "sessions.tenant")} ORDER BY auth_time DESC, sessions.id LIMIT 500`
  })

  const users = SqlSchema.findAll({
    Request: Schema.UndefinedOr(Schema.String),
    Result: User,
    execute: (tenant) =>
      sql`SELECT tenant, username, email FROM users WHERE ${of(tenant)} ORDER BY tenant, username LIMIT 500`
  })

  const tenants = SqlSchema.findAll({
    Request: Schema.Int,
    Result: TenantRow,
    execute: (now) =>
      sql`SELECT names.tenant,
          (SELECT count(*) FROM api_keys WHERE api_keys.tenant = names.tenant) AS ${sql("apiKeys")},
          (SELECT count(*) FROM users WHERE users.tenant = names.tenant) AS users,
          (SELECT count(*) FROM sessions
            WHERE sessions.tenant = names.tenant AND revoked_at IS NULL AND expires_at > ${now}) AS sessions
        FROM (SELECT tenant FROM api_keys UNION SELECT tenant FROM users) AS names ORDER BY names.tenant`
  })

  const named = (which: Which) => {
    if ("session" in which) return sql`id = ${which.session}`
    if ("username" in which) return sql`user_sub IN (SELECT sub FROM users WHERE username = ${which.username})`
    return sql`1 = 1`
  }

  return {
    tenants: (now: number) => Effect.orDie(tenants(now)),
    hasTenant: (tenant: string) =>
      sql`SELECT 1 FROM api_keys WHERE tenant = ${tenant} UNION SELECT 1 FROM users WHERE tenant = ${tenant}`.pipe(
        Effect.map((found) => found.length > 0),
        Effect.orDie
      ),
    removeTenant: (tenant: string) => Effect.orDie(sql.withTransaction(remove(tenant))),
    sessions: (tenant: string | undefined) => Effect.orDie(sessions(tenant)),
    users: (tenant: string | undefined) => Effect.orDie(users(tenant)),
    revoke: (tenant: string | undefined, which: Which, now: number) =>
      sql`UPDATE sessions SET revoked_at = ${now} WHERE revoked_at IS NULL AND ${of(tenant)} AND ${named(which)}
        RETURNING id`.pipe(Effect.map((ended) => ended.length), Effect.orDie),
    endSessions: (tenant: string | undefined) => Effect.orDie(sql`DELETE FROM sessions WHERE ${of(tenant)}`),
    snapshot,
    restore
  }
}

// SQLite takes 32,766 parameters in one statement, and PostgreSQL 65,535.
const rowsAtOnce = 500
