import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Random from "effect/Random"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Reason } from "../AuthError.ts"
import { AuthError, CredentialsRejected, SessionExpired, Unavailable } from "../AuthError.ts"
import { AuthEvent, SignOut } from "../AuthEvent.ts"
import * as Credentials from "../Credentials.ts"
import type { RefreshPolicy } from "../RefreshPolicy.ts"
import type { Session } from "../Session.ts"
import { SessionStore } from "../SessionStore.ts"
import type { Served, TenovosAuth } from "../TenovosAuth.ts"
import { TokenEndpoint } from "../TokenEndpoint.ts"
import * as exchange from "./exchange.ts"
import * as flights from "./flight.ts"
import * as machine from "./machine.ts"
import * as metrics from "./metrics.ts"
import * as notice from "./notice.ts"
import type { Outcome } from "./rungs.ts"
import { headersOf, isWithin, outcomeOf, servedFrom, toMachine, trust, type Trusted, view } from "./served.ts"
import * as signal from "./signal.ts"
import { makeSteady, sleepUntil } from "./steady.ts"

/** All that the keeper remembers. The life of the session is the machine's; the rest is how to reach who waits. */
interface Memory {
  readonly life: machine.State
  readonly flight: flights.Flight | undefined
  readonly signOut: Deferred.Deferred<SignOut, AuthError> | undefined
}

/** Rests between exchanges that failed for good, or by a schedule without delays: from the first to the last. */
const leastRest = 1000
const mostRest = 30_000
/** An authority may ask for more, but for how much is not its to say. */
const longestRest = 3_600_000

/** Attempts to write what the store did not take, until it does. */
const saving = Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("5 minutes")]).pipe(Schedule.jittered)

export const make = Effect.fnUntraced(function*(
  credentials: Credentials.Credentials,
  policy: RefreshPolicy
): Effect.fn.Return<TenovosAuth["Service"], never, TokenEndpoint | SessionStore | Scope.Scope> {
  const endpoint = yield* TokenEndpoint
  const store = yield* SessionStore
  const scope = yield* Effect.scope
  const context = yield* Effect.context<never>()
  const clock = yield* Clock.Clock
  const steady = makeSteady(clock)
  const events = signal.make<AuthEvent>()
  const changes = signal.make<machine.State>()

  const unsendable = Option.getOrUndefined(
    Option.map(Credentials.defect(credentials), (message) => errorOf(new CredentialsRejected({ message })))
  )
  const memory = yield* Ref.make<Memory>({ life: machine.initial(unsendable), flight: undefined, signOut: undefined })

  // The way of most callers: in a span of at most a second, for which all has been looked at, nothing is to be decided.
  let trusted: Trusted | undefined

  const publish = (event: AuthEvent) => Effect.sync(() => events.send(event))
  /** Runs in the layer's scope and context, and not in those of who caused it. */
  const background = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.forkIn(Effect.updateContext<A, E, never, never>(effect, () => context), scope, { startImmediately: true })
  const noticeRefreshToken = notice.make(publish)
  const exchanges = exchange.make({ background, credentials, endpoint, publish, steady, store })
  const isWanted = () => Ref.getUnsafe(memory).life.phase._tag === "Renewing"

  /** Changes what is remembered, at once, and tells who watches. */
  const change = <A>(f: (memory: Memory) => readonly [A, Memory]): Effect.Effect<A> =>
    Effect.flatten(Ref.modify(memory, (before) => {
      trusted = undefined
      const [result, after] = f(before)
      const told = after.life === before.life ? Effect.void : Effect.sync(() => changes.send(after.life))
      return [Effect.as(told, result), after]
    }))

  const transition = (f: (state: machine.State) => machine.State): Effect.Effect<void> =>
    change((memory) => [undefined, { ...memory, life: f(memory.life) }])

  /** The exchange is over; who it was for is forgotten with it. */
  const conclude = (f: (state: machine.State) => machine.State): Effect.Effect<void> =>
    change((memory) => [undefined, { ...memory, life: f(memory.life), flight: undefined }])

  // ---------------------------------------------------------------------------
  // Serving
  // ---------------------------------------------------------------------------

  const serve = (demand: machine.Demand): Effect.Effect<Served, AuthError> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(
        change((before) => {
          const now = steady()
          const decision = machine.decide(before.life, now, demand)
          if ("start" in decision && decision.start) {
            const flight = flights.make(isWanted, {
              isDemanded: decision._tag === "Wait",
              isForced: demand.force === true
            })
            const started = { ...before, life: machine.started(before.life), flight }
            return [{ decision, memory: started, launched: launch(flight, before.life.held) }, started] as const
          }
          if (decision._tag === "Serve" && decision.reason === "Cached" && demand.minimumLife === undefined) {
            trusted = trust(decision.held, clock.currentTimeMillisUnsafe(), now)
          }
          return [{ decision, memory: before, launched: Effect.void }, before] as const
        }),
        ({ decision, launched, memory: { flight, signOut } }) => {
          switch (decision._tag) {
            case "Serve":
              return launched.pipe(
                Effect.andThen(decision.reason === "Stale" ? Metric.update(metrics.staleServed, 1) : Effect.void),
                Effect.as(servedFrom(decision.held, decision.reason))
              )
            case "Wait":
              return Effect.andThen(
                launched,
                flight === undefined
                  ? serve(demand)
                  : Effect.filterOrElse(
                    wait(flight, decision, restore),
                    (served) => isEnough(served, demand, flight),
                    () => restore(serve(demand))
                  )
              )
            case "WaitForSignOut":
              return restore(
                Effect.andThen(signOut === undefined ? Effect.void : Deferred.await(signOut), serve(demand))
              )
            case "Fail":
              return Effect.fail(decision.error)
          }
        }
      )
    )

  const wait = (
    flight: flights.Flight,
    { orTrouble }: { readonly orTrouble: boolean },
    restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ): Effect.Effect<Served, AuthError> =>
    Effect.useSpan("TenovosAuth.session", (span) => {
      flights.link(flight, span)
      return Effect.onExit(restore(Deferred.await(orTrouble ? flight.trouble : flight.end)), (exit) =>
        Effect.sync(() => span.attribute("tenovos.auth.served", outcomeOf(exit))))
    })

  /** What was found in the store may be near its end, or have been there before, and not be what this caller needs. */
  const isEnough = ({ reason, session }: Served, demand: machine.Demand, { isForced }: flights.Flight): boolean => {
    const { held } = Ref.getUnsafe(memory).life
    return reason !== "Adopted" || (isForced || demand.force !== true) &&
        held?.session === session && machine.suffices(held, steady(), demand)
  }

  const session = Effect.suspend(() =>
    trusted !== undefined && isWithin(trusted, clock.currentTimeMillisUnsafe())
      ? trusted.session
      : Effect.map(serve({}), ({ session }) => session)
  )

  const current = (): Session | undefined => {
    const wall = clock.currentTimeMillisUnsafe()
    if (trusted !== undefined && isWithin(trusted, wall)) return trusted.value
    const now = steady()
    const decision = machine.decide(Ref.getUnsafe(memory).life, now, {})
    if (decision._tag !== "Serve" || decision.start) return undefined
    if (decision.reason === "Cached") trusted = trust(decision.held, wall, now)
    return decision.held.session
  }

  const headers = Effect.suspend(() =>
    trusted !== undefined && isWithin(trusted, clock.currentTimeMillisUnsafe())
      ? trusted.headers
      : Effect.map(serve({}), ({ headers }) => headers)
  )

  // ---------------------------------------------------------------------------
  // Exchanging
  // ---------------------------------------------------------------------------

  const launch = (flight: flights.Flight, held: machine.Held | undefined) =>
    renew(flight, held).pipe(
      Effect.onExit((exit) => settle(flight, exit)),
      background,
      // An observer also hears of a fiber that a closed scope never let begin.
      Effect.map((fiber) =>
        fiber.addObserver(() => {
          flights.answer(flight, over)
          Deferred.doneUnsafe(flight.landed, Effect.undefined)
        })
      )
    )

  /** Attempts, as often as the policy says. Whatever it says, what was refused is not tried again. */
  const renew = Effect.fnUntraced(function*(
    flight: flights.Flight,
    held: machine.Held | undefined
  ): Effect.fn.Return<Outcome, AuthError> {
    const pause = yield* Schedule.toStepWithSleep(policy.retry)
    for (let attempt = 1;; attempt++) {
      const exit = yield* Effect.exit(exchanges.attempt(flight, held?.session))
      const error = Option.getOrUndefined(Exit.findErrorOption(exit))
      if (error === undefined) return yield* exit
      yield* publish(AuthEvent.RefreshFailed({ error, attempt }))
      yield* trouble(flight)
      if (!error.retryable || !flight.isWanted()) return yield* exit
      yield* Pull.catchDone(pause(error), () => exit).pipe(Effect.raceFirst(Deferred.await(flight.calledOff)))
      if (!flight.isWanted()) return yield* exit
    }
  })

  /** An attempt has failed: who can do with the session at hand need not wait any longer. */
  const trouble = (flight: flights.Flight) =>
    Effect.andThen(
      transition(machine.troubled),
      Effect.suspend(() => {
        const { held } = Ref.getUnsafe(memory).life
        return held === undefined || steady() >= held.expiresAt
          ? Effect.void
          : Deferred.succeed(flight.trouble, servedFrom(held, "Stale"))
      })
    )

  /** The exchange has ended. What it brought is remembered before anybody hears of it. */
  const settle = Effect.fnUntraced(function*(flight: flights.Flight, exit: Exit.Exit<Outcome, AuthError>) {
    const outcome = Exit.isSuccess(exit) ? exit.value : undefined
    yield* Metric.update(metrics.waiters, flight.waiting.length)
    switch (outcome?._tag) {
      case "Adopted":
      case "Refreshed":
      case "SignedIn": {
        failures = 0
        const held = yield* take(outcome.session, outcome.expiresAt)
        yield* conclude((state) => machine.renewed(state, held))
        yield* publish(AuthEvent[outcome._tag]({ session: outcome.session }))
        if (!outcome.isStored) yield* saveLater(outcome.session)
        yield* noticeRefreshToken(outcome.session)
        return flights.answer(flight, Effect.succeed(servedFrom(held, outcome._tag)))
      }
      case "Refused": {
        yield* trouble(flight)
        const error = errorOf(new CredentialsRejected({ message: outcome.error.reason.message }))
        // What others have noted may be over, or be followed by a session, when it is looked at again.
        yield* conclude((state) =>
          outcome.isTold ? machine.failed(state, steady() + mostRest, error) : machine.rejected(state, error)
        )
        yield* publish(AuthEvent.CredentialsRejected({ error }))
        return flights.answer(flight, Effect.fail(outcome.error))
      }
      case "SignedOut": {
        yield* conclude(machine.signedOutElsewhere)
        Deferred.doneUnsafe(flight.landed, Effect.succeed(outcome.orphan))
        return flights.answer(flight, over)
      }
      case undefined: {
        const defect = Exit.isFailure(exit) && Cause.hasDies(exit.cause) ? Cause.squash(exit.cause) : undefined
        const error = defect === undefined
          ? Option.getOrElse(Exit.findErrorOption(exit), () => errorOf(new SessionExpired()))
          : new AuthError({ reason: new Unavailable({ problem: "Transport" }), cause: defect })
        const until = steady() + rest(error)
        yield* conclude((state) => machine.failed(state, until, error))
        // A bug is told as such to those who wait; who comes later is told that it does not work at present.
        return flights.answer(flight, defect === undefined ? Effect.fail(error) : Effect.die(defect))
      }
    }
  })

  /** While it is not in the store, a process that ends loses it. Where the store has moved on, it gives way. */
  const saveLater = (session: Session) =>
    exchanges.save(session, () => Ref.getUnsafe(memory).life.held?.session === session).pipe(
      Effect.delay(leastRest),
      Effect.retry(saving),
      Effect.flatMap(Effect.fnUntraced(function*(outcome) {
        if (outcome === undefined) return
        const held = outcome._tag === "Adopted" ? yield* take(outcome.session, outcome.expiresAt) : undefined
        yield* transition((state) => machine.replaced(state, session, held))
        if (held !== undefined) yield* publish(AuthEvent.Adopted({ session: held.session }))
      })),
      background
    )

  let failures = 0

  /** How long nothing is tried after the schedule has given up: twice as long each time, and as the authority asks. */
  const rest = ({ reason }: AuthError): number => {
    const retryAfter = "retryAfter" in reason && reason.retryAfter !== undefined
      ? Duration.toMillis(reason.retryAfter)
      : 0
    return Math.max(Math.min(retryAfter, longestRest), Math.min(mostRest, leastRest * 2 ** failures++))
  }

  /** A session comes into hand: from now on its life is counted in steady time. */
  const take = Effect.fnUntraced(function*(session: Session, expiresAt: number) {
    const now = steady()
    const life = expiresAt - now
    yield* Metric.update(metrics.secondsToExpiry, life / 1000)
    return machine.hold(
      { session, headers: headersOf(session, credentials) },
      { now, life, policy, random: yield* Random.next }
    )
  })

  // ---------------------------------------------------------------------------
  // Ending
  // ---------------------------------------------------------------------------

  const invalidate = (session: Session): Effect.Effect<void> =>
    Effect.flatMap(
      change((before) => {
        const life = machine.invalidated(before.life, session, steady())
        return [life !== before.life, { ...before, life }]
      }),
      (changed) => changed ? publish(AuthEvent.Invalidated({ session })) : Effect.void
    )

  const signOut: Effect.Effect<SignOut, AuthError> = Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      change((before): readonly [SignOutPlan, Memory] => {
        if (before.signOut !== undefined) return [{ done: before.signOut, ends: undefined }, before]
        const done = Deferred.makeUnsafe<SignOut, AuthError>()
        return [{ done, ends: before }, { ...before, life: machine.signingOut(before.life), signOut: done }]
      }),
      ({ done, ends }) =>
        Effect.andThen(ends === undefined ? Effect.void : launchSignOut(ends, done), restore(Deferred.await(done)))
    )
  ).pipe(Effect.withSpan("TenovosAuth.signOut"))

  /** In the layer's scope, as an exchange: whoever gives up does not leave a session half ended. */
  const launchSignOut = ({ flight, life }: Memory, done: Deferred.Deferred<SignOut, AuthError>) =>
    endSession(flight, life.held?.session).pipe(
      Effect.onExit((exit) =>
        change((memory) => [undefined, { ...memory, life: machine.signedOut(memory.life), signOut: undefined }]).pipe(
          Effect.andThen(Exit.isSuccess(exit) ? publish(AuthEvent.SignedOut({ outcome: exit.value })) : Effect.void)
        )
      ),
      background,
      Effect.map((fiber) => fiber.addObserver((exit) => Deferred.doneUnsafe(done, Exit.isSuccess(exit) ? exit : over)))
    )

  const endSession = Effect.fnUntraced(function*(flight: flights.Flight | undefined, session: Session | undefined) {
    const inHand = session === undefined ? [] : [session]
    if (flight === undefined) return yield* exchanges.end(inHand)
    flights.answer(flight, over)
    Deferred.doneUnsafe(flight.calledOff, Effect.void)
    // What is on its way can't be called back. Its session, if it brings one, is the newest.
    const orphan = yield* Deferred.await(flight.landed)
    return yield* exchanges.end([...(orphan === undefined ? [] : [orphan]), ...inHand])
  })

  // ---------------------------------------------------------------------------
  // Keeping fresh
  // ---------------------------------------------------------------------------

  /** Asks for a session when its advisory window begins; as others would, but in time. */
  const keepFresh = Effect.forever(Effect.suspend(() => {
    const { life } = Ref.getUnsafe(memory)
    const due = machine.dueAt(life)
    const changed = signal.next(changes, () => Ref.getUnsafe(memory).life !== life)
    return due === undefined
      ? changed
      : Effect.raceFirst(Effect.andThen(sleepUntil(steady, due), Effect.exit(serve({}))), changed)
  }))

  if (policy.keepFresh) yield* Effect.forkScoped(keepFresh)

  return {
    session,
    sessionWith: (demand) => Effect.map(serve(toMachine(demand)), ({ session }) => session),
    serve: (demand) => serve(toMachine(demand ?? {})),
    current,
    accessToken: Effect.map(session, ({ accessToken }) => accessToken),
    headers,
    invalidate,
    signOut,
    state: Effect.map(Ref.get(memory), ({ life }) => view(life)),
    changes: Stream.map(signal.toStream(changes, () => Ref.getUnsafe(memory).life), view),
    events: signal.toStream(events)
  }
})

const errorOf = (reason: Reason): AuthError => new AuthError({ reason })

/** What those get who still wait when the layer closes, or when somebody signs out. */
const over = Effect.fail(errorOf(new SessionExpired()))

interface SignOutPlan {
  readonly done: Deferred.Deferred<SignOut, AuthError>
  /** What was remembered when the sign-out began; nothing for one that joins it. */
  readonly ends: Memory | undefined
}
