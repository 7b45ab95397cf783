import type { Clock } from "effect/Clock"
import * as Effect from "effect/Effect"

/**
 * Milliseconds that never run slower than the time that has passed.
 *
 * The wall clock may be set back, and the monotonic one stands still while a machine sleeps. From one look to the next,
 * the greater of the two differences counts; a step forward of the wall clock counts as well, which costs a renewal and
 * no more.
 */
export const makeSteady = (clock: Clock): () => number => {
  let wall = clock.currentTimeMillisUnsafe()
  let monotonic = clock.monotonicTimeNanosUnsafe()
  let steady = wall
  return () => {
    const nextWall = clock.currentTimeMillisUnsafe()
    const nextMonotonic = clock.monotonicTimeNanosUnsafe()
    steady += Math.max(0, nextWall - wall, Number(nextMonotonic - monotonic) / 1e6)
    wall = nextWall
    monotonic = nextMonotonic
    return steady
  }
}

/** In steps of an hour at the most: timers count 32 bits, and machines sleep. */
export const sleepUntil = (steady: () => number, instant: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    const left = instant - steady()
    return left <= 0
      ? Effect.void
      : Effect.andThen(Effect.sleep(Math.min(Math.ceil(left), 3_600_000)), sleepUntil(steady, instant))
  })
