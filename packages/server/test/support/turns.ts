import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SqlClient } from "effect/sql/SqlClient"
import * as Statement from "effect/sql/Statement"

/** One of several callers, none of which moves unless it is its turn. */
const Caller = Context.Reference<number | undefined>("test/turns/Caller", { defaultValue: () => undefined })

/** Waits for no turn. */
export const outOfTurn: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = Effect.provideService(
  Caller,
  undefined
)

/**
 * Lets one caller at a time go on, from one statement or transaction to the next, in an order that the numbers say. So the
 * same numbers always give the same interleaving, however long anything takes.
 */
export const makeTurns = (callers: number, next: () => number, clients: ReadonlyArray<SqlClient>) => {
  const moving = new Set(Array.from({ length: callers }, (_, caller) => caller))
  /** Where each caller waits, which may be at two places at once. */
  const waiting = new Map<number, Set<() => void>>()

  const choose = () => {
    if (moving.size > 0 || waiting.size === 0) return
    const ready = [...waiting.keys()].sort((a, b) => a - b)
    const chosen = ready[next() % ready.length] ?? 0
    const places = waiting.get(chosen) ?? []
    waiting.delete(chosen)
    moving.add(chosen)
    for (const goOn of places) goOn()
  }

  const wait = (caller: number): Effect.Effect<void> =>
    Effect.callback((resume) => {
      const goOn = () => resume(Effect.void)
      const places = waiting.get(caller) ?? new Set()
      waiting.set(caller, places.add(goOn))
      moving.delete(caller)
      choose()
      // Interrupted where it stands, it moves to where it waits next.
      return Effect.sync(() => {
        if (!places.delete(goOn)) return
        if (places.size === 0) waiting.delete(caller)
        moving.add(caller)
      })
    })

  const turn = Effect.flatMap(Caller, (caller) => caller === undefined ? Effect.void : wait(caller))

  // Who holds a transaction keeps the others from theirs, so it is their turn as a whole.
  const transformer: Statement.Transformer = (statement, _, fiber) =>
    clients.some((sql) => Option.isSome(Context.getOption(fiber.context, sql.transactionService)))
      ? Effect.succeed(statement)
      : Effect.as(turn, statement)

  return {
    /** Waits for a turn. */
    wait: turn,
    /** The same client, on which each statement and each transaction of a caller waits for a turn. */
    on: (sql: SqlClient) =>
      new Proxy(sql, {
        get: (target, name) =>
          name === "withTransaction"
            ? <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.andThen(turn, target.withTransaction(self))
            : Reflect.get(target, name)
      }),
    /** Makes somebody a caller, until there is nothing more to do. */
    run: (caller: number) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      self.pipe(
        Effect.provideService(Statement.CurrentTransformer, transformer),
        Effect.provideService(Caller, caller),
        Effect.tap(() =>
          Effect.sync(() => {
            moving.delete(caller)
            choose()
          })
        )
      )
  }
}
