import { assert } from "@effect/vitest"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { SqlClient } from "effect/sql/SqlClient"
import * as Statement from "effect/sql/Statement"

/**
 * Does something right before the first of the statements that begin like this, and outside of their transaction. It is
 * told which process of PostgreSQL has that.
 */
export const before =
  <E, R>(beginning: string, what: (pid: number) => Effect.Effect<unknown, E, R>) =>
  <A, E2, R2>(self: Effect.Effect<A, E2, R2>): Effect.Effect<A, E2, R | R2> =>
    Effect.contextWith((outside: Context.Context<R>) => {
      const leave: (context: Context.Context<never>) => Context.Context<R> = () => outside
      let isDone = false
      const transformer: Statement.Transformer = Effect.fnUntraced(function*(statement, sql) {
        if (isDone || !statement.compile()[0].startsWith(beginning)) return statement
        isDone = true
        const [row] = yield* Effect.orDie(sql<{ readonly pid: number }>`SELECT pg_backend_pid() AS pid`)
        yield* what(row?.pid ?? 0).pipe(Effect.orDie, Effect.updateContext(leave))
        return statement
      })
      return self.pipe(
        Effect.provideService(Statement.CurrentTransformer, transformer),
        Effect.tap(() => Effect.sync(() => assert.isTrue(isDone)))
      )
    })

/** Until so many wait for what this process of PostgreSQL holds. */
export const isWaitedFor = (pid: number, by = 1) =>
  SqlClient.use((sql) => sql`SELECT 1 FROM pg_stat_activity WHERE ${pid} = ANY(pg_blocking_pids(pid))`).pipe(
    Effect.repeat({ until: (rows) => rows.length === by })
  )
