/**
 * What every session store must do, as checks that a test runner can run one by one.
 *
 * A law is checked on a place of its own, which is empty at first and can be opened any number of times: each handle stands
 * for another process that shares the place. A law that does not hold fails with {@link LawBroken}.
 *
 * The module is long because it is a list: no law needs another, and who reads one reads no more than that.
 *
 * @since 0.1.0
 */
import type { AuthError, SessionStore } from "@effect-tenovos/core"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import {
  ada,
  elapse,
  type Expect,
  expectStored,
  full,
  given,
  later,
  leaseOnce,
  minimal,
  paused,
  type Store,
  within
} from "./internal/trial.ts"

/**
 * Where stores under test keep a session.
 *
 * @category models
 * @since 0.1.0
 */
export interface Place<E = never> {
  /** Another handle on the same place, until the scope closes. */
  readonly open: Effect.Effect<Store, E, Scope.Scope>
  /**
   * Lets time pass for the store. Defaults to `Effect.sleep`, for tests with a real clock; `TestClock.adjust` is for a store
   * that waits for nothing but the clock.
   */
  readonly elapse?: ((duration: Duration.Duration) => Effect.Effect<void>) | undefined
}

/**
 * A place whose leases end by themselves when their holder is gone.
 *
 * @category models
 * @since 0.1.0
 */
export interface LeasedPlace<E = never> extends Place<E> {
  /** How long a lease of this place lasts whose holder is gone. A second or two, where time is real. */
  readonly leaseLife: Duration.Input
}

/**
 * One thing that a store must do, by its name.
 *
 * @category models
 * @since 0.1.0
 */
export interface Law<P extends Place<unknown> = Place<unknown>> {
  /** The title of a test. */
  readonly name: string
  readonly check: <E>(place: P & Place<E>) => Effect.Effect<void, LawBroken | AuthError.AuthError | E>
}

/**
 * Says which law was broken, and what was seen instead.
 *
 * @category errors
 * @since 0.1.0
 */
export class LawBroken extends Schema.TaggedError<LawBroken>("@effect-tenovos/testing/SessionStoreLaws/LawBroken")(
  "LawBroken",
  { law: Schema.String, seen: Schema.String }
) {
  override get message(): string {
    return `A session store ${this.law}: ${this.seen}`
  }
}

const makeLaw = <P extends Place<unknown>>(
  name: string,
  check: <E>(
    place: P & Place<E>,
    expect: Expect<LawBroken>
  ) => Effect.Effect<void, LawBroken | AuthError.AuthError | E, Scope.Scope>
): Law<P> => ({
  name,
  check: (place) =>
    Effect.scoped(
      check(place, (holds, seen) => holds ? Effect.void : Effect.fail(new LawBroken({ law: name, seen })))
    )
})

/**
 * What holds for every store.
 *
 * @category laws
 * @since 0.1.0
 */
export const laws: ReadonlyArray<Law> = [
  makeLaw("holds nothing at first", (place, expect) =>
    Effect.gen(function*() {
      yield* expectStored(expect, yield* place.open, 0, Option.none())
    })),

  makeLaw("keeps all that a session has, to the character", (place, expect) =>
    Effect.gen(function*() {
      const [store, other] = [yield* place.open, yield* place.open]
      for (const session of [full(1), minimal(2), full(2 ** 40)]) {
        const { generation } = yield* store.read
        yield* expect(
          yield* store.commit(session, generation),
          `the commit of ${session.generation} after ${generation} was refused`
        )
        yield* expectStored(expect, store, session.generation, Option.some(session))
        yield* expectStored(expect, other, session.generation, Option.some(session))
      }
    })),

  makeLaw("refuses a commit that was overtaken, and one that goes back", (place, expect) =>
    Effect.gen(function*() {
      const [store, other] = [yield* place.open, yield* place.open]
      yield* expect(!(yield* store.commit(minimal(2), 1)), "a commit after 1 was taken by an empty store")
      yield* expect(yield* store.commit(minimal(2), 0), "a commit after 0 was refused by an empty store")
      yield* expect(!(yield* other.commit(minimal(3), 0)), "a commit after 0 was taken when 2 was stored")
      yield* expect(!(yield* other.commit(minimal(4), 3)), "a commit after 3 was taken when 2 was stored")
      yield* expect(!(yield* other.commit(minimal(2), 2)), "a commit of 2 after 2 was taken")
      yield* expect(!(yield* other.commit(minimal(1), 2)), "a commit of 1 after 2 was taken")
      yield* expectStored(expect, store, 2, Option.some(minimal(2)))
    })),

  makeLaw(
    "forgets the session of the generation that is named, and takes none that comes too late",
    (place, expect) =>
      Effect.gen(function*() {
        const [store, other] = [yield* place.open, yield* place.open]
        yield* store.commit(minimal(1), 0)
        yield* store.commit(minimal(3), 1)
        yield* expect(!(yield* other.clear(1)), "1 was cleared when 3 was stored")
        yield* expect(!(yield* other.clear(4)), "4 was cleared when 3 was stored")
        yield* expectStored(expect, store, 3, Option.some(minimal(3)))

        yield* expect(yield* other.clear(3), "3 was not cleared when it was stored")
        yield* expectStored(expect, store, 4, Option.none())
        yield* expect(!(yield* store.commit(minimal(5), 3)), "a commit after 3 was taken when 3 had been cleared")
        yield* expect(yield* store.commit(minimal(5), 4), "a commit after 4 was refused when 3 had been cleared")
        yield* expectStored(expect, other, 5, Option.some(minimal(5)))
      })
  ),

  makeLaw(
    "can be cleared when it is empty, so that a sign-out wins over the first sign-in",
    (place, expect) =>
      Effect.gen(function*() {
        const [store, other] = [yield* place.open, yield* place.open]
        yield* expect(yield* store.clear(0), "0 was not cleared")
        yield* expect(!(yield* other.commit(minimal(1), 0)), "a commit after 0 was taken when 0 had been cleared")
        yield* expectStored(expect, other, 1, Option.none())
      })
  ),

  makeLaw("takes one of many writes that expect the same", (place, expect) =>
    Effect.gen(function*() {
      const stores = yield* Effect.replicateEffect(place.open, 8)
      for (let round = 0; round < 10; round++) {
        const generation = round * 2
        const sessions = stores.map((_, i) => minimal(generation + 2, `access-${round}-${i}`))
        const taken = yield* Effect.forEach(
          stores,
          (store, i) =>
            i === 7 ? store.clear(generation) : store.commit(sessions[i] ?? minimal(generation + 2), generation),
          { concurrency: "unbounded" }
        )
        const winners = taken.flatMap((isTaken, i) => isTaken ? [i] : [])
        yield* expect(winners.length === 1, `${winners.length} of 8 writes that expected ${generation} were taken`)
        const [first = yield* place.open] = stores
        if (winners[0] === 7) {
          yield* expectStored(expect, first, generation + 1, Option.none())
          yield* first.commit(minimal(generation + 2), generation + 1)
        } else {
          yield* expectStored(expect, first, generation + 2, Option.fromUndefinedOr(sessions[winners[0] ?? 0]))
        }
      }
    })),

  makeLaw("gives its lease to one at a time", (place, expect) =>
    Effect.gen(function*() {
      const stores = yield* Effect.replicateEffect(place.open, 8)
      for (let round = 0; round < 10; round++) {
        const scope = yield* Scope.fork(yield* Effect.scope)
        const leases = yield* Effect.forEach(stores, (store) => Scope.provide(store.lease, scope), {
          concurrency: "unbounded"
        })
        const holders = leases.filter(Option.isSome).length
        yield* expect(holders === 1, `${holders} of 8 had the lease in round ${round}`)
        yield* expect(Option.isNone(yield* leaseOnce(yield* place.open)), "a handle opened later had the lease too")
        yield* Scope.close(scope, Exit.void)
      }
    })),

  makeLaw(
    "has its lease back when the holder's scope closes, or the holder is interrupted",
    (place, expect) =>
      Effect.gen(function*() {
        const [store, other] = [yield* place.open, yield* place.open]
        yield* expect(Option.isSome(yield* leaseOnce(store)), "nobody had the lease, and it was not given")
        yield* expect(Option.isSome(yield* leaseOnce(other)), "the lease was not given after a scope was closed")

        const answer = yield* Deferred.make<Option.Option<SessionStore.Lease>>()
        const holder = yield* store.lease.pipe(
          Effect.flatMap((lease) => Deferred.succeed(answer, lease)),
          Effect.andThen(Effect.never),
          Effect.scoped,
          Effect.forkScoped
        )
        yield* given(expect, Deferred.await(answer))
        yield* expect(Option.isNone(yield* leaseOnce(other)), "another had the lease too")
        yield* Fiber.interrupt(holder)
        yield* expect(Option.isSome(yield* leaseOnce(other)), "it was not given after its holder was interrupted")
      })
  ),

  makeLaw(
    "gives each lease a higher fence, also when it was closed meanwhile",
    (place, expect) =>
      Effect.gen(function*() {
        let last = -Infinity
        for (let i = 0; i < 5; i++) {
          yield* Effect.scoped(Effect.gen(function*() {
            for (const store of [yield* place.open, yield* place.open]) {
              const { fence } = yield* given(expect, leaseOnce(store))
              yield* expect(fence > last, `fence ${fence} came after ${last}`)
              last = fence
              // A record may be the last, or none, when the next is given.
              if (i === 2) yield* Effect.flatMap(store.read, ({ generation }) => store.clear(generation))
            }
          }))
        }
      })
  ),

  makeLaw(
    "tells who has the next lease of a gap that was left open, until a session is written",
    (place, expect) =>
      Effect.gen(function*() {
        const [store, other] = [yield* place.open, yield* place.open]
        const isGap = (expected: boolean, what: string) =>
          Effect.flatMap(
            given(expect, leaseOnce(other)),
            (lease) => expect(lease.isGap === expected, `there was ${expected ? "no" : "a"} gap ${what}`)
          )
        const left = Effect.scoped(Effect.flatMap(given(expect, store.lease), ({ leaveGap }) => leaveGap))

        yield* store.commit(minimal(1), 0)
        yield* leaseOnce(store)
        yield* isGap(false, "after a lease that was given back")
        yield* left
        yield* isGap(true, "after a lease that left one")
        yield* isGap(true, "after another that found one and wrote nothing")
        yield* store.commit(minimal(2), 1)
        yield* isGap(false, "after a commit")
        yield* left
        yield* store.clear(2)
        yield* isGap(false, "after a sign-out")
        yield* Effect.scoped(Effect.gen(function*() {
          const lease = yield* given(expect, store.lease)
          yield* lease.leaveGap
          yield* expect(yield* store.commit(minimal(4), 3, lease), "a commit of the holder was refused")
        }))
        yield* isGap(false, "after a commit under the lease that would have left one")
      })
  ),

  makeLaw(
    "refuses what comes under a lease that another has followed, and tells its holder",
    (place, expect) =>
      Effect.gen(function*() {
        const [store, other] = [yield* place.open, yield* place.open]
        const isLatest = ({ fence }: SessionStore.Lease, expected: boolean) =>
          Effect.flatMap(store.read, (stored) =>
            expect(
              (stored.fence === fence) === expected,
              `the fence ${stored.fence} was read when ${fence} was ${expected ? "" : "not "}that of the latest lease`
            ))
        const first = yield* given(expect, leaseOnce(store))
        yield* isLatest(first, true)
        yield* expect(
          yield* store.commit(minimal(1), 0, first),
          "a commit was refused under a lease that was given back, and not to another"
        )
        const second = yield* given(expect, other.lease)
        yield* isLatest(first, false)
        yield* isLatest(second, true)
        yield* expect(!(yield* store.commit(minimal(2), 1, first)), "a commit was taken from the overtaken holder")
        yield* expect(!(yield* other.commit(minimal(2), 1, first)), "a commit was taken by the other handle")
        yield* Effect.ignore(store.refuse(ada, "refused", first))
        yield* expect(Option.isNone(yield* other.refusal(ada)), "refused credentials of the overtaken holder were kept")
        yield* expectStored(expect, store, 1, Option.some(minimal(1)))

        yield* expect(yield* store.commit(minimal(2), 1), "a commit without a lease was refused")
        yield* expect(yield* other.commit(minimal(3), 2, second), "a commit of the holder was refused")
      })
  ),

  makeLaw(
    "wakes who listens when a session is committed, or forgotten, or the lease given back",
    (place, expect) =>
      Effect.gen(function*() {
        const [store, other] = [yield* place.open, yield* place.open]
        const isAt = (generation: number) => Effect.map(other.read, (stored) => stored.generation === generation)
        const scope = yield* Scope.fork(yield* Effect.scope)
        yield* given(expect, Scope.provide(store.lease, scope))
        const changes = [
          ["a session was committed", store.commit(minimal(1), 0), isAt(1)],
          ["another session was committed", store.commit(minimal(2), 1), isAt(2)],
          ["the session was forgotten", store.clear(2), isAt(3)],
          ["the lease was given back", Scope.close(scope, Exit.void), Effect.map(leaseOnce(other), Option.isSome)]
        ] as const
        for (const [what, change, isVisible] of changes) {
          yield* Effect.scoped(Effect.gen(function*() {
            const changed = yield* other.listen
            const fromThen = yield* other.listen
            yield* Effect.forkScoped(Effect.andThen(elapse(place, Duration.millis(40)), change))
            const seen = Effect.gen(function*() {
              while (!(yield* isVisible)) yield* changed
            })
            yield* expect(Option.isSome(yield* within(place, seen)), `who waited was not woken when ${what}`)
            yield* expect(
              Option.isSome(yield* within(place, fromThen)),
              `who listened, and began to wait later, was not woken when ${what}`
            )
          }))
        }
      })
  ),

  makeLaw(
    "knows for an hour which credentials were refused, and forgets the session",
    (place, expect) =>
      Effect.gen(function*() {
        const [store, other] = [yield* place.open, yield* place.open]
        yield* store.commit(minimal(1), 0)
        const lease = yield* given(expect, store.lease)
        yield* store.refuse(ada, "Incorrect username or password.", lease)

        yield* expectStored(expect, other, 2, Option.none())
        for (const handle of [store, other, yield* place.open]) {
          yield* expect(
            Option.contains(yield* handle.refusal(ada), "Incorrect username or password."),
            "the refused credentials were not known to every handle"
          )
        }
        yield* expect(
          Option.isNone(yield* other.refusal({ ...ada, password: Redacted.make("right") })),
          "other credentials counted as refused"
        )
        yield* expect(
          Option.isSome(yield* later(Duration.minutes(59))(other.refusal(ada))),
          "the refused credentials were not known after 59 minutes"
        )
        yield* expect(
          Option.isNone(yield* later(Duration.minutes(61))(other.refusal(ada))),
          "the refused credentials were still known after an hour"
        )
        yield* expect(yield* store.clear(2), "2 was not cleared")
        yield* expect(Option.isSome(yield* other.refusal(ada)), "a sign-out made the refused credentials good")
        yield* expect(yield* store.commit(minimal(4), 3, lease), "a commit after 3 was refused")
      })
  ),

  makeLaw("has it all when it was closed and is opened again", (place, expect) =>
    Effect.gen(function*() {
      const use = (f: (store: Store) => Effect.Effect<unknown, AuthError.AuthError | LawBroken, Scope.Scope>) =>
        Effect.scoped(Effect.flatMap(place.open, f))

      yield* use((store) => store.commit(full(7), 0))
      yield* use((store) => expectStored(expect, store, 7, Option.some(full(7))))
      yield* use((store) => store.clear(7))
      yield* use((store) => expectStored(expect, store, 8, Option.none()))
      yield* use((store) =>
        Effect.flatMap(store.commit(minimal(8), 7), (taken) => expect(!taken, "8 came after 7 again"))
      )
      yield* use((store) => expectStored(expect, store, 8, Option.none()))
    }))
]

/**
 * What holds for a store with leases that outlive their holders, as those of other processes do.
 *
 * @category laws
 * @since 0.1.0
 */
export const leaseLaws: ReadonlyArray<Law<LeasedPlace<unknown>>> = [
  makeLaw("leaves its lease to who is using it, for as long as that is", (place, expect) =>
    Effect.gen(function*() {
      const [store, other] = [yield* place.open, yield* place.open]
      const life = Duration.fromInputUnsafe(place.leaseLife)
      const lease = yield* given(expect, store.lease)
      for (let i = 0; i < 8; i++) {
        yield* elapse(place, Duration.divideUnsafe(life, 4))
        yield* expect(
          Option.isNone(yield* leaseOnce(other)),
          `another had the lease after ${i + 1} quarters of its life`
        )
      }
      yield* expect(yield* store.commit(minimal(1), 0, lease), "the commit of the holder was refused")
    })),

  makeLaw(
    "gives the lease of a holder that was not heard of to who waits for it, and only to that one",
    (place, expect) =>
      Effect.gen(function*() {
        const [store, other, third] = [yield* place.open, yield* place.open, yield* place.open]
        const life = Duration.fromInputUnsafe(place.leaseLife)
        const scope = yield* Scope.fork(yield* Effect.scope)
        const lost = yield* given(expect, paused(Scope.provide(store.lease, scope)))
        yield* expect(!lost.isGap, "there was a gap before the first lease")
        yield* expect(Option.isNone(yield* leaseOnce(other)), "another had the lease at once")
        const changed = yield* other.listen
        const waited = yield* within(
          place,
          Effect.gen(function*() {
            for (;;) {
              const lease = yield* other.lease
              if (Option.isSome(lease)) return lease.value
              yield* changed
            }
          }),
          Duration.times(life, 5)
        )
        const lease = yield* given(expect, Effect.succeed(waited), "to who waited, in five times its life")
        yield* expect(lease.fence > lost.fence, `fence ${lease.fence} came after ${lost.fence}`)
        yield* expect(lease.isGap, "there was no gap after a lease that nobody gave back")
        yield* expect(Option.isNone(yield* leaseOnce(third)), "a third had the lease too")

        yield* expect(!(yield* store.commit(minimal(1), 0, lost)), "a commit was taken from the holder that came back")
        yield* Scope.close(scope, Exit.void)
        yield* expect(Option.isNone(yield* leaseOnce(third)), "who came back gave away what was another's")
        yield* expect(yield* other.commit(minimal(1), 0, lease), "the commit of the new holder was refused")
      })
  )
]
