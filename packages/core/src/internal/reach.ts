import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { AuthError, StoreFailure } from "../AuthError.ts"
import { AuthEvent } from "../AuthEvent.ts"
import type { SessionStore } from "../SessionStore.ts"

// A store may be out of reach, or not answer at all.

/** A store that does not answer for so long has failed. */
const storeTimeout = Duration.seconds(10)
export const bounded =
  (operation: StoreFailure["operation"], duration = storeTimeout) =>
  <A, R>(effect: Effect.Effect<A, AuthError, R>): Effect.Effect<A, AuthError, R> =>
    Effect.timeoutOrElse(effect, {
      duration,
      orElse: () => Effect.fail(new AuthError({ reason: new StoreFailure({ operation }) }))
    })

export const bound = (unbounded: SessionStore["Service"]): SessionStore["Service"] => ({
  read: bounded("read")(unbounded.read),
  commit: (...args) => bounded("commit")(unbounded.commit(...args)),
  clear: (generation) => bounded("clear")(unbounded.clear(generation)),
  lease: bounded("lease")(unbounded.lease),
  listen: bounded("lease")(unbounded.listen),
  refusal: (credentials) => bounded("read")(unbounded.refusal(credentials)),
  refuse: (...args) => bounded("commit")(unbounded.refuse(...args))
})

/** A store that is out of reach stops nobody. */
export const inReach =
  (publish: (event: AuthEvent) => Effect.Effect<unknown>) =>
  <A, R>(effect: Effect.Effect<A, AuthError, R>): Effect.Effect<Option.Option<A>, never, R> =>
    Effect.catch(Effect.asSome(effect), (error) => Effect.as(publish(AuthEvent.StoreFailed({ error })), Option.none()))
