/**
 * The tables of the authority, and how an older database becomes a newer one.
 *
 * Each migration runs once, in a transaction, and its number is kept in `effect_sql_migrations`. A released migration
 * is never edited: the next one changes what it made. The SQL is the part that SQLite and PostgreSQL share.
 *
 * Of several processes that start at once one runs them, and the others wait for it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Migrator from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as auditTable from "./internal/auditTable.ts"
import * as keysTable from "./internal/keysTable.ts"

const tables = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient

  yield* sql`CREATE TABLE installation (
    id integer PRIMARY KEY CHECK (id = 1),
    client_id text NOT NULL,
    user_pool_id text NOT NULL,
    created_at bigint NOT NULL
  )`
  yield* sql`CREATE TABLE keys (
    name text PRIMARY KEY CHECK (name IN ('id', 'access', 'refresh')),
    kid text NOT NULL UNIQUE,
    private_key text NOT NULL,
    created_at bigint NOT NULL
  )`
  yield* sql`CREATE TABLE api_keys (
    hash text PRIMARY KEY,
    created_at bigint NOT NULL
  )`
  yield* sql`CREATE TABLE users (
    sub text PRIMARY KEY,
    username text NOT NULL UNIQUE,
    email text,
    password_hash text NOT NULL,
    created_at bigint NOT NULL
  )`
  yield* sql`CREATE TABLE sessions (
    id text PRIMARY KEY,
    user_sub text NOT NULL REFERENCES users (sub) ON DELETE CASCADE,
    client_id text NOT NULL,
    refresh_token_hash text NOT NULL UNIQUE,
    auth_time bigint NOT NULL,
    expires_at bigint NOT NULL,
    refreshed_at bigint,
    revoked_at bigint
  )`
  yield* sql`CREATE INDEX sessions_user_sub ON sessions (user_sub)`
})

// SQLite can't drop a constraint, so both tables are made anew: dropping `users` alone would take the sessions with it.
const tenants = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient

  yield* sql`ALTER TABLE api_keys ADD COLUMN tenant text NOT NULL DEFAULT 'default'`
  yield* sql`CREATE TABLE tenant_users (
    sub text PRIMARY KEY,
    tenant text NOT NULL DEFAULT 'default',
    username text NOT NULL,
    email text,
    password_hash text NOT NULL,
    created_at bigint NOT NULL,
    UNIQUE (tenant, username)
  )`
  yield* sql`INSERT INTO tenant_users (sub, username, email, password_hash, created_at)
    SELECT sub, username, email, password_hash, created_at FROM users`
  yield* sql`CREATE TABLE tenant_sessions (
    id text PRIMARY KEY,
    tenant text NOT NULL DEFAULT 'default',
    user_sub text NOT NULL REFERENCES tenant_users (sub) ON DELETE CASCADE,
    client_id text NOT NULL,
    refresh_token_hash text NOT NULL UNIQUE,
    auth_time bigint NOT NULL,
    expires_at bigint NOT NULL,
    refreshed_at bigint,
    revoked_at bigint
  )`
  yield* sql`INSERT INTO tenant_sessions
    (id, user_sub, client_id, refresh_token_hash, auth_time, expires_at, refreshed_at, revoked_at)
    SELECT id, user_sub, client_id, refresh_token_hash, auth_time, expires_at, refreshed_at, revoked_at FROM sessions`
  yield* sql`DROP TABLE sessions`
  yield* sql`DROP TABLE users`
  yield* sql`ALTER TABLE tenant_users RENAME TO users`
  yield* sql`ALTER TABLE tenant_sessions RENAME TO sessions`
  yield* sql`CREATE INDEX sessions_user_sub ON sessions (user_sub)`
})

const refusals = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient

  yield* sql`ALTER TABLE sessions ADD COLUMN parent_token_hash text`
  yield* sql`ALTER TABLE sessions ADD COLUMN child_token text`
  yield* sql`ALTER TABLE sessions ADD COLUMN rotated_at bigint`
  yield* sql`CREATE TABLE retired_tokens (
    hash text PRIMARY KEY,
    session_id text NOT NULL REFERENCES sessions (id) ON DELETE CASCADE
  )`
  yield* sql`CREATE INDEX retired_tokens_session_id ON retired_tokens (session_id)`
  yield* sql`CREATE TABLE denied_tokens (
    event_id text PRIMARY KEY,
    expires_at bigint NOT NULL
  )`
  yield* sql`CREATE INDEX denied_tokens_expires_at ON denied_tokens (expires_at)`
})

const limits = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient

  yield* sql`CREATE TABLE rate_limits (
    key text PRIMARY KEY,
    tokens double precision NOT NULL,
    at double precision NOT NULL,
    ends_at double precision NOT NULL
  )`
  yield* sql`CREATE INDEX rate_limits_ends_at ON rate_limits (ends_at)`
})

const lockout = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient

  yield* sql`ALTER TABLE users ADD COLUMN disabled integer NOT NULL DEFAULT 0`
  yield* sql`CREATE TABLE lockouts (
    user_key text NOT NULL,
    address text NOT NULL,
    failures integer NOT NULL,
    locked_until bigint NOT NULL,
    ends_at bigint NOT NULL,
    PRIMARY KEY (user_key, address)
  )`
  yield* sql`CREATE INDEX lockouts_ends_at ON lockouts (ends_at)`
})

// Sessions that have ended are found by their end, to be deleted.
const sessionsByEnd = SqlClient.SqlClient.use((sql) => sql`CREATE INDEX sessions_expires_at ON sessions (expires_at)`)

// An access token that was denied by name goes with its tenant, when that is reset or restored.
const deniedByTenant = SqlClient.SqlClient.use((sql) =>
  sql`ALTER TABLE denied_tokens ADD COLUMN tenant text NOT NULL DEFAULT 'default'`
)

const migrations = {
  "0001_tables": tables,
  "0002_tenants": tenants,
  "0003_refusals": refusals,
  "0004_limits": limits,
  "0005_lockout": lockout,
  "0006_keys": keysTable.migration,
  "0007_audit": auditTable.migration,
  "0009_sessions_by_end": sessionsByEnd,
  "0010_denied_by_tenant": deniedByTenant
}

/**
 * The number of the last migration that this release knows.
 *
 * @category constants
 * @since 0.1.0
 */
export const version: number = Math.max(...Object.keys(migrations).map((name) => Number.parseInt(name, 10)))

/** The number of the last migration that a database has had, or zero. */
const lastOf = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const tables = yield* sql.onDialectOrElse({
    // Another authority may be further down the search path. And read from tables: a name that was not found stays so
    // for PostgreSQL until the next table that it opens, and to wait for a lock of no table does not end that.
    pg: () =>
      sql`SELECT 1 AS found FROM pg_tables
        WHERE schemaname = current_schema() AND tablename = 'effect_sql_migrations'`,
    orElse: () => sql`SELECT 1 AS found FROM sqlite_master WHERE name = 'effect_sql_migrations'`
  })
  if (tables.length === 0) return 0
  const [row] = yield* sql`SELECT max(migration_id) AS found FROM effect_sql_migrations`
  return Number(row?.["found"] ?? 0)
})

const refuseAfter = (last: number) =>
  last <= version ? Effect.void : Effect.fail(
    new Migrator.MigrationError({
      kind: "BadState",
      message: `The database is of version ${last}, and this release knows versions up to ${version}: ` +
        "use a later release, or another database."
    })
  )

/**
 * Refuses a database that a later release has changed. It only reads.
 *
 * @category constructors
 * @since 0.1.0
 */
export const refuseLater: Effect.Effect<void, Migrator.MigrationError | SqlError, SqlClient.SqlClient> = Effect.flatMap(
  lastOf,
  refuseAfter
)

/**
 * Brings the database up to date, and refuses one that a later release has changed.
 *
 * @category constructors
 * @since 0.1.0
 */
export const run: Effect.Effect<void, Migrator.MigrationError | SqlError, SqlClient.SqlClient> = Effect.gen(
  function*() {
    const sql = yield* SqlClient.SqlClient
    // Most starts find all of them done, and have nothing to write.
    if ((yield* lastOf) === version) return
    yield* sql.withTransaction(runAll)
  }
)

const runAll = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  // A transaction of SQLite keeps all others out. PostgreSQL's schemas are databases of their own here: until the end of
  // the transaction no other is in reach.
  yield* sql.onDialectOrElse({
    pg: () =>
      Effect.flatMap(
        sql`SELECT current_schema() AS schema, pg_advisory_xact_lock(${advisoryLock}, hashtext(current_schema())),
          set_config('search_path', quote_ident(current_schema()), true)`,
        ([row]) => row?.["schema"] === null ? Effect.fail(noSchema) : Effect.void
      ),
    orElse: () => Effect.void
  })
  yield* refuseLater
  yield* Migrator.make({})({ loader: Migrator.fromRecord(migrations) })
})

const noSchema = new Migrator.MigrationError({
  kind: "BadState",
  message: "The search path names no schema that exists and may be used."
})

// Any number will do, as long as no other program takes it: these are the letters TNVS.
const advisoryLock = 0x544e5653

/**
 * Runs the migrations when the layer is built.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<never, Migrator.MigrationError | SqlError, SqlClient.SqlClient> = Layer.effectDiscard(
  run
)
