import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as SqlSchema from "effect/sql/SqlSchema"
import type * as Statement from "effect/sql/Statement"
import type { Which } from "../ControlMessages.ts"
import { bucketsOf, nobodiesOf } from "./limitKeys.ts"

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

const User = Schema.Struct({
  tenant: Schema.String,
  username: Schema.String,
  email: Schema.NullOr(Schema.String),
  disabled: Schema.Int,
  lockedUntil: Schema.Int
})
export type User = typeof User.Type

const TenantRow = Schema.Struct({
  tenant: Schema.String,
  apiKeys: Schema.Int,
  users: Schema.Int,
  sessions: Schema.Int
})

type Row = Record<string, string | number | null>

/** Whole rows by their table, whatever columns they have. */
export type Snapshot = ReadonlyMap<string, ReadonlyArray<Row>>

export const make = (sql: SqlClient.SqlClient) => {
  const of = (tenant: string | undefined, column = "tenant") =>
    sql.and(tenant === undefined ? [] : [sql`${sql(column)} = ${tenant}`])

  /** Which rows are a tenant's, in the order in which they can be put back. */
  const tables = (tenant: string | undefined) => [
    ["api_keys", of(tenant)] as const,
    ["users", of(tenant)] as const,
    ["sessions", of(tenant)] as const,
    ["retired_tokens", sql`session_id IN (SELECT id FROM sessions WHERE ${of(tenant)})`] as const,
    ...ephemeral(tenant)
  ]

  const ephemeral = (tenant: string | undefined) => [
    [
      "lockouts",
      tenant === undefined
        ? of(tenant)
        : sql`(user_key LIKE ${nobodiesOf(tenant)} OR user_key IN (SELECT sub FROM users WHERE ${of(tenant)}))`
    ] as const,
    ["rate_limits", tenant === undefined ? of(tenant) : sql`key LIKE ${bucketsOf(tenant)}`] as const,
    ["denied_tokens", of(tenant)] as const
  ]

  // Transactions of SQLite keep each other out by themselves.
  const transaction =
    (beginning: Statement.Statement<unknown>) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, never, R> =>
      sql.onDialectOrElse({ pg: () => Effect.asVoid(beginning), orElse: () => Effect.void }).pipe(
        Effect.andThen(self),
        sql.withTransaction,
        Effect.orDie
      )

  /** What requests write meanwhile waits for it. A transaction that writes to several of these must take them in this order. */
  const alone = transaction(
    sql`LOCK TABLE ${sql.csv(tables(undefined).map(([table]) => sql`${sql(table)}`))} IN SHARE ROW EXCLUSIVE MODE`
  )

  /** No session is read whose user was added after the users were read. */
  const atOneMoment = transaction(sql`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`)

  const remove = Effect.fnUntraced(function*(tenant: string | undefined) {
    for (const [table, which] of tables(tenant).toReversed()) yield* sql`DELETE FROM ${sql(table)} WHERE ${which}`
  })

  const restore = Effect.fnUntraced(
    function*(tenant: string | undefined, snapshot: Snapshot) {
      yield* remove(tenant)
      for (const [table, rows] of snapshot) {
        const instead = table === "api_keys" ? takenBack : sql.literal("")
        for (const some of Arr.chunksOf(rows, rowsAtOnce)) {
          yield* sql`INSERT INTO ${sql(table)} ${sql.insert(some)} ${instead}`
          if (table === "users") yield* unlock(some)
        }
      }
    },
    alone
  )

  /** Whoever was not there a moment ago may have been locked by a request that had seen them before. */
  const unlock = (users: ReadonlyArray<Row>) =>
    sql`DELETE FROM lockouts WHERE ${sql.in("user_key", users.map(({ sub }) => sub))}`

  /** A key may be another tenant's by now. */
  const takenBack = sql`ON CONFLICT (hash) DO UPDATE SET tenant = excluded.tenant, created_at = excluded.created_at`

  const snapshot = (tenant: string | undefined): Effect.Effect<Snapshot> =>
    Effect.forEach(
      tables(tenant),
      ([table, which]) =>
        Effect.map(sql<Row>`SELECT * FROM ${sql(table)} WHERE ${which}`, (rows) => [table, rows] as const)
    ).pipe(
      Effect.map((rows) => new Map(rows)),
      atOneMoment
    )

  const reset = Effect.fnUntraced(
    function*(tenant: string | undefined) {
      yield* sql`DELETE FROM sessions WHERE ${of(tenant)}`
      for (const [table, which] of ephemeral(tenant)) yield* sql`DELETE FROM ${sql(table)} WHERE ${which}`
      yield* sql`UPDATE users SET disabled = 0 WHERE disabled <> 0 AND ${of(tenant)}`
    },
    alone
  )

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
      sql`SELECT tenant, username, email, disabled,
          COALESCE((SELECT max(locked_until) FROM lockouts WHERE user_key = users.sub), 0) AS ${sql("lockedUntil")}
        FROM users WHERE ${of(tenant)} ORDER BY tenant, username LIMIT 500`
  })

  const tenantsOf = SqlSchema.findAll({
    Request: Schema.Struct({ tenant: Schema.UndefinedOr(Schema.String), username: Schema.String }),
    Result: Schema.Struct({ tenant: Schema.String }),
    execute: ({ tenant, username }) => sql`SELECT tenant FROM users WHERE username = ${username} AND ${of(tenant)}`
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
    removeTenant: (tenant: string) => alone(remove(tenant)),
    sessions: (tenant: string | undefined) => Effect.orDie(sessions(tenant)),
    users: (tenant: string | undefined) => Effect.orDie(users(tenant)),
    /** Ends sessions, and has each of them told of in the same transaction. Gives how many there were. */
    revoke: (
      { now, tell, tenant, which }: {
        readonly tenant: string | undefined
        readonly which: Which
        readonly now: number
        readonly tell: (ended: { readonly id: string; readonly tenant: string }) => Effect.Effect<void, SqlError>
      }
    ) =>
      sql<{ readonly id: string; readonly tenant: string }>`UPDATE sessions SET revoked_at = ${now}
        WHERE revoked_at IS NULL AND ${of(tenant)} AND ${named(which)} RETURNING id, tenant`.pipe(
        Effect.tap((ended) => Effect.forEach(ended, tell, { discard: true })),
        Effect.map((ended) => ended.length),
        alone
      ),
    tenantsOf: (username: string, tenant: string | undefined) =>
      Effect.orDie(Effect.map(tenantsOf({ tenant, username }), (rows) => rows.map(({ tenant }) => tenant))),
    snapshot,
    restore,
    reset
  }
}

// SQLite takes 32,766 parameters in one statement, and PostgreSQL 65,535.
const rowsAtOnce = 500
