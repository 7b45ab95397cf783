import { Fault } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

const kindOf = ({ fault }: Fault.Verdict) => Option.getOrUndefined(fault)?.kind

/** What happens to so many requests of a kind. */
const take = (faults: Fault.Injector, times: number, operation: Fault.Operation = "call") =>
  Effect.replicateEffect(faults.take(operation), times)

describe("Injector", () => {
  it.effect("lets everything through without a rule", () =>
    Effect.gen(function*() {
      const faults = yield* Fault.make

      assert.deepStrictEqual(yield* take(faults, 2), [
        { delay: 0, fault: Option.none() },
        { delay: 0, fault: Option.none() }
      ])
    }))

  it.effect("meets the next requests of its operations, and is gone then", () =>
    Effect.gen(function*() {
      const faults = yield* Fault.make
      yield* faults.add({ fault: { kind: "drop" }, operations: ["refresh", "expire"], times: 3 })

      const seen = [
        ...yield* take(faults, 2, "authorize"),
        ...yield* take(faults, 1, "refresh"),
        ...yield* take(faults, 1, "expire")
      ]
      assert.deepStrictEqual(seen.map(kindOf), [undefined, undefined, "drop", "drop"])
      assert.deepStrictEqual((yield* faults.active).map(({ injected }) => injected), [2])
      assert.deepStrictEqual((yield* take(faults, 2, "refresh")).map(kindOf), ["drop", undefined])
      assert.deepStrictEqual(yield* faults.active, [])
    }))

  it.effect("meets the same share of the requests each time, by its seed", () =>
    Effect.gen(function*() {
      const run = Effect.fnUntraced(function*(seed?: number) {
        const faults = yield* Fault.make
        yield* faults.add({ fault: { kind: "drop" }, share: 0.2, ...(seed === undefined ? {} : { seed }) })
        return (yield* take(faults, 2000)).map(kindOf)
      })
      const first = yield* run()

      assert.closeTo(first.filter((kind) => kind === "drop").length / 2000, 0.2, 0.03)
      assert.deepStrictEqual(yield* run(1), first)
      assert.notDeepEqual(yield* run(2), first)
    }))

  it.effect("adds up latencies, and takes the first of the other faults", () =>
    Effect.gen(function*() {
      const faults = yield* Fault.make
      yield* faults.add({ fault: { kind: "latency", milliseconds: 100 }, times: 1 })
      yield* faults.add({ fault: { kind: "lostAnswer" }, times: 1 })
      yield* faults.add({ fault: { kind: "html" }, times: 1 })
      yield* faults.add({ fault: { kind: "latency", milliseconds: 50 } })

      const seen = yield* take(faults, 3)

      assert.deepStrictEqual(seen.map((verdict) => [verdict.delay, kindOf(verdict)]), [
        [150, "lostAnswer"],
        [50, "html"],
        [50, undefined]
      ])
    }))

  it.effect("takes as long as the API's page says, on average", () =>
    Effect.gen(function*() {
      const faults = yield* Fault.make
      yield* faults.add({ fault: { kind: "latency", preset: "real" } })

      for (const [operation, mean] of [["authorize", 3671], ["refresh", 233], ["expire", 288]] as const) {
        const delays = (yield* take(faults, 10_000, operation)).map(({ delay }) => delay)
        const average = delays.reduce((sum, delay) => sum + delay, 0) / delays.length
        assert.closeTo(average / mean, 1, 0.02, operation)
        // A distribution, not a constant: skewed, so the median lies below the mean.
        const median = delays.sort((a, b) => a - b)[5000] ?? 0
        assert.closeTo(median / mean, Math.exp(-0.08), 0.02, operation)
        assert.isAtLeast(Math.min(...delays), 0)
      }
      assert.deepStrictEqual((yield* take(faults, 1)).map(({ delay }) => delay), [0])
    }))

  it.effect("takes back one rule, or all", () =>
    Effect.gen(function*() {
      const faults = yield* Fault.make
      const drop = yield* faults.add({ fault: { kind: "drop" } })
      yield* faults.add({ fault: { kind: "html" } })

      assert.deepStrictEqual([yield* faults.clear("none"), yield* faults.clear(drop.id)], [0, 1])
      assert.deepStrictEqual((yield* take(faults, 1)).map(kindOf), ["html"])
      assert.strictEqual(yield* faults.clear(), 1)
      assert.deepStrictEqual((yield* take(faults, 1)).map(kindOf), [undefined])
    }))
})

describe("Rule", () => {
  const decode = (rule: unknown) =>
    Exit.isSuccess(Schema.decodeUnknownExit(Fault.Rule)(rule, { onExcessProperty: "error" }))

  it("refuses what can't happen", () => {
    const drop = { kind: "drop" }
    for (
      const rule of [
        {},
        { fault: {} },
        { fault: { kind: "fire" } },
        { fault: { kind: "drop", status: 500 } },
        { fault: { kind: "status" } },
        { fault: { kind: "status", status: 399 } },
        { fault: { kind: "status", status: 600 } },
        { fault: { kind: "rateLimit", retryAfter: -1 } },
        { fault: { kind: "latency" } },
        { fault: { kind: "latency", milliseconds: -1 } },
        { fault: { kind: "latency", milliseconds: 3_600_001 } },
        { fault: { kind: "latency", milliseconds: 1, mean: 1 } },
        { fault: { kind: "latency", preset: "fast" } },
        { fault: drop, operations: [] },
        { fault: drop, operations: ["login"] },
        { fault: drop, times: 0 },
        { fault: drop, times: 1.5 },
        { fault: drop, share: 0 },
        { fault: drop, share: 1.1 },
        { fault: drop, seed: "a" },
        { fault: drop, after: 1 }
      ]
    ) {
      assert.isFalse(decode(rule), JSON.stringify(rule))
    }
    assert.isTrue(decode({ fault: drop, operations: ["call"], times: 1, share: 1, seed: 7 }))
  })
})
