/** What reads and renewals leave behind. */
import * as TenovosAuth from "@effect-tenovos/core/TenovosAuth"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as endpoint from "./endpoint.ts"
import { atMost, type Figure, plain } from "./figure.ts"
import * as peers from "./peers.ts"

const reads = 1_000_000
const renewals = 10_000

setFlagsFromString("--expose-gc")
const collect: () => void = runInNewContext("gc")

/** The heap after a collection, in MB. What waits in the event loop is let go first. */
const heap = Effect.gen(function*() {
  for (let i = 0; i < 3; i++) {
    yield* Effect.sleep(20)
    collect()
  }
  return process.memoryUsage().heapUsed / 2 ** 20
})

/** Fibers that run now, as Effect counts them. */
const fibers = Effect.map(
  Metric.snapshot,
  (all) =>
    all.reduce(
      (sum, { id, state }) => id === "child_fibers_active" && "count" in state ? sum + Number(state.count) : sum,
      0
    )
)

export const run: Effect.Effect<ReadonlyArray<Figure>, unknown> = Effect.gen(function*() {
  const { session, sessionWith } = yield* TenovosAuth.TenovosAuth
  const renewed = sessionWith({ forceRefresh: true })
  // What is compiled and filled once is no leak: it goes on for the first twenty thousand renewals.
  yield* Effect.replicateEffect(session, 100_000, { discard: true })
  yield* Effect.replicateEffect(renewed, 2 * renewals, { discard: true })

  const fibersBefore = yield* fibers
  const before = yield* heap
  yield* Effect.replicateEffect(session, reads, { discard: true })
  const afterReads = yield* heap
  yield* Effect.replicateEffect(renewed, renewals, { discard: true })
  const afterRenewals = yield* heap
  const fibersAfter = yield* fibers
  return [
    plain("heap before", `${before.toFixed(2)} MB`),
    atMost(`heap after ${reads} cached reads: growth`, afterReads - before, 1, "MB"),
    atMost(`heap after ${renewals} renewals: growth`, afterRenewals - afterReads, 1, "MB"),
    atMost("fibers left", fibersAfter - fibersBefore, 0, "fibers")
  ]
}).pipe(
  Effect.provide(peers.layer(endpoint.make({ life: 3_600_000, delay: 0 }))),
  Metric.enableRuntimeMetrics
)
