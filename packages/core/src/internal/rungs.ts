import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { AuthError, SessionExpired, Unauthorized } from "../AuthError.ts"
import type { AuthEvent } from "../AuthEvent.ts"
import type { Credentials } from "../Credentials.ts"
import { remaining, type Session } from "../Session.ts"
import type { Lease, SessionStore } from "../SessionStore.ts"
import type { TokenEndpoint } from "../TokenEndpoint.ts"
import type { Flight } from "./flight.ts"
import * as metrics from "./metrics.ts"
import * as reach from "./reach.ts"

// What is asked of the authority on the way down: to refresh, to sign in, and to end what nobody uses any more.

/** What an attempt comes to, when it does not fail. */
export type Outcome =
  /** `expiresAt` is steady time, read from the local clock as it stood when the session came. */
  | {
    readonly _tag: "Adopted" | "Refreshed" | "SignedIn"
    readonly session: Session
    readonly expiresAt: number
    readonly isStored: boolean
  }
  /** `isTold` where it was somebody else to whom the authority said so, who shares the store. */
  | { readonly _tag: "Refused"; readonly error: AuthError; readonly isTold: boolean }
  /** A sign-out was faster. A session that came too late is still to be ended. */
  | { readonly _tag: "SignedOut"; readonly orphan?: Session }

export const make = ({ credentials, endpoint, publish, steady, store }: {
  readonly credentials: Credentials
  readonly endpoint: TokenEndpoint["Service"]
  readonly publish: (event: AuthEvent) => Effect.Effect<unknown>
  readonly steady: () => number
  readonly store: SessionStore["Service"]
}) => {
  const inReach = reach.inReach(publish)

  /** A span of its own: the call may outlive each of those who wait, and so is nobody's child. */
  const call = <A>(
    kind: "authorize" | "refresh" | "expire",
    flight: Flight | undefined,
    effect: Effect.Effect<A, AuthError>
  ): Effect.Effect<A, AuthError> =>
    Effect.useSpan(
      `TenovosAuth.${kind}`,
      { root: true, links: flight?.waiting.map((span) => ({ span, attributes: {} })) ?? [] },
      (span) => {
        if (flight !== undefined) flight.span = span
        return effect.pipe(
          Effect.withParentSpan(span),
          metrics.measured(kind),
          Effect.onExit((exit) =>
            Effect.sync(() =>
              span.attribute(
                "tenovos.auth.outcome",
                Option.match(Exit.findErrorOption(exit), {
                  onNone: () => Exit.isSuccess(exit) ? "success" : "interrupted",
                  onSome: ({ reason }) => reason._tag
                })
              )
            )
          )
        )
      }
    )

  const came = (_tag: "Adopted" | "Refreshed" | "SignedIn", session: Session): Effect.Effect<Outcome> =>
    Effect.map(DateTime.now, (now) => ({
      _tag,
      session,
      isStored: _tag === "Adopted",
      expiresAt: steady() + Duration.toMillis(remaining(session, now))
    }))

  /** The authority's no to the credentials. They are not sent again, whatever became of it. */
  let refused: AuthError | undefined

  /** Unless a sign-out was faster: the credentials are not given for a session that would be ended at once. */
  const authorize = Effect.fnUntraced(function*(
    flight: Flight,
    lease: Lease | undefined
  ): Effect.fn.Return<Outcome, AuthError> {
    if (!flight.isWanted()) return { _tag: "SignedOut" }
    if (refused !== undefined) return { _tag: "Refused", error: refused, isTold: false }
    const refusal = lease === undefined ? Option.none() : Option.flatten(yield* inReach(store.refusal(credentials)))
    if (Option.isSome(refusal)) {
      const error = new AuthError({ reason: new Unauthorized({ message: refusal.value }) })
      return { _tag: "Refused", error, isTold: true }
    }
    return yield* call("authorize", flight, endpoint.authorize(credentials)).pipe(
      Effect.flatMap((session) => came("SignedIn", session)),
      Effect.catchIf(isRefusal, (error) =>
        Effect.sync((): Outcome => {
          refused = error
          return { _tag: "Refused", error, isTold: false }
        }))
    )
  })

  /** Remembers what was refused for all who share the store. */
  const remember = (outcome: Outcome, lease: Lease | undefined): Effect.Effect<Outcome> =>
    outcome._tag === "Refused" && !outcome.isTold && lease !== undefined
      ? Effect.as(inReach(store.refuse(credentials, outcome.error.reason.message, lease)), outcome)
      : Effect.succeed(outcome)

  const signIn = (flight: Flight, lease: Lease | undefined) =>
    Effect.flatMap(authorize(flight, lease), (outcome) => remember(outcome, lease))

  const refresh = (flight: Flight, session: Session): Effect.Effect<Outcome, AuthError> =>
    Effect.flatMap(call("refresh", flight, endpoint.refresh(session)), (renewed) => came("Refreshed", renewed))

  /** Spends a refresh token that nobody else has. */
  const refreshOwn = (flight: Flight, session: Session, lease: Lease | undefined) =>
    Effect.catchIf(refresh(flight, session), isRefusal, () => signIn(flight, lease))

  /** Who gets no answer goes on with the token; who can't hear one may have spent it. */
  const spend = (flight: Flight, session: Session, { leaveGap }: Lease) =>
    Effect.onExit(
      refresh(flight, session),
      (exit) => Exit.isSuccess(exit) || Exit.hasInterrupts(exit) ? leaveGap : Effect.void
    )

  /** Spends the stored refresh token, unless it may be spent. */
  const refreshStored = (flight: Flight, session: Session, lease: Lease) =>
    lease.isGap
      ? signInOrRefresh(flight, session, lease)
      : Effect.catchIf(spend(flight, session, lease), isRefusal, () => signIn(flight, lease))

  /** Where the refresh token may be spent, credentials go first: spent twice, it would end the session for all who share it. */
  const signInOrRefresh = Effect.fnUntraced(function*(
    flight: Flight,
    session: Session,
    lease: Lease
  ): Effect.fn.Return<Outcome, AuthError> {
    const outcome = yield* Effect.catchIf(authorize(flight, lease), isOver, () => Effect.undefined)
    if (outcome !== undefined && outcome._tag !== "Refused") return outcome
    if (!flight.isWanted()) return { _tag: "SignedOut" }
    return yield* spend(flight, session, lease).pipe(
      Effect.catchIf(isRefusal, () => outcome === undefined ? over : remember(outcome, lease))
    )
  })

  const expire = (session: Session): Effect.Effect<unknown, AuthError> =>
    call("expire", undefined, endpoint.expire(session))

  return { came, expire, refreshOwn, refreshStored, signIn }
}

/** A definite no: the authority looked at what was sent, and did not want it. */
const isRefusal = ({ reason }: AuthError): boolean => reason._tag === "BadRequest" || reason._tag === "Unauthorized"

/** There is nothing to sign in with. */
export const isOver = ({ reason }: AuthError): boolean => reason._tag === "SessionExpired"

const over = Effect.fail(new AuthError({ reason: new SessionExpired() }))
