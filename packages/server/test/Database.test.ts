import { AuthorityServer, Database, Migrations, Postgres } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { SqlClient } from "effect/sql/SqlClient"
import { copyFileSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { inspect } from "node:util"
import * as fixtures from "./fixtures/authority.ts"
import { emptyFolder } from "./support/databases.ts"

/** The file of an authority that has been stopped. */
const stopped = Effect.gen(function*() {
  const filename = join(yield* emptyFolder, "a.sqlite")
  yield* Effect.andThen(fixtures.signIn, fixtures.signIn).pipe(Effect.provide(fixtures.layer({ database: filename })))
  return filename
})

/** What an authority says when it refuses a file, which is as it was afterwards, and so is its folder. */
const refusal = Effect.fnUntraced(function*(filename: string) {
  const folder = join(filename, "..")
  const files = readdirSync(folder)
  const before = readFileSync(filename)

  const error = yield* Effect.flip(
    Layer.build(AuthorityServer.layerAuthority({ database: filename, keys: fixtures.keys }))
  )

  assert.isTrue(readFileSync(filename).equals(before))
  assert.deepStrictEqual(readdirSync(folder), files)
  return error.message
}, Effect.scoped)

describe("Database", () => {
  it.effect("refuses a file that is no database, and leaves it as it is", () =>
    Effect.gen(function*() {
      const filename = join(yield* emptyFolder, "a.sqlite")
      for (const content of ["not a database", "x".repeat(100_000)]) {
        writeFileSync(filename, content)

        assert.match(yield* refusal(filename), /: file is not a database$/)
      }
    }))

  it.effect("refuses a file that has been cut off, wherever, and leaves it as it is", () =>
    Effect.gen(function*() {
      const filename = yield* stopped
      const whole = readFileSync(filename)
      for (let length = 512; length < whole.length; length += 5_000) {
        writeFileSync(filename, whole)
        truncateSync(filename, length)

        assert.match(yield* refusal(filename), /damaged|not a database/, `${length} bytes`)
      }
    }))

  it.effect("refuses a file with a page that has been overwritten, whichever, and leaves it as it is", () =>
    Effect.gen(function*() {
      const filename = yield* stopped
      // What stands in a free page doesn't matter to anybody.
      const database = new DatabaseSync(filename)
      database.exec("VACUUM")
      database.close()
      const whole = readFileSync(filename)
      for (let start = 0; start < whole.length; start += 4096) {
        const flipped = Buffer.from(whole)
        for (let i = start; i < start + 4096; i++) flipped[i] = ~(flipped[i] ?? 0)
        writeFileSync(filename, flipped)

        assert.match(yield* refusal(filename), /damaged: |not a database/, `the page at ${start}`)
      }
    }))

  it.effect("looks for damage in a large file too, but not in its sessions", () =>
    Effect.gen(function*() {
      const filename = yield* stopped
      const database = new DatabaseSync(filename)
      database.exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)
        INSERT INTO sessions (id, user_sub, client_id, refresh_token_hash, auth_time, expires_at)
        SELECT i, (SELECT min(sub) FROM users), hex(zeroblob(2000)), i, 0, 9e12 FROM n`)
      const pageOf = (table: string) => {
        const row = database.prepare("SELECT rootpage FROM sqlite_master WHERE name = ?").get(table)
        return (Number(row?.["rootpage"]) - 1) * 4096
      }
      const [keys, sessions] = [pageOf("keys"), pageOf("sessions")]
      database.close()
      const whole = readFileSync(filename)
      assert.isAbove(whole.length, 33 * 2 ** 20)

      writeFileSync(filename, Buffer.from(whole).fill(0xff, keys, keys + 4096))
      assert.match(yield* refusal(filename), /damaged: /)
      writeFileSync(filename, Buffer.from(whole).fill(0xff, sessions, sessions + 4096))
      yield* Layer.build(AuthorityServer.layerAuthority({ database: filename, keys: fixtures.keys })).pipe(
        Effect.scoped
      )
    }))

  it.effect("refuses a file of a later release, and leaves it as it is, with the journal of a killed process", () =>
    Effect.gen(function*() {
      const filename = yield* stopped
      const later = new DatabaseSync(filename)
      later.exec(
        `INSERT INTO effect_sql_migrations (migration_id, name) VALUES (${Migrations.version + 1}, 'later')`
      )
      const killed = join(yield* emptyFolder, "b.sqlite")
      copyFileSync(filename, killed)
      copyFileSync(`${filename}-wal`, `${killed}-wal`)
      copyFileSync(`${filename}-shm`, `${killed}-shm`)
      const journal = readFileSync(`${killed}-wal`)
      later.close()

      for (const database of [filename, killed]) {
        assert.match(yield* refusal(database), /^The database is of version \d+, and this release knows versions up to/)
      }
      assert.isTrue(readFileSync(`${killed}-wal`).equals(journal))
    }))

  it.effect("goes on with a file that is sound, empty, or of a killed process", () =>
    Effect.gen(function*() {
      const filename = yield* stopped
      const killed = join(yield* emptyFolder, "b.sqlite")
      yield* Effect.gen(function*() {
        yield* fixtures.signIn
        copyFileSync(filename, killed)
        copyFileSync(`${filename}-wal`, `${killed}-wal`)
      }).pipe(Effect.provide(fixtures.layer({ database: filename })))
      const empty = join(yield* emptyFolder, "c.sqlite")
      writeFileSync(empty, "")

      const counts = yield* Effect.forEach(
        [filename, killed, empty],
        (database) =>
          Effect.map(SqlClient.use((sql) => sql`SELECT count(*) AS n FROM sessions`), ([row]) => row?.["n"]).pipe(
            Effect.provide(AuthorityServer.layerAuthority({ database, keys: fixtures.keys }))
          )
      )

      assert.deepStrictEqual(counts, [3, 3, 0])
    }))

  it.effect("never shows the password of a URL", () =>
    Effect.gen(function*() {
      for (
        const url of [
          "postgres://user:s3cret@127.0.0.1:1/db",
          "postgresql://user@127.0.0.1:1/db?password=s3cret",
          "POSTGRES://user:s3cret@127.0.0.1:x/db",
          "postgres:s3cret",
          "postgres://user:s3%zzcret@127.0.0.1:1/db",
          "postgres://user:s3cret@127.0.0.1:1/db?sslmode=s3"
        ]
      ) {
        const error = yield* Effect.flip(Layer.build(Database.layer(Redacted.make(url))))

        const shown = Database.toPrintable(url) + inspect(error, { depth: 9 }) + JSON.stringify(error)
        assert.notMatch(shown, /s3cret|s3%zzcret/, url)
      }
      assert.strictEqual(
        Database.toPrintable("postgres://user:s3cret@host:5432/db"),
        "postgres://user:***@host:5432/db"
      )
      assert.strictEqual(Database.toPrintable("postgres.sqlite"), "postgres.sqlite")
    }).pipe(Effect.scoped))

  it.effect("says why a PostgreSQL can't be reached", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        Layer.build(Postgres.layer({ url: Redacted.make("postgres://user@127.0.0.1:1/db") }))
      )

      assert.strictEqual(error.message, "The database can't be reached: connect ECONNREFUSED 127.0.0.1:1")
    }).pipe(Effect.scoped))
})
