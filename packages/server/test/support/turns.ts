import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Statement from "effect/sql/Statement"

/** One of several callers, none of which moves unless it is its turn. */
export const Caller = Context.Reference<number | undefined>("test/turns/Caller", { defaultValue: () => undefined })

/**
 * Lets one caller at a time go on, from one statement to the next, in an order that the numbers say. So the same numbers
 * always give the same interleaving, however long anything takes.
 */
export const makeTurns = (callers: number, next: () => number) => {
  const moving = new Set(Array.from({ length: callers }, (_, caller) => caller))
  const waiting = new Map<number, () => void>()

  const choose = () => {
    if (moving.size > 0 || waiting.size === 0) return
    const callers = [...waiting.keys()].sort((a, b) => a - b)
    const caller = callers[next() % callers.length]
    if (caller === undefined) return
    const goOn = waiting.get(caller)
    waiting.delete(caller)
    moving.add(caller)
    goOn?.()
  }

  const wait = (caller: number): Effect.Effect<void> =>
    Effect.callback((resume) => {
      waiting.set(caller, () => resume(Effect.void))
      moving.delete(caller)
      choose()
      // Interrupted where it stands, it moves to where it waits next.
      return Effect.sync(() => {
        if (waiting.delete(caller)) moving.add(caller)
      })
    })

  const transformer: Statement.Transformer = (statement, _, fiber) => {
    const caller = fiber.getRef(Caller)
    return caller === undefined ? Effect.succeed(statement) : Effect.as(wait(caller), statement)
  }

  return {
    /** Waits for a turn. */
    wait,
    /** The caller has nothing more to do. */
    end: (caller: number): Effect.Effect<void> =>
      Effect.sync(() => {
        moving.delete(caller)
        choose()
      }),
    /** Makes each statement of a caller wait for a turn. */
    run: (caller: number) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      self.pipe(
        Effect.provideService(Statement.CurrentTransformer, transformer),
        Effect.provideService(Caller, caller)
      )
  }
}
