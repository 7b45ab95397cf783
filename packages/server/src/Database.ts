/**
 * The database of an authority by its name: a file of SQLite, `:memory:`, or the URL of a PostgreSQL.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { MigrationError } from "effect/sql/Migrator"
import { SqlClient } from "effect/sql/SqlClient"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import { statSync } from "node:fs"
import * as Migrations from "./Migrations.ts"
import * as Sqlite from "./Sqlite.ts"

/**
 * Opens it, and closes it with the scope.
 *
 * **Details**
 *
 * `postgres://` and `postgresql://` mean PostgreSQL; everything but `:memory:` besides is a file. A file that is damaged,
 * or that a later release has changed, is refused and left as it is, to the byte.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  database: string | Redacted.Redacted
): Layer.Layer<SqlClient, SqlError | MigrationError> => {
  const name = Redacted.isRedacted(database) ? Redacted.value(database) : database
  if (isPostgres(name)) return layerPostgres(name)
  if (name === ":memory:") return Sqlite.layer({ filename: name })
  return Sqlite.layer({ filename: name }).pipe(Layer.provide(Layer.effectDiscard(inspect(name))))
}

/**
 * How to call it before people: a URL without its password.
 *
 * @category getters
 * @since 0.1.0
 */
export const toPrintable = (database: string): string => {
  if (!isPostgres(database)) return database
  const url = parse(database)
  // Where a URL can't be read, nobody can tell what in it is the password.
  if (url === null) return "postgres://…"
  if (url.password !== "") url.password = "***"
  if (url.searchParams.has("password")) url.searchParams.set("password", "***")
  return url.href
}

const isPostgres = (database: string): boolean => /^postgres(?:ql)?:/i.test(database)

const parse = (url: string): URL | null => /^[^:]+:\/\//.test(url) ? URL.parse(url) : null

const layerPostgres = (url: string): Layer.Layer<SqlClient, SqlError> =>
  Layer.unwrap(Effect.gen(function*() {
    // The parser's error would quote what it was given.
    if (parse(url) === null) return yield* refused("The URL of the database is not right")
    // Loaded here, since who uses SQLite would wait for it at each start.
    const Postgres = yield* Effect.promise(() => import("./Postgres.ts"))
    return Postgres.layer({ url: Redacted.make(url, { label: "database" }) })
  }))

const inspect = Effect.fnUntraced(function*(filename: string) {
  const stats = statSync(filename, { throwIfNoEntry: false })
  if (stats?.isFile() !== true || stats.size === 0) return
  yield* Effect.gen(function*() {
    const sql = yield* SqlClient
    const found = (yield* sql`PRAGMA quick_check(1)`.values).join().replaceAll(/\s+/g, " ")
    if (found !== "ok") return yield* refused(`The database is damaged: ${found}`)
    yield* Migrations.refuseLater
  }).pipe(Effect.provide(Sqlite.layer({ filename, readOnly: true })))
})

const refused = (message: string) =>
  Effect.fail(new SqlError({ reason: new ConnectionError({ cause: undefined, message, operation: "connect" }) }))
