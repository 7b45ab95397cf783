import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"

// The authority takes real time, for signatures, of which a test clock knows nothing: adjusted by an hour, that would let
// every timeout of a request go off before the answer is there. But a test clock waits for the fibers that it has woken,
// and for what these schedule. So who waits for an answer does it in turns of the scheduler, and a request that began
// before the clock was adjusted has a sleep of a millisecond, by which the clock wakes it first.
// See docs/decisions/test-clock.md.

interface Ongoing {
  /** Whether it waits for the clock, which therefore must not wait for it. */
  isAsleep: boolean
  readonly awake: Latch.Latch
}

const Ongoing = Context.Reference<Ongoing | undefined>("@effect-tenovos/testing/internal/standstill/Ongoing", {
  defaultValue: () => undefined
})

/** No time of a test clock passes while this is at work, but for a millisecond, and what it sleeps by `noted`. */
export const standstill = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Clock.Clock, (clock) => {
    const ongoing: Ongoing = { isAsleep: false, awake: Latch.makeUnsafe() }
    const turn = Latch.makeUnsafe()
    let isHeld = false
    let isOver = false

    const hold = Effect.gen(function*() {
      yield* clock.sleep(Duration.millis(1))
      isHeld = true
      while (!isOver && !ongoing.isAsleep) {
        yield* Effect.yieldNow
        yield* turn.release
      }
      isHeld = false
      yield* turn.release
    })
    const next = Effect.suspend(() => ongoing.isAsleep ? ongoing.awake.await : isHeld ? turn.await : Effect.yieldNow)
    return Effect.acquireUseRelease(
      Effect.all([
        Effect.forkChild(Effect.interruptible(Effect.provideService(work, Ongoing, ongoing)), {
          startImmediately: true
        }),
        Effect.forkChild(Effect.interruptible(hold), { startImmediately: true })
      ]),
      ([fiber]) =>
        Effect.gen(function*() {
          while (fiber.pollUnsafe() === undefined) yield* next
          return yield* Fiber.join(fiber)
        }),
      (fibers) =>
        Effect.suspend(() => {
          isOver = true
          return Fiber.interruptAll(fibers)
        })
    )
  })

/** The clock, so much ahead, which tells of those who sleep by it. `offset` is in milliseconds. */
export const noted = (clock: Clock.Clock, offset: () => number): Clock.Clock => {
  const millis = () => clock.currentTimeMillisUnsafe() + offset()
  const nanos = () => clock.currentTimeNanosUnsafe() + BigInt(offset()) * 1_000_000n
  const sleep = (duration: Duration.Duration) =>
    Effect.flatMap(Ongoing, (ongoing) =>
      ongoing === undefined ? clock.sleep(duration) : Effect.acquireUseRelease(
        Effect.sync(() => {
          ongoing.isAsleep = true
          ongoing.awake.closeUnsafe()
        }),
        () => clock.sleep(duration),
        () =>
          Effect.sync(() => {
            ongoing.isAsleep = false
            ongoing.awake.openUnsafe()
          })
      ))
  // With all else that it can do: a `TestClock` can be adjusted.
  return Object.create(clock, {
    currentTimeMillisUnsafe: { value: millis },
    currentTimeMillis: { value: Effect.sync(millis) },
    currentTimeNanosUnsafe: { value: nanos },
    currentTimeNanos: { value: Effect.sync(nanos) },
    sleep: { value: sleep }
  })
}
