/** Writes that wait for the disk: each with a commit of its own, as `node:sqlite` makes them, and in groups. */
import * as Sqlite from "@effect-tenovos/server/Sqlite"
import * as Effect from "effect/Effect"
import { SqlClient } from "effect/sql/SqlClient"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { compare, type Figure, plain, wall } from "./figure.ts"

const writes = 320

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "writes-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

export const run: Effect.Effect<ReadonlyArray<Figure>, unknown> = Effect.gen(function*() {
  const filename = join(yield* folder, "a.sqlite")
  return yield* Effect.gen(function*() {
    const sql = yield* SqlClient
    yield* sql`CREATE TABLE t (id integer PRIMARY KEY, data text)`
    const floor = yield* Effect.acquireRelease(
      Effect.sync(() => new DatabaseSync(filename)),
      (database) => Effect.sync(() => database.close())
    )
    floor.exec("PRAGMA synchronous = FULL")
    const insert = floor.prepare("INSERT INTO t (data) VALUES (?)")
    const row = { data: "x".repeat(300) }
    const write = sql`INSERT INTO t ${sql.insert(row)}`
    const by = (concurrency: number) =>
      Effect.forEach(Array.from({ length: writes }), () => write, { concurrency, discard: true })

    const time = yield* compare(5, wall, {
      floor: Effect.sync(() => {
        for (let i = 0; i < writes; i++) insert.run(row.data)
      }),
      one: by(1),
      many: by(32)
    })

    const perSecond = (name: string) => `${Math.round(writes / time(name) * 1000)} writes a second`
    return [
      plain("node:sqlite alone, a commit for each write", perSecond("floor")),
      plain("one writer", perSecond("one")),
      plain("one writer, to node:sqlite alone", (time("floor") / time("one")).toFixed(2)),
      plain("32 writers", perSecond("many")),
      plain("32 writers, to node:sqlite alone", (time("floor") / time("many")).toFixed(1))
    ]
  }).pipe(Effect.provide(Sqlite.layer({ filename })))
}).pipe(Effect.scoped)
