import { Database, Migrations, Postgres } from "@effect-tenovos/server"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { SqlClient } from "effect/sql/SqlClient"
import { randomUUID } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { inject } from "vitest"

/** What this run is on. `vitest.config.ts` has a project for each. */
export const kind = process.env["TENOVOS_TEST_DATABASE"] ?? "memory"

export const emptyFolder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "tenovos-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

const file = Effect.map(emptyFolder, (folder) => join(folder, "a.sqlite"))

/** An empty schema, whose name is only right in quotes, and nothing else is in reach of its URL. */
export const schema: Effect.Effect<string, never, Scope.Scope> = Effect.gen(function*() {
  const name = `Test-${randomUUID()}`
  const url = inject("postgres")
  const run = (statement: (sql: SqlClient) => Effect.Effect<unknown, unknown>) =>
    SqlClient.use(statement).pipe(Effect.provide(Postgres.layer({ url: Redacted.make(url) })), Effect.orDie)
  yield* Effect.acquireRelease(
    run((sql) => sql`CREATE SCHEMA ${sql(name)}`),
    () => run((sql) => sql`DROP SCHEMA ${sql(name)} CASCADE`)
  )
  const own = new URL(url)
  own.searchParams.set("options", `-c search_path="${name}"`)
  return own.href
})

/** The name of a new database, which is gone with the scope. */
export const fresh: Effect.Effect<string, never, Scope.Scope> = kind === "postgres"
  ? schema
  : kind === "file"
  ? file
  : Effect.succeed(":memory:")

/** The same, of a database that can be opened more than once. */
export const shared: Effect.Effect<string, never, Scope.Scope> = kind === "memory" ? file : fresh

/** What stands on a new database each time that it is built. */
export const onFresh = <A, E, R>(make: (database: string) => Layer.Layer<A, E, R>) =>
  Layer.unwrap(Effect.map(fresh, make))

/** The tables on a new database, or on this one. */
export const storage = (database?: string) => {
  const on = (database: string) => Layer.fresh(Migrations.layer).pipe(Layer.provideMerge(Database.layer(database)))
  return database === undefined ? onFresh(on) : on(database)
}
