import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { CommonClock } from "./commonClock.ts"

/**
 * Runs effects beside their callers until the scope closes: by the clock of the caller, and else in the context of the
 * maker, so that none is in a caller's transaction.
 */
export const make: Effect.Effect<
  <A, E>(self: Effect.Effect<A, E>) => Effect.Effect<void>,
  never,
  Scope.Scope
> = Effect.gen(function*() {
  const scope = yield* Effect.scope
  const context = yield* Effect.context()
  const byItsClock = (caller: Context.Context<never>) =>
    context.pipe(
      Context.add(Clock.Clock, Context.get(caller, Clock.Clock)),
      Context.add(CommonClock, Context.get(caller, CommonClock))
    )
  return (self) => self.pipe(Effect.updateContext(byItsClock), Effect.forkIn(scope), Effect.asVoid)
})
