import { ControlClock } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"

const hour = 3_600_000

describe("ControlClock", () => {
  it.effect("moves what is told, and not what is waited for or measured", () =>
    Effect.gen(function*() {
      const controlled = yield* ControlClock.make
      const read = Effect.all([
        Clock.currentTimeMillis,
        Clock.currentTimeNanos,
        Effect.map(Clock.Clock, (clock) => clock.currentTimeMillisUnsafe()),
        Effect.map(Clock.Clock, (clock) => clock.currentTimeNanosUnsafe()),
        Clock.monotonicTimeNanos,
        Effect.map(Clock.Clock, (clock) => clock.monotonicTimeNanosUnsafe())
      ]).pipe(Effect.provideService(Clock.Clock, controlled))
      const sleeper = yield* Effect.sleep("1 minute").pipe(
        Effect.provideService(Clock.Clock, controlled),
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("1 second")

      assert.isTrue(yield* controlled.advance(hour))

      assert.deepStrictEqual(yield* read, [
        hour + 1000,
        3_601_000_000_000n,
        hour + 1000,
        3_601_000_000_000n,
        1_000_000_000n,
        1_000_000_000n
      ])
      assert.isUndefined(sleeper.pollUnsafe())
      yield* TestClock.adjust("59 seconds")
      yield* Fiber.join(sleeper)
      assert.strictEqual(yield* Clock.currentTimeMillis, 60_000)
    }))

  it.effect("branches into clocks that go along, and further", () =>
    Effect.gen(function*() {
      const trunk = yield* ControlClock.make
      const branch = yield* ControlClock.branch(trunk)
      const times = Effect.all([
        trunk.currentTimeMillis,
        branch.currentTimeMillis,
        branch.currentTimeNanos,
        trunk.advanced,
        branch.advanced
      ])

      yield* branch.advance(hour)
      assert.deepStrictEqual(yield* times, [0, hour, 3_600_000_000_000n, 0, hour])

      yield* trunk.advance(1000)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* times, [2000, hour + 2000, 3_602_000_000_000n, 1000, hour + 1000])

      const rest = ControlClock.endOfTime - hour - 2000
      assert.deepStrictEqual([yield* branch.advance(rest + 1), yield* branch.advance(rest)], [false, true])
      assert.strictEqual(yield* branch.currentTimeMillis, ControlClock.endOfTime)
    }))
})
