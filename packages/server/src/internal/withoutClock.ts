import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/** Routes keep the context that they are made in, and a clock in it would win over that of the request. */
export const withoutClock = <A, R>(app: Effect.Effect<A, never, R>): Effect.Effect<A, never, R> =>
  Effect.updateContext(app, (context: Context.Context<R>) => Context.omit(Clock.Clock)(context))
