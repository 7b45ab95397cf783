import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { AuthError, StoreFailure } from "../AuthError.ts"
import { AuthEvent, SignOut } from "../AuthEvent.ts"
import type { Credentials } from "../Credentials.ts"
import { isRefreshable, remaining, Session } from "../Session.ts"
import type { Lease, SessionStore, Stored } from "../SessionStore.ts"
import type { TokenEndpoint } from "../TokenEndpoint.ts"
import type { Flight } from "./flight.ts"
import * as reach from "./reach.ts"
import * as rungs from "./rungs.ts"
import { isOver, type Outcome } from "./rungs.ts"
import { sleepUntil } from "./steady.ts"

/** Whoever waits for an exchange of somebody else no longer than this counts it as failed. */
const turnTimeout = Duration.seconds(60)

/** Milliseconds before its end in which nobody counts on an access token any more, and it is still good to end its session. */
const lastMoment = 5000

/** What is known of the store when the wait for others is over. */
interface Turn {
  /** None where the store could not be read. */
  readonly stored: Option.Option<Stored>
  /** The session that somebody else has brought. */
  readonly renewed: Option.Option<Session>
  /** None where there is nothing to exchange, or the store is out of reach; then `error` says why. */
  readonly lease: Lease | undefined
  readonly error?: AuthError
}

export const make = ({ background, credentials, endpoint, publish, steady, store: unbounded }: {
  /** Runs what nobody waits for, until the layer closes. */
  readonly background: (effect: Effect.Effect<unknown, unknown>) => Effect.Effect<unknown>
  readonly credentials: Credentials
  readonly endpoint: TokenEndpoint["Service"]
  readonly publish: (event: AuthEvent) => Effect.Effect<unknown>
  readonly steady: () => number
  readonly store: SessionStore["Service"]
}): {
  /** One way down the ladder: adopt, refresh, sign in. The store is written before anybody sees the session. */
  readonly attempt: (flight: Flight, held: Session | undefined) => Effect.Effect<Outcome, AuthError>
  /**
   * Stores a session that could not be stored when it came, if it is still in hand. Where the store has moved on, tells
   * what takes its place.
   */
  readonly save: (session: Session, isHeld: () => boolean) => Effect.Effect<Outcome | undefined, AuthError>
  /** Ends the session in hand, and clears the store, and ends what was there. */
  readonly end: (inHand: ReadonlyArray<Session>) => Effect.Effect<SignOut>
} => {
  const store = reach.bound(unbounded)
  const inReach = reach.inReach(publish)
  const { came, expire, refreshOwn, refreshStored, signIn } = rungs.make({
    credentials,
    endpoint,
    publish,
    steady,
    store
  })

  /**
   * Ends what nobody will use any more and others could go on with, in the background. What was stored may be in the hands of
   * others, who serve it until they look again: where they find a successor then, it is left to them up to its last moment,
   * as the authority asks for an access token that has not ended.
   */
  const abandon = (sessions: ReadonlyArray<Session>, successor: Option.Option<Session>) =>
    Effect.flatMap(DateTime.now, (now) =>
      Effect.forEach(
        ofDifferentSignIns([...Option.toArray(successor), ...sessions]).slice(Option.isSome(successor) ? 1 : 0).filter(
          (session) => lives(now)(session) && isRefreshable(session, now)
        ),
        (session) => {
          const wait = Option.isSome(successor) ? Duration.toMillis(remaining(session, now)) - lastMoment : 0
          return background(Effect.andThen(sleepUntil(steady, steady() + wait), Effect.ignore(expire(session))))
        },
        { discard: true }
      ))

  // ---------------------------------------------------------------------------
  // What is known of the store
  // ---------------------------------------------------------------------------

  /** The generation that the store had when it was last looked at, or written. */
  let seen: number | undefined
  /** No two sessions that were ever in hand here are of the same generation. */
  let newest = 0
  /** What the store has up to this generation was signed out of here, and could not be cleared. */
  let outdated = 0
  /** The session in hand, while it is in hand only. */
  let unstored: Unstored | undefined
  /** The last that gave way to what was stored instead. */
  let overtaken: Session | undefined

  const look: Effect.Effect<Stored, AuthError> = Effect.tap(store.read, ({ generation }) =>
    Effect.sync(() => {
      seen = generation
      newest = Math.max(newest, generation)
      outdated = Math.min(outdated, generation)
    }))

  /** The newest session there is: that in hand, unless the store has moved on. One that has lost what it had has not. */
  const latestOf = (stored: Option.Option<Stored>, held: Session | undefined): Option.Option<Session> => {
    const isAhead = held === unstored?.session
      ? (seen ?? 0) <= (unstored?.base ?? 0)
      : (seen ?? 0) < (held?.generation ?? 0)
    if (held !== undefined && held !== overtaken && isAhead) return Option.some(held)
    return Option.flatMap(stored, sessionOf)
  }

  const sessionOf = ({ generation, session }: Stored): Option.Option<Session> =>
    generation <= outdated ? Option.none() : session

  /** What is in hand only is not stored any more, as there is something else. */
  const giveWay = (to: Option.Option<Session>): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (unstored === undefined) return Effect.void
      const { replaces, session } = unstored
      overtaken = session
      unstored = undefined
      return abandon([session, ...replaces], to)
    })

  /** Under the lease, where the store is as it was when the session was made. */
  const commit = (own: Unstored, { generation, session }: Stored, lease: Lease): Effect.Effect<boolean, AuthError> =>
    Effect.suspend(() => {
      own.mayBeStored = true
      return store.commit(own.session, generation, lease)
    }).pipe(
      Effect.tap((committed) => {
        own.mayBeStored = committed
        // What is no longer in hand is that of whoever has taken its place: a sign-out that has come amid the write ends it.
        if (!committed || unstored !== own) return Effect.void
        unstored = undefined
        outdated = 0
        seen = own.session.generation
        const before = Option.filter(session, (one) => !isSame(one, own.spent))
        return abandon([...own.replaces, ...Option.toArray(before)], Option.some(own.session))
      })
    )

  /** Waits while somebody else who shares the store exchanges: for the result, and not for the lease. */
  const turn = (flight: Flight, held: Session | undefined): Effect.Effect<Turn, AuthError, Scope.Scope> =>
    Effect.suspend(() => {
      let stored: Option.Option<Stored> = Option.none()
      return Effect.gen(function*(): Effect.fn.Return<Turn, AuthError, Scope.Scope> {
        let changed: Effect.Effect<void> | undefined
        for (let lease = Option.none<Lease>();;) {
          const read = yield* look
          stored = Option.some(read)
          // Where another has followed, the token that was just read may be on its way.
          lease = Option.filter(lease, ({ fence }) => fence === read.fence)
          flight.generation ??= read.generation
          const isOther = !flight.isForced || read.generation > flight.generation
          const latest = latestOf(stored, held)
          const now = yield* DateTime.now
          const renewed = Option.filter(latest, (session) => isOther && lives(now)(session) && !isSame(session, held))
          if (Option.isSome(lease) || Option.isSome(renewed) || !flight.isWanted()) {
            // A write that has not been done is refused from now on; that one has been, the generation tells.
            if (Option.isSome(lease) && unstored !== undefined) unstored.mayBeStored = false
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
    }).pipe(reach.bounded("lease", turnTimeout))

  // From the answer to the store nothing may come between: the refresh token before may be spent by then.
  const attempt = (flight: Flight, held: Session | undefined) =>
    Effect.scoped(
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*(): Effect.fn.Return<Outcome, AuthError, Scope.Scope> {
          const { error, lease, renewed, stored } = yield* restore(turn(flight, held))
          if (Option.isSome(renewed)) {
            yield* giveWay(renewed)
            return yield* came("Adopted", renewed.value)
          }
          if (!flight.isWanted()) return { _tag: "SignedOut" }

          const { unreadable } = Option.getOrElse(stored, (): Partial<Stored> => ({}))
          if (unreadable !== undefined) yield* publish(AuthEvent.StoreFailed({ error: unreadable }))
          const before = unstored
          const base = seen ?? 0
          const now = yield* DateTime.now
          const latest = latestOf(stored, held)
          const isOwn = before !== undefined && !before.mayBeStored && base <= before.base &&
            Option.contains(latest, before.session)
          // Without the lease somebody else may be spending the refresh token. Signing in takes nothing from anybody.
          const token = Option.filter(
            latest,
            (session) => (isOwn || lease !== undefined) && isRefreshable(session, now)
          )
          if (!isOwn && error !== undefined && !flight.isAwaited() && held !== undefined && lives(now)(held)) {
            return yield* error
          }
          if (isOwn) before.isBeingSpent = true
          const answer = yield* restore(Option.match(token, {
            // Whoever has nothing to sign in with needs the store.
            onNone: () =>
              Effect.mapError(signIn(flight, lease), (failure) => isOver(failure) ? error ?? failure : failure),
            onSome: (session) =>
              isOwn || lease === undefined
                ? refreshOwn(flight, session, lease)
                : refreshStored(flight, session, lease)
          })).pipe(Effect.ensuring(Effect.sync(() => {
            if (isOwn) before.isBeingSpent = false
          })))
          if (answer._tag === "Refused" || answer._tag === "SignedOut") return answer

          const session = new Session({
            ...answer.session,
            generation: newest = Math.max(newest, held?.generation ?? 0) + 1
          })
          if (!flight.isWanted()) return { _tag: "SignedOut", orphan: session }
          const isUnspent = answer._tag === "SignedIn" && !isOwn && lease?.isGap === true
          const spent = isUnspent ? undefined : Option.getOrUndefined(token)
          const replaced = [
            ...(before === undefined ? [] : [before.session, ...before.replaces]),
            ...(held?.generation === base ? [held] : [])
          ]
          const own: Unstored = {
            session,
            base,
            spent,
            mayBeStored: false,
            isBeingSpent: false,
            replaces: replaced.filter((one) => !isSame(one, spent))
          }
          unstored = own
          // What can't be stored is served all the same: it exists nowhere else. So is what was refused because of a lease
          // that was lost, as that says nothing.
          if (lease === undefined || Option.isNone(stored)) return { ...answer, session, isStored: false }
          const committed = yield* inReach(commit(own, stored.value, lease))
          if (!Option.contains(committed, false)) return { ...answer, session, isStored: Option.isSome(committed) }

          const winner = yield* inReach(look)
          if (Option.isNone(winner) || winner.value.generation <= base) return { ...answer, session, isStored: false }
          // Somebody was faster. A newer session is as good; without one, that was a sign-out, and it wins.
          const other = sessionOf(winner.value)
          const newer = Option.filter(other, lives(yield* DateTime.now))
          // Unless it is the one that was spent, and was stored late.
          if (Option.exists(newer, (one) => isSame(one, spent))) {
            const { generation } = winner.value
            unstored = { ...own, base: generation, session: new Session({ ...session, generation: ++newest }) }
            return { ...answer, session: unstored.session, isStored: false }
          }
          yield* giveWay(other)
          return Option.isSome(newer) ? yield* came("Adopted", newer.value) : { _tag: "SignedOut" }
        })
      )
    )

  const save = (session: Session, isHeld: () => boolean) =>
    Effect.scoped(Effect.gen(function*(): Effect.fn.Return<Outcome | undefined, AuthError, Scope.Scope> {
      const isDone = () => !isHeld() || unstored?.session !== session
      if (isDone()) return undefined
      const lease = Option.getOrUndefined(yield* store.lease)
      const stored = yield* look
      const now = yield* DateTime.now
      if (isDone() || unstored === undefined) return undefined
      if (lease === undefined || lease.fence !== stored.fence || unstored.isBeingSpent) return yield* busy
      if (stored.generation > unstored.base) {
        yield* giveWay(sessionOf(stored))
        const newer = Option.filter(sessionOf(stored), lives(now))
        return Option.isSome(newer) ? yield* came("Adopted", newer.value) : { _tag: "SignedOut" }
      }
      return (yield* commit(unstored, stored, lease)) ? undefined : yield* busy
    }))

  /** Adds what was there to what was found. */
  const clear = Effect.fnUntraced(function*(found: Array<Session>): Effect.fn.Return<void, AuthError> {
    for (let isCleared = false; !isCleared;) {
      const { generation, session } = yield* look
      found.push(...Option.toArray(session))
      isCleared = yield* store.clear(generation)
      if (!isCleared) continue
      seen = generation + 1
      newest = Math.max(newest, seen)
    }
  })

  const end = (inHand: ReadonlyArray<Session>) =>
    Effect.gen(function*() {
      const found = [...inHand, ...(unstored === undefined ? [] : [unstored.session, ...unstored.replaces])]
      // A write that is still on its way is signed out of, too.
      const late = unstored?.mayBeStored === true ? unstored.session.generation : 0
      unstored = undefined
      const cleared = yield* Effect.exit(clear(found))
      outdated = Exit.isFailure(cleared) ? Math.max(seen ?? Infinity, late) : 0
      const ended = yield* Effect.forEach(ofDifferentSignIns(found), (session) => Effect.exit(expire(session)))
      // The authority is told in any case; but a store that still has the session is no success.
      yield* Effect.all([...ended, cleared])
      return ended.length === 0 ? SignOut.NoSession() : SignOut.Expired()
    }).pipe(Effect.catch((error) => Effect.succeed(SignOut.Forgotten({ error }))))

  return { attempt, save, end }
}

const lives = (now: DateTime.Utc) => (session: Session): boolean => Duration.toMillis(remaining(session, now)) > 0

/** A session that is in hand, and not in the store as far as is known. */
interface Unstored {
  readonly session: Session
  /** The generation of the store that it was made from. Where it has another one since, it is not stored any more. */
  readonly base: number
  /** The session whose refresh token was spent for it, or refused. */
  readonly spent: Session | undefined
  /** Sessions that nobody uses any more as soon as this one is stored. */
  readonly replaces: ReadonlyArray<Session>
  /** A write of it is on its way, or has failed and may be done all the same: others may have its refresh token. */
  mayBeStored: boolean
  /** Its refresh token is on its way to the authority, without the lease. */
  isBeingSpent: boolean
}

const isSame = (one: Session, other: Session | undefined): boolean => Equal.equals(one.accessToken, other?.accessToken)

/**
 * Whether two sessions end together, as the authority ends all that has come of a sign-in. Tokens that were renewed say
 * when that was. Where two sign-ins were in the same second, the one that should be ended is left to end by itself.
 */
const isOfOneSignIn = (one: Session, other: Session): boolean =>
  DateTime.Equivalence(one.authenticatedAt, other.authenticatedAt) ||
  one.refreshToken !== undefined && Equal.equals(one.refreshToken, other.refreshToken)

const ofDifferentSignIns = (sessions: ReadonlyArray<Session>): ReadonlyArray<Session> =>
  sessions.filter((session, i) => !sessions.slice(0, i).some((earlier) => isOfOneSignIn(earlier, session)))

/** Somebody else has the lease, or the session is just being renewed. */
const busy = Effect.fail(new AuthError({ reason: new StoreFailure({ operation: "lease" }) }))
