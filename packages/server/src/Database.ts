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

/**
 * Whether it is the URL of a PostgreSQL.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isPostgres = (database: string): boolean => /^postgres(?:ql)?:/i.test(database)

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
    yield* Migrations.refuseLater
    const tables = stats.size <= large
      ? [undefined]
      : small
    for (const table of tables) {
      const check = yield* table === undefined
        ? sql`PRAGMA quick_check`
        : sql`PRAGMA quick_check(${sql(table)})`
      const found = check.flatMap(Object.values)
      if (found[0] !== "ok") {
        return yield* refused(`The database is damaged: ${String(found[0]).replaceAll(/\s+/g, " ")}`)
      }
    }
  }).pipe(Effect.provide(Sqlite.layer({ filename, readOnly: true })))
})

// Reading this much takes some hundredths of a second. With more, a start would take the longer the more sessions there
// are, so only what nobody could start without is read.
const large = 32 * 2 ** 20
const small = ["effect_sql_migrations", "installation", "keys", "api_keys", "users"]

const refused = (message: string) =>
  Effect.fail(new SqlError({ reason: new ConnectionError({ cause: undefined, message, operation: "connect" }) }))
