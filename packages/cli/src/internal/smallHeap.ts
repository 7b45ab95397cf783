import * as Effect from "effect/Effect"
import { PerformanceObserver } from "node:perf_hooks"
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8"
import { beforeFlags } from "./beforeFlags.ts"

/**
 * Keeps the heap of this process small: new objects get little room, and of the old ones half as much garbage as there
 * are objects may wait to be collected. A server that answers requests leaves nothing but garbage, which would take
 * fifty megabytes more otherwise.
 */
export const keep: Effect.Effect<void> = Effect.sync(() => {
  beforeFlags.publish(undefined)
  setFlagsFromString("--heap-growing-percent=50")
  // After half a minute of nothing to do V8 would collect all that it can, and drop the code that was compiled for
  // objects of which none is left. Thousands of answers would then take more CPU, the first up to two thirds.
  setFlagsFromString("--memory-reducer-gc-count=0")
  limitGrowth()
  new PerformanceObserver(limitGrowth).observe({ entryTypes: ["gc"] })
})

/**
 * V8 takes a limit of this room only when it starts, so its growth is switched on and off after each collection: V8
 * doubles the room then, and takes it back when little is asked.
 */
const limitGrowth = (): void => setFlagsFromString(`--semi-space-growth-factor=${roomOfNewObjects() < enough ? 2 : 1}`)

const roomOfNewObjects = (): number => {
  const space = getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")
  return space === undefined ? Infinity : space.space_used_size + space.space_available_size
}

/**
 * In bytes. A room of four megabytes has a little less to give, and is reached from two by doubling. With one
 * megabyte a refresh takes 15 % more CPU, and eight take ten megabytes more in all.
 */
const enough = 3 * 2 ** 20
