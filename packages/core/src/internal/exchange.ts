import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { AuthError, StoreFailure, Unauthorized } from "../AuthError.ts"
import { AuthEvent, SignOut } from "../AuthEvent.ts"
import type { Credentials } from "../Credentials.ts"
import { isRefreshable, remaining, Session } from "../Session.ts"
import type { Lease, SessionStore, Stored } from "../SessionStore.ts"
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
const storeTimeout = Duration.seconds(10)
/** Whoever waits for an exchange of somebody else no longer than this counts it as failed. */
const turnTimeout = Duration.seconds(60)

/** What is known of the store when the wait for others is over. */
interface Turn {
  /** None where the store could not be read. */
  readonly stored: Option.Option<Stored>
  /** A newer session that somebody else has brought. */
  readonly renewed: Option.Option<Session>
  /** None where there is nothing to exchange, or the store is out of reach; then `error` says why. */
  readonly lease: Lease | undefined
  readonly error?: AuthError
}

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
  const bounded =
    (operation: StoreFailure["operation"], duration = storeTimeout) =>
    <A, R>(effect: Effect.Effect<A, AuthError, R>): Effect.Effect<A, AuthError, R> =>
      Effect.timeoutOrElse(effect, {
        duration,
        orElse: () => Effect.fail(new AuthError({ reason: new StoreFailure({ operation }) }))
      })

  const store: SessionStore["Service"] = {
    read: bounded("read")(unbounded.read),
    commit: (...args) => bounded("commit")(unbounded.commit(...args)),
    clear: (generation) => bounded("clear")(unbounded.clear(generation)),
    lease: bounded("lease")(unbounded.lease),
    listen: bounded("lease")(unbounded.listen),
    refusal: (credentials) => bounded("read")(unbounded.refusal(credentials)),
    refuse: (...args) => bounded("commit")(unbounded.refuse(...args))
  }

  /** A store that is out of reach stops nobody. */
  const inReach = <A, R>(effect: Effect.Effect<A, AuthError, R>): Effect.Effect<Option.Option<A>, never, R> =>
    Effect.catch(Effect.asSome(effect), (error) => Effect.as(publish(AuthEvent.StoreFailed({ error })), Option.none()))

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
  const signIn = Effect.fnUntraced(function*(
    flight: Flight,
    lease: Lease | undefined
  ): Effect.fn.Return<Outcome, AuthError> {
    if (!flight.isWanted()) return { _tag: "SignedOut" }
    const refusal = lease === undefined ? Option.none() : Option.flatten(yield* inReach(store.refusal(credentials)))
    if (Option.isSome(refusal)) {
      return { _tag: "Refused", error: new AuthError({ reason: new Unauthorized({ message: refusal.value }) }) }
    }
    return yield* call("authorize", flight, endpoint.authorize(credentials)).pipe(
      Effect.flatMap((session) => came("SignedIn", session)),
      Effect.catchIf(
        isRefusal,
        (error) =>
          (lease === undefined ? Effect.void : inReach(store.refuse(credentials, error.reason.message, lease))).pipe(
            Effect.as<Outcome>({ _tag: "Refused", error })
          )
      )
    )
  })

  const refreshOrSignIn = (flight: Flight, session: Session, lease: Lease | undefined) =>
    call("refresh", flight, endpoint.refresh(session)).pipe(
      Effect.flatMap((session) => came("Refreshed", session)),
      Effect.catchIf(isRefusal, () => signIn(flight, lease))
    )

  /** Whether what the store has is older than what is known here: signed out of, or of a time when it was out of reach. */
  let outdated = false
  /** No two sessions that were ever in hand here are of the same generation. */
  let newest = 0
  /** The last session that the store did not take: nobody else has its refresh token. */
  let unshared: Session | undefined
  /** A write of it has failed, and may have been done all the same. */
  let mayBeShared = false

  /** What the store has, unless what is known here is newer. */
  const latestOf = (stored: Stored, known: Stored): Stored =>
    outdated || stored.generation < known.generation ? known : stored

  /** Waits while somebody else who shares the store exchanges: for the result, and not for the lease. */
  const turn = (flight: Flight, known: Stored): Effect.Effect<Turn, AuthError, Scope.Scope> =>
    Effect.suspend(() => {
      let stored: Option.Option<Stored> = Option.none()
      return Effect.gen(function*(): Effect.fn.Return<Turn, AuthError, Scope.Scope> {
        let changed: Effect.Effect<void> | undefined
        for (let lease = Option.none<Lease>();;) {
          const read = yield* store.read
          stored = Option.some(read)
          const now = yield* DateTime.now
          const latest = latestOf(read, known)
          const renewed = latest.generation > known.generation
            ? Option.filter(latest.session, lives(now))
            : Option.none()
          if (Option.isSome(lease) || Option.isSome(renewed) || !flight.isWanted()) {
            return { stored, renewed, lease: Option.getOrUndefined(lease) }
          }
          lease = yield* store.lease
          if (Option.isSome(lease)) continue
          // Whoever begins to listen looks once more: what came before that is not heard.
          if (changed === undefined) changed = yield* store.listen
          else yield* Effect.raceFirst(changed, Deferred.await(flight.calledOff))
        }
      }).pipe(
        Effect.catch((error) =>
          Effect.as(publish(AuthEvent.StoreFailed({ error })), {
            stored,
            renewed: Option.none(),
            lease: undefined,
            error
          })
        )
      )
    }).pipe(bounded("lease", turnTimeout))

  // From the answer to the store nothing may come between: the refresh token before it may be spent.
  const attempt = (flight: Flight, held: Session | undefined) =>
    Effect.scoped(
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*(): Effect.fn.Return<Outcome, AuthError, Scope.Scope> {
          const known: Stored = { generation: held?.generation ?? 0, session: Option.fromNullishOr(held) }
          const { error, lease, renewed, stored: read } = yield* restore(turn(flight, known))
          if (Option.isSome(renewed)) return yield* came("Adopted", renewed.value)
          if (!flight.isWanted()) return { _tag: "SignedOut" }

          const stored = Option.getOrElse(read, () => known)
          newest = Math.max(newest, stored.generation, known.generation)
          if (stored.unreadable !== undefined) yield* publish(AuthEvent.StoreFailed({ error: stored.unreadable }))
          const latest = latestOf(stored, known)
          const now = yield* DateTime.now
          // Without the lease somebody else may be spending the refresh token. Signing in takes nothing from anybody.
          const isUnshared = held !== undefined && held === unshared && latest === known &&
            Option.match(read, { onNone: () => !mayBeShared, onSome: ({ generation }) => generation < held.generation })
          const isOurs = lease !== undefined || isUnshared
          if (!isOurs && error !== undefined && !flight.isAwaited() && held !== undefined && lives(now)(held)) {
            return yield* error
          }
          const answer = yield* restore(Option.match(
            Option.filter(latest.session, (session) => isOurs && isRefreshable(session, now)),
            {
              // Whoever has nothing to sign in with needs the store.
              onNone: () =>
                Effect.mapError(
                  signIn(flight, lease),
                  (over) => over.reason._tag === "SessionExpired" ? error ?? over : over
                ),
              onSome: (session) => refreshOrSignIn(flight, session, lease)
            }
          ))
          if (answer._tag === "Refused" || answer._tag === "SignedOut") return answer

          const session = new Session({ ...answer.session, generation: ++newest })
          if (!flight.isWanted()) return { _tag: "SignedOut", orphan: session }
          // What can't be stored is served all the same: it exists nowhere else. So is what was refused by a store that
          // could not be read before, or because of a lease that was lost, as that says nothing.
          if (Option.isNone(read)) outdated = true
          unshared = session
          mayBeShared = false
          const committed = yield* inReach(commit(session, stored.generation, lease))
          const isStored = Option.contains(committed, true)
          if (isStored || Option.isNone(read) || Option.isNone(committed)) return { ...answer, session, isStored }

          // Somebody was faster. A newer session is as good; without one, that was a sign-out, and it wins.
          const winner = Option.getOrElse(yield* inReach(store.read), () => stored)
          const isGone = winner.generation === 0
          if (isGone || winner.generation === stored.generation) return { ...answer, session, isStored }
          const newer = Option.filter(winner.session, lives(yield* DateTime.now))
          newest = Math.max(newest, winner.generation)
          if (Option.isSome(newer) && isSame(latest.session, newer)) {
            unshared = new Session({ ...session, generation: ++newest })
            return { ...answer, session: unshared, isStored }
          }
          if (Option.isSome(newer)) {
            return yield* came("Adopted", newer.value)
          }
          yield* Effect.ignore(call("expire", flight, endpoint.expire(session)))
          return { _tag: "SignedOut" }
        })
      )
    )

  const commit = (session: Session, expected: number, lease: Lease | undefined): Effect.Effect<boolean, AuthError> =>
    store.commit(session, expected, lease).pipe(
      Effect.tapError(() => Effect.sync(() => mayBeShared = true)),
      Effect.tap((committed) =>
        Effect.sync(() => {
          if (!committed) return
          outdated = false
          unshared = undefined
        })
      )
    )

  /** Without the lease: the record is only changed where it is older, and nothing is spent. */
  const save = (session: Session, isHeld: () => boolean) =>
    Effect.flatMap(store.read, ({ generation }) =>
      // A store that has moved on meanwhile refuses it.
      isHeld() ? Effect.asVoid(commit(session, generation, undefined)) : Effect.void)

  const clear: Effect.Effect<Option.Option<Session>, AuthError> = Effect.gen(function*() {
    const { generation, session } = yield* store.read
    return (yield* store.clear(generation)) ? session : yield* clear
  })

  const end = (latest: Option.Option<Session>) =>
    Effect.gen(function*() {
      const cleared = yield* Effect.exit(clear)
      outdated = Exit.isFailure(cleared)
      const session = Option.orElse(latest, () => Option.flatten(Exit.getSuccess(cleared)))
      const outcome = yield* Option.match(session, {
        onNone: () => Effect.succeed(SignOut.NoSession()),
        onSome: (session) => Effect.as(call("expire", undefined, endpoint.expire(session)), SignOut.Expired())
      })
      // The authority is told in any case; but a store that still has the session is no success.
      return yield* Effect.as(cleared, outcome)
    }).pipe(Effect.catch((error) => Effect.succeed(SignOut.Forgotten({ error }))))

  return { attempt, save, end }
}

const lives = (now: DateTime.Utc) => (session: Session): boolean => Duration.toMillis(remaining(session, now)) > 0

/** Whether a session was stored late that has been renewed meanwhile. */
const isSame = (one: Option.Option<Session>, other: Option.Option<Session>): boolean =>
  Equal.equals(Option.map(one, ({ accessToken }) => accessToken), Option.map(other, ({ accessToken }) => accessToken))

/** A definite no: the authority looked at what was sent, and did not want it. */
const isRefusal = ({ reason }: AuthError): boolean => reason._tag === "BadRequest" || reason._tag === "Unauthorized"
