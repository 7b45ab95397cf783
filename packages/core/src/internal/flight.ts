import * as Deferred from "effect/Deferred"
import type * as Effect from "effect/Effect"
import type * as Tracer from "effect/Tracer"
import type { AuthError } from "../AuthError.ts"
import type { Session } from "../Session.ts"
import type { Served } from "../TenovosAuth.ts"

/** One exchange, and those who wait for it. */
export interface Flight {
  /** Done when it has ended, or when an attempt has failed and the session at hand still lives. */
  readonly trouble: Deferred.Deferred<Served, AuthError>
  /** Done when it has ended. */
  readonly end: Deferred.Deferred<Served, AuthError>
  /** Done when a sign-out no longer wants it. */
  readonly calledOff: Deferred.Deferred<void>
  /** Done when nothing of it runs any more; with its session, if that came too late for a sign-out. */
  readonly landed: Deferred.Deferred<Session | undefined>
  /** Whether its session is still wanted: nobody has signed out. */
  readonly isWanted: () => boolean
  /** Whether it is to bring what nobody had when it began. */
  readonly isForced: boolean
  /** The generation of the store when it began. */
  generation: number | undefined
  /** Whether anybody waits for it. */
  readonly isAwaited: () => boolean
  /** The spans of those who wait. */
  readonly waiting: Array<Tracer.AnySpan>
  /** The span of the call to the authority. */
  span: Tracer.Span | undefined
}

export const make = (
  isWanted: () => boolean,
  { isDemanded, isForced }: { readonly isDemanded: boolean; readonly isForced: boolean }
): Flight => {
  const waiting: Array<Tracer.AnySpan> = []
  return {
    trouble: Deferred.makeUnsafe(),
    end: Deferred.makeUnsafe(),
    calledOff: Deferred.makeUnsafe(),
    landed: Deferred.makeUnsafe(),
    isWanted,
    isForced,
    generation: undefined,
    isAwaited: () => isDemanded || waiting.length > 0,
    waiting,
    span: undefined
  }
}

/** Links the exchange, which may outlive each of those who wait and is nobody's child, to one of them. */
export const link = (flight: Flight, span: Tracer.AnySpan): void => {
  flight.waiting.push(span)
  flight.span?.addLinks([{ span, attributes: {} }])
}

/** Tells those who wait. Whoever has been told before is not told again. */
export const answer = (flight: Flight, result: Effect.Effect<Served, AuthError>): void => {
  Deferred.doneUnsafe(flight.trouble, result)
  Deferred.doneUnsafe(flight.end, result)
}
