import { Audit, Database, Keys, Migrations } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SqlClient } from "effect/sql/SqlClient"
import { keys } from "./fixtures/authority.ts"
import { fresh, onFresh } from "./support/databases.ts"

const Live = onFresh(Database.layer)

/** Every table and index, with its columns. */
const schema = SqlClient.use((sql) =>
  sql.onDialectOrElse({
    pg: () =>
      sql`SELECT tablename AS name, indexdef AS definition FROM pg_indexes WHERE schemaname = current_schema()
        UNION ALL SELECT table_name, column_name || ' ' || data_type || ' ' || is_nullable
        FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY 1, 2`,
    orElse: () => sql`SELECT name, sql AS definition FROM sqlite_master ORDER BY name`
  })
)

const ran = SqlClient.use((sql) => sql`SELECT migration_id, name FROM effect_sql_migrations ORDER BY migration_id`)

const plain = (rows: ReadonlyArray<object>) => rows.map((row) => ({ ...row }))

describe("Migrations", () => {
  it.effect("runs each once, and keeps a table of what has run", () =>
    Effect.gen(function*() {
      yield* Migrations.run
      const before = plain(yield* schema)
      yield* Migrations.run

      const names = new Set(before.map((row) => "name" in row ? row.name : undefined))
      for (const table of ["api_keys", "installation", "keys", "sessions", "users"]) assert.isTrue(names.has(table))
      assert.deepStrictEqual(plain(yield* schema), before)
      const [first, ...others] = plain(yield* ran)
      assert.deepStrictEqual(first, { migration_id: 1, name: "tables" })
      assert.deepInclude(others.at(-1), { migration_id: Migrations.version })
    }).pipe(Effect.provide(Live)))

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
    }).pipe(Effect.provide(Live)))

  it.effect("runs each once when several processes start at once", () =>
    Effect.gen(function*() {
      const database = yield* fresh

      const all = yield* Effect.all(
        Array.from({ length: 4 }, () =>
          Effect.andThen(Migrations.run, ran).pipe(Effect.map(plain), Effect.provide(Database.layer(database)))),
        { concurrency: "unbounded" }
      )

      for (const found of all) {
        assert.deepStrictEqual(found, all[0])
      }
      assert.isAtLeast(all[0]?.length ?? 0, 2)
    }))

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
    }).pipe(Effect.provide(Live)))

  it.effect("refuses a database of a later release with a sentence, and leaves it as it is", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient
      const later = Migrations.version + 1
      yield* Migrations.run
      yield* sql`INSERT INTO effect_sql_migrations ${sql.insert({ migration_id: later, name: "later" })}`
      const before = plain(yield* schema)

      const error = yield* Effect.flip(Migrations.run)

      assert.strictEqual(
        error.message,
        `The database is of version ${later}, and this release knows versions up to ${Migrations.version}: ` +
          "use a later release, or another database."
      )
      assert.deepStrictEqual(plain(yield* schema), before)
    }).pipe(Effect.provide(Live)))
})

/** A database as version 1 left it. */
const version1 = [
  `CREATE TABLE effect_sql_migrations (
    migration_id integer PRIMARY KEY NOT NULL,
    created_at timestamp NOT NULL DEFAULT current_timestamp,
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
