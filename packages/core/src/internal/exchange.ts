import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { AuthError, StoreFailure } from "../AuthError.ts"
import { AuthEvent, SignOut } from "../AuthEvent.ts"
import type { Credentials } from "../Credentials.ts"
import { isRefreshable, remaining, Session } from "../Session.ts"
import type { SessionStore, Stored } from "../SessionStore.ts"
import type { TokenEndpoint } from "../TokenEndpoint.ts"
import type { Flight } from "./flight.ts"
import * as metrics from "./metrics.ts"

/** What an attempt comes to, when it does not fail. */
export type Outcome =
  /** `expiresAt` is steady time, read from the local clock as it stood when the session came. */
  | {
    readonly _tag: "Adopted" | "Refreshed" | "SignedIn"
    readonly session: Session
    readonly expiresAt: number
    readonly isStored: boolean
  }
  | { readonly _tag: "Refused"; readonly error: AuthError }
  /** A sign-out was faster. A session that came too late is still to be ended. */
  | { readonly _tag: "SignedOut"; readonly orphan?: Session }

/** A store that does not answer for so long has failed. */
const storeTimeout = "10 seconds"

export const make = ({ credentials, endpoint, publish, steady, store: unbounded }: {
  readonly credentials: Credentials
  readonly endpoint: TokenEndpoint["Service"]
  readonly publish: (event: AuthEvent) => Effect.Effect<unknown>
  readonly steady: () => number
  readonly store: SessionStore["Service"]
}): {
  /** One way down the ladder: adopt, refresh, sign in. The store is written before anybody sees the session. */
  readonly attempt: (flight: Flight, held: Session | undefined) => Effect.Effect<Outcome, AuthError>
  /** Stores a session that could not be stored when it came, if it is still in hand. */
  readonly save: (session: Session, isHeld: () => boolean) => Effect.Effect<void, AuthError>
  /** Ends the newest session there is, and clears the store. */
  readonly end: (latest: Option.Option<Session>) => Effect.Effect<SignOut>
} => {
  const bounded = <A>(operation: StoreFailure["operation"], effect: Effect.Effect<A, AuthError>) =>
    Effect.timeoutOrElse(effect, {
      duration: storeTimeout,
      orElse: () => Effect.fail(new AuthError({ reason: new StoreFailure({ operation }) }))
    })

  const store: SessionStore["Service"] = {
    read: bounded("read", unbounded.read),
    commit: (session, expected) => bounded("commit", unbounded.commit(session, expected)),
    clear: (generation) => bounded("clear", unbounded.clear(generation)),
    withLease: unbounded.withLease
  }

  /** A store that is out of reach stops nobody. */
  const inReach = <A>(effect: Effect.Effect<A, AuthError>, otherwise: A): Effect.Effect<A> =>
    Effect.catch(effect, (error) => Effect.as(publish(AuthEvent.StoreFailed({ error })), otherwise))

  const leased = <A>(effect: Effect.Effect<A, AuthError>): Effect.Effect<A, AuthError> =>
    Effect.catchIf(
      store.withLease(effect),
      ({ reason }) => reason._tag === "StoreFailure" && reason.operation === "lease",
      (error) => Effect.andThen(publish(AuthEvent.StoreFailed({ error })), effect)
    )

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

  /** Unless a sign-out was faster: the credentials are not given for a session that would be ended at once. */
  const signIn = (flight: Flight): Effect.Effect<Outcome, AuthError> =>
    Effect.suspend(() =>
      flight.isWanted()
        ? call("authorize", flight, endpoint.authorize(credentials)).pipe(
          Effect.flatMap((session) => came("SignedIn", session)),
          Effect.catchIf(isRefusal, (error) => Effect.succeed<Outcome>({ _tag: "Refused", error }))
        )
        : Effect.succeed<Outcome>({ _tag: "SignedOut" })
    )

  const refreshOrSignIn = (flight: Flight, session: Session): Effect.Effect<Outcome, AuthError> =>
    call("refresh", flight, endpoint.refresh(session)).pipe(
      Effect.flatMap((session) => came("Refreshed", session)),
      Effect.catchIf(isRefusal, () => signIn(flight))
    )

  /** Whether what the store has is older than what is known here: signed out of, or of a time when it was out of reach. */
  let outdated = false
  /** No two sessions that were ever in hand here are of the same generation. */
  let newest = 0

  // From the answer to the store nothing may come between: the refresh token before it may be spent.
  const attempt = (flight: Flight, held: Session | undefined) =>
    leased(Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*(): Effect.fn.Return<Outcome, AuthError> {
        const known: Stored = { generation: held?.generation ?? 0, session: Option.fromNullishOr(held) }
        const read = yield* restore(inReach(Effect.asSome(store.read), Option.none()))
        const stored = Option.getOrElse(read, () => known)
        newest = Math.max(newest, stored.generation, known.generation)
        const now = yield* DateTime.now
        const latest = outdated || stored.generation < known.generation ? known : stored
        const renewed = latest.generation > known.generation ? Option.filter(latest.session, lives(now)) : Option.none()
        if (Option.isSome(renewed)) return yield* came("Adopted", renewed.value)
        if (!flight.isWanted()) return { _tag: "SignedOut" }

        const answer = yield* restore(Option.match(Option.filter(latest.session, isRefreshable(now)), {
          onNone: () => signIn(flight),
          onSome: (session) => refreshOrSignIn(flight, session)
        }))
        if (answer._tag === "Refused" || answer._tag === "SignedOut") return answer

        const session = new Session({ ...answer.session, generation: ++newest })
        if (!flight.isWanted()) return { _tag: "SignedOut", orphan: session }
        // What can't be stored is served all the same: it exists nowhere else. So is what was refused by a store that
        // could not be read before, as that says nothing.
        if (Option.isNone(read)) outdated = true
        const committed = yield* inReach(Effect.asSome(commit(session, stored.generation)), Option.none())
        const isStored = Option.contains(committed, true)
        if (isStored || Option.isNone(read) || Option.isNone(committed)) return { ...answer, session, isStored }

        // Somebody was faster. A newer session is as good; without one, that was a sign-out, and it wins.
        const winner = Option.filter((yield* inReach(store.read, stored)).session, lives(yield* DateTime.now))
        if (Option.isSome(winner)) {
          newest = Math.max(newest, winner.value.generation)
          return yield* came("Adopted", winner.value)
        }
        yield* Effect.ignore(call("expire", flight, endpoint.expire(session)))
        return { _tag: "SignedOut" }
      })
    ))

  const commit = (session: Session, expected: number): Effect.Effect<boolean, AuthError> =>
    Effect.tap(store.commit(session, expected), (committed) =>
      Effect.sync(() => {
        if (committed) outdated = false
      }))

  const save = (session: Session, isHeld: () => boolean) =>
    leased(Effect.gen(function*() {
      // A store that has moved on meanwhile refuses it.
      if (isHeld()) yield* commit(session, (yield* store.read).generation)
    }))

  const clear: Effect.Effect<Option.Option<Session>, AuthError> = Effect.gen(function*() {
    const { generation, session } = yield* store.read
    return (yield* store.clear(generation)) ? session : yield* clear
  })

  const end = (latest: Option.Option<Session>) =>
    leased(Effect.gen(function*() {
      const cleared = yield* Effect.exit(clear)
      outdated = Exit.isFailure(cleared)
      const session = Option.orElse(latest, () => Option.flatten(Exit.getSuccess(cleared)))
      const outcome = yield* Option.match(session, {
        onNone: () => Effect.succeed(SignOut.NoSession()),
        onSome: (session) => Effect.as(call("expire", undefined, endpoint.expire(session)), SignOut.Expired())
      })
      // The authority is told in any case; but a store that still has the session is no success.
      return yield* Effect.as(cleared, outcome)
    })).pipe(Effect.catch((error) => Effect.succeed(SignOut.Forgotten({ error }))))

  return { attempt, save, end }
}

const lives = (now: DateTime.Utc) => (session: Session): boolean => Duration.toMillis(remaining(session, now)) > 0

/** A definite no: the authority looked at what was sent, and did not want it. */
const isRefusal = ({ reason }: AuthError): boolean => reason._tag === "BadRequest" || reason._tag === "Unauthorized"
