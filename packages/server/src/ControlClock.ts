/**
 * Clocks that can be moved forward, never back: the authority's own, and one for each tenant on top of it.
 *
 * Everything that is told by such a clock follows at once. What waits doesn't: a timeout lasts as long as before.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"

/**
 * A clock that can be moved forward.
 *
 * @category models
 * @since 0.1.0
 */
export interface ControlledClock extends Clock.Clock {
  /** By how many whole milliseconds it is ahead of the real one. */
  readonly advanced: Effect.Effect<number>
  /** Moves it forward by milliseconds. `false`, and not moved, when it would come after the year 9999. */
  readonly advance: (milliseconds: number) => Effect.Effect<boolean>
}

/**
 * The last moment that the `Date` header can tell, whose years have four digits. Milliseconds since the Unix epoch.
 *
 * @category constants
 * @since 0.1.0
 */
export const endOfTime: number = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

/**
 * Wraps the current clock. Waiting and measuring stay as they are.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<ControlledClock> = Effect.flatMap(
  Clock.Clock,
  (clock) => ahead(clock, Effect.succeed(0))
)

/**
 * A clock that goes with this one, and can be moved further without it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const branch = (clock: ControlledClock): Effect.Effect<ControlledClock> => ahead(clock, clock.advanced)

const ahead = Effect.fnUntraced(function*(clock: Clock.Clock, before: Effect.Effect<number>) {
  const shift = yield* Ref.make(0)
  const millis = () => clock.currentTimeMillisUnsafe() + Ref.getUnsafe(shift)
  const nanos = () => clock.currentTimeNanosUnsafe() + BigInt(Ref.getUnsafe(shift)) * 1_000_000n

  const controlled: ControlledClock = {
    currentTimeMillisUnsafe: millis,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
    monotonicTimeNanos: clock.monotonicTimeNanos,
    sleep: (duration) => clock.sleep(duration),
    advanced: Effect.zipWith(before, Ref.get(shift), (others, own) => others + own),
    advance: Effect.fnUntraced(function*(milliseconds) {
      const now = yield* clock.currentTimeMillis
      return yield* Ref.modify(shift, (before) => {
        const after = before + Math.floor(milliseconds)
        return now + after > endOfTime ? [false, before] : [true, after]
      })
    })
  }
  return controlled
})
