import { Audit, Keys, Migrations, Sqlite } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SqlClient } from "effect/sql/SqlClient"
import { keys } from "./fixtures/authority.ts"

const memory = Sqlite.layer({ filename: ":memory:" })

describe("Migrations", () => {
  it.effect("makes the tables once, and keeps a table of what has run", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient

      yield* Migrations.run
      yield* Migrations.run

      const tables = yield* sql`SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`
      const ran = yield* sql`SELECT migration_id, name FROM effect_sql_migrations`
      assert.deepStrictEqual(tables.map(({ name }) => name), [
        "api_keys",
        "audit",
        "denied_tokens",
        "effect_sql_migrations",
        "installation",
        "keys",
        "lockouts",
        "rate_limits",
        "retired_tokens",
        "sessions",
        "users"
      ])
      assert.deepStrictEqual(ran.map((row) => ({ ...row })), [
        { migration_id: 1, name: "tables" },
        { migration_id: 2, name: "tenants" },
        { migration_id: 3, name: "refusals" },
        { migration_id: 4, name: "limits" },
        { migration_id: 5, name: "lockout" },
        { migration_id: 6, name: "keys" },
        { migration_id: 7, name: "audit" }
      ])
    }).pipe(Effect.provide(memory)))

  it.effect("gives what a database of version 1 holds to the tenant default", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      for (const statement of version1) yield* sql.unsafe(statement)

      yield* Migrations.run

      assert.deepStrictEqual(yield* sql`SELECT tenant, hash FROM api_keys`, [{ tenant: "default", hash: "key-hash" }])
      assert.deepStrictEqual(
        yield* sql`SELECT sub, tenant, username, email, password_hash, created_at FROM users ORDER BY sub`,
        [
          { sub: "1", tenant: "default", username: "ada", email: "a@b.c", password_hash: "hash-1", created_at: 11 },
          { sub: "2", tenant: "default", username: "bob", email: null, password_hash: "hash-2", created_at: 12 }
        ]
      )
      assert.deepStrictEqual(
        yield* sql`SELECT id, tenant, user_sub, client_id, refresh_token_hash, auth_time, expires_at, refreshed_at,
          revoked_at FROM sessions ORDER BY id`,
        [
          {
            id: "s1",
            tenant: "default",
            user_sub: "1",
            client_id: "client",
            refresh_token_hash: "token-1",
            auth_time: 20,
            expires_at: 30,
            refreshed_at: null,
            revoked_at: 25
          },
          {
            id: "s2",
            tenant: "default",
            user_sub: "2",
            client_id: "client",
            refresh_token_hash: "token-2",
            auth_time: 21,
            expires_at: 31,
            refreshed_at: 26,
            revoked_at: null
          }
        ]
      )

      // The reference still holds, and so does what was unique.
      yield* sql`DELETE FROM users WHERE sub = '1'`
      assert.deepStrictEqual(yield* sql`SELECT id FROM sessions`, [{ id: "s2" }])
      const other = { sub: "3", tenant: "acme", username: "bob", password_hash: "hash-3", created_at: 13 }
      yield* sql`INSERT INTO users ${sql.insert(other)}`
      const error = yield* Effect.flip(sql`INSERT INTO users ${sql.insert({ ...other, sub: "4" })}`)
      assert.strictEqual(error.reason._tag, "UniqueViolation")
    }).pipe(Effect.provide(memory)))

  it.effect("takes over the keys of version 1, as the first generation", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      for (const statement of version1) yield* sql.unsafe(statement)
      for (const name of ["id", "access", "refresh"] as const) {
        const { kid, privateKey } = keys[name]
        const private_key = privateKey.export({ type: "pkcs8", format: "pem" }).toString()
        yield* sql`INSERT INTO keys ${sql.insert({ name, kid, private_key, created_at: 15 })}`
      }

      yield* Migrations.run

      const rows = yield* sql`SELECT kind, kid, generation, use_from, retire_at FROM keys ORDER BY kind DESC`
      assert.deepStrictEqual(
        rows,
        (["refresh", "id", "access"] as const).map((kind) => ({
          kind,
          kid: keys[kind].kid,
          generation: 1,
          use_from: 15,
          retire_at: null
        }))
      )
      const access = yield* Effect.provide(
        Keys.Keys.use((keys) => keys.signing("access")),
        Keys.layer().pipe(Layer.provide(Audit.layer()))
      )
      assert.isTrue(access.publicKey.equals(keys.access.publicKey))
    }).pipe(Effect.provide(memory)))

  it.effect("refuses a database of a later release with a sentence, and leaves it as it is", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      yield* Migrations.run
      yield* sql`INSERT INTO effect_sql_migrations ${sql.insert({ migration_id: 999, name: "later" })}`
      const before = yield* sql`SELECT * FROM sqlite_master`

      const error = yield* Effect.flip(Migrations.run)

      assert.strictEqual(
        error.message,
        `The database is of version 999, and this release knows versions up to ${Migrations.version}: ` +
          "use a later release, or another database."
      )
      assert.deepStrictEqual(yield* sql`SELECT * FROM sqlite_master`, before)
    }).pipe(Effect.provide(memory)))
})

/** A database as version 1 left it. */
const version1 = [
  `CREATE TABLE effect_sql_migrations (
    migration_id integer PRIMARY KEY NOT NULL,
    created_at datetime NOT NULL DEFAULT current_timestamp,
    name VARCHAR(255) NOT NULL
  )`,
  `INSERT INTO effect_sql_migrations (migration_id, name) VALUES (1, 'tables')`,
  `CREATE TABLE installation (
    id integer PRIMARY KEY CHECK (id = 1),
    client_id text NOT NULL,
    user_pool_id text NOT NULL,
    created_at bigint NOT NULL
  )`,
  `CREATE TABLE keys (
    name text PRIMARY KEY CHECK (name IN ('id', 'access', 'refresh')),
    kid text NOT NULL UNIQUE,
    private_key text NOT NULL,
    created_at bigint NOT NULL
  )`,
  `CREATE TABLE api_keys (hash text PRIMARY KEY, created_at bigint NOT NULL)`,
  `CREATE TABLE users (
    sub text PRIMARY KEY,
    username text NOT NULL UNIQUE,
    email text,
    password_hash text NOT NULL,
    created_at bigint NOT NULL
  )`,
  `CREATE TABLE sessions (
    id text PRIMARY KEY,
    user_sub text NOT NULL REFERENCES users (sub) ON DELETE CASCADE,
    client_id text NOT NULL,
    refresh_token_hash text NOT NULL UNIQUE,
    auth_time bigint NOT NULL,
    expires_at bigint NOT NULL,
    refreshed_at bigint,
    revoked_at bigint
  )`,
  `CREATE INDEX sessions_user_sub ON sessions (user_sub)`,
  `INSERT INTO api_keys VALUES ('key-hash', 10)`,
  `INSERT INTO users VALUES ('1', 'ada', 'a@b.c', 'hash-1', 11), ('2', 'bob', NULL, 'hash-2', 12)`,
  `INSERT INTO sessions VALUES
    ('s1', '1', 'client', 'token-1', 20, 30, NULL, 25),
    ('s2', '2', 'client', 'token-2', 21, 31, 26, NULL)`
]
