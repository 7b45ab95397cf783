import { Credentials, Session, type SessionStore } from "@effect-tenovos/core"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

// What the laws of a store are put in terms of.

export type Store = SessionStore.SessionStore["Service"]

/** Fails with what was seen, unless it holds. */
export type Expect<E> = (holds: boolean, seen: string) => Effect.Effect<void, E>

/** But for the clock offset: a place with a clock of its own sets it for who reads. */
const isSame = (one: Option.Option<Session.Session>, other: Option.Option<Session.Session>): boolean =>
  Equal.equals(Option.map(one, withoutOffset), Option.map(other, withoutOffset))

const withoutOffset = (session: Session.Session): Session.Session =>
  new Session.Session({ ...session, clockOffset: Duration.zero })

/** Fails unless the store holds just this. */
export const expectStored = <E>(
  expect: Expect<E>,
  store: Store,
  generation: number,
  session: Option.Option<Session.Session>
) =>
  Effect.flatMap(store.read, (stored) =>
    expect(
      stored.generation === generation && isSame(stored.session, session),
      `generation ${stored.generation} with ${
        Option.isNone(stored.session)
          ? "no session"
          : isSame(stored.session, session)
          ? "the session"
          : "another session"
      } was read, instead of ${generation} with ${Option.isNone(session) ? "none" : "the one that was committed"}`
    ))

export const minimal = (generation: number, accessToken = `access-${generation}`) =>
  new Session.Session({
    endpointUrl: "https://api.example/v1",
    accessToken: Redacted.make(accessToken),
    issuedAt: DateTime.makeUnsafe(0),
    expiresAt: DateTime.makeUnsafe(3_600_000),
    authenticatedAt: DateTime.makeUnsafe(0),
    clockOffset: Duration.zero,
    generation
  })

/** With characters that a database, a file or a format could stumble over. */
export const full = (generation: number) =>
  new Session.Session({
    endpointUrl: "https://api.example/v1?a='b'&c=\"d\"",
    accessToken: Redacted.make("a".repeat(4096)),
    idToken: Redacted.make("id.\u0000.\r\n\\n\\u0000"),
    refreshToken: Redacted.make("\ud800 lone, \ufeff, \u2028, 🗝️"),
    issuedAt: DateTime.makeUnsafe(1),
    expiresAt: DateTime.makeUnsafe(4_102_444_800_000),
    authenticatedAt: DateTime.makeUnsafe(-1),
    clockOffset: Duration.millis(-7),
    generation,
    username: "",
    clientId: "';--",
    userPoolId: "%s {0} $1 ${x}",
    subject: "\t",
    email: "žluťoučký@kůň.example"
  })

export const ada = Credentials.make({ apiKey: Redacted.make("key"), username: "ada", password: Redacted.make("wrong") })

/** The lease, given back at once. */
export const leaseOnce = (store: Store) => Effect.scoped(store.lease)

/** The lease, which nothing can hinder from being given. */
export const given = <A, E, E1, R>(
  expect: Expect<E>,
  lease: Effect.Effect<Option.Option<A>, E1, R>,
  whom = ""
): Effect.Effect<A, E | E1, R> =>
  Effect.flatMap(lease, (lease) =>
    Option.match(lease, {
      onNone: () => Effect.andThen(expect(false, `the lease was not given ${whom}`.trimEnd()), Effect.never),
      onSome: Effect.succeed
    }))

interface Timed {
  readonly elapse?: ((duration: Duration.Duration) => Effect.Effect<void>) | undefined
}

export const elapse = ({ elapse = Effect.sleep }: Timed, duration: Duration.Duration): Effect.Effect<void> =>
  elapse(duration)

/** Lets time pass until the effect is done, but no more than so much. */
export const within = <A, E, R>(
  place: Timed,
  effect: Effect.Effect<A, E, R>,
  duration: Duration.Duration = Duration.seconds(5)
): Effect.Effect<Option.Option<A>, E, R> =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    for (let left = Duration.toMillis(duration); left > 0 && fiber.pollUnsafe() === undefined; left -= 25) {
      yield* elapse(place, Duration.millis(25))
    }
    if (fiber.pollUnsafe() !== undefined) return Option.some(yield* Fiber.join(fiber))
    yield* Fiber.interrupt(fiber)
    return Option.none()
  })

/** As a process does it that is stopped after it: nothing in it that waits goes on. */
export const paused = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    Clock.Clock,
    (clock) =>
      Effect.provideService(effect, Clock.Clock, Object.create(clock, { sleep: { value: () => Effect.never } }))
  )

/** With a clock that is so much ahead. */
export const later =
  (duration: Duration.Duration) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Clock.Clock, (clock) => {
      const now = () => clock.currentTimeMillisUnsafe() + Duration.toMillis(duration)
      return Effect.provideService(
        effect,
        Clock.Clock,
        Object.create(clock, {
          currentTimeMillisUnsafe: { value: now },
          currentTimeMillis: { value: Effect.sync(now) }
        })
      )
    })
