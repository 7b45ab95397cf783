import * as Effect from "effect/Effect"
import { setFlagsFromString } from "node:v8"
import { beforeFlags } from "./beforeFlags.ts"

/**
 * Keeps the heap of this process as small as a start has made it: new objects don't get more room than that, and of the
 * old ones half as much garbage as there are objects may wait to be collected. A server that answers requests leaves
 * nothing but garbage, which would take a hundred megabytes otherwise. This cost a refresh 6 % more CPU.
 */
export const keep: Effect.Effect<void> = Effect.sync(() => {
  beforeFlags.publish(undefined)
  setFlagsFromString("--semi-space-growth-factor=1")
  setFlagsFromString("--heap-growing-percent=50")
})
