import type { Clock } from "effect/Clock"

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
