import { AuthorityServer } from "@effect-tenovos/server"
import { assert } from "@effect/vitest"
import { Effect, Layer, Schedule } from "effect"
import { FetchHttpClient } from "effect/http"
import type * as Scope from "effect/Scope"
import type { Wire } from "../support/wire.ts"
import * as fleets from "./fleet.ts"
import { type Setup, steps } from "./messages.ts"

// Real processes, a real store, a real authority whose refresh tokens are good for one time; only the hours are simulated.

const isLong = process.env["TENOVOS_LONG_RUN"] !== undefined

/** How many processes. To start one costs more than all that it does. */
export const sizes = isLong ? { redis: 64, file: 16 } : { redis: 8, file: 4 }

const hour = 3_600_000

const Authority = Layer.merge(
  AuthorityServer.layerNode({ dev: true, port: 0, refreshAnswer: "replaces", rotationGrace: 0 }),
  FetchHttpClient.layer
)

const none: fleets.Exchanges = { signIns: 0, refreshes: 0, refused: 0 }

export type Fleet = Effect.Success<ReturnType<typeof fleets.make>>

/** All call at once, and all that live are answered with the same session. */
const callAll = Effect.fnUntraced(function*(fleet: Fleet, then?: Effect.Effect<void>) {
  const called = (yield* fleet.callAll(then)).filter((one) => one !== undefined)
  assert.deepStrictEqual(called.filter(({ status }) => status !== 200), [])
  return {
    called,
    generations: new Set(called.map(({ generation }) => generation)),
    longest: Math.max(...called.map(({ milliseconds }) => milliseconds)),
    exchanges: yield* fleet.exchanges
  }
})

export const day = Effect.fnUntraced(function*(fleet: Fleet) {
  const start = yield* callAll(fleet)
  assert.deepStrictEqual(start.exchanges, { ...none, signIns: 1 })
  let longest = 0
  for (let hours = 1; hours <= 24; hours++) {
    yield* fleet.advance(hour)
    const renewal = yield* callAll(fleet)
    assert.deepStrictEqual(renewal.exchanges, { ...none, refreshes: 1 })
    assert.deepStrictEqual(renewal.generations, new Set([hours + 1]))
    longest = Math.max(longest, renewal.longest)
  }
  console.log(
    `${fleet.members.length} processes, a day: 1 sign-in, 24 refreshes, 0 refused; no call waited longer than ${
      Math.round(longest)
    } ms for a session, the first not longer than ${Math.round(start.longest)} ms`
  )
})

export const accidents = Effect.fnUntraced(function*(fleet: Fleet) {
  yield* callAll(fleet)
  for (const action of ["die", "pause"] as const) {
    for (const step of isLong ? steps : ["answered" as const]) {
      yield* fleet.advance(hour)
      yield* fleet.order(step, action)
      const { called, exchanges, generations, longest } = yield* callAll(
        fleet,
        action === "pause" ? fleet.wake : undefined
      )
      const dead = yield* fleet.replace
      assert.strictEqual(dead, action === "die" ? 1 : 0)
      assert.strictEqual(called.length, fleet.members.length - dead)
      // Who took over cannot know whether the other's request arrived, and so does not spend the same token.
      assert.isAtMost(exchanges.refreshes, 1)
      assert.isAtMost(exchanges.signIns, 1)
      assert.strictEqual(exchanges.refused, 0)
      console.log(
        `${step}, ${action}: ${exchanges.refreshes} refreshes, ${exchanges.signIns} sign-ins, 0 refused, ` +
          `${generations.size} sessions served, longest wait ${Math.round(longest)} ms`
      )
      // Whatever happened, all come to the same session again, also those that are new.
      const settled = yield* callAll(fleet)
      assert.deepStrictEqual(settled.exchanges, none)
      yield* fleet.advance(hour)
      const after = yield* callAll(fleet)
      assert.deepStrictEqual(after.exchanges, { ...none, refreshes: 1 })
      assert.strictEqual(after.generations.size, 1)
    }
  }
})

/** The store is out of reach for five seconds, in the very minutes in which the session should be renewed. */
export const cut = Effect.fnUntraced(function*(fleet: Fleet, wire: Wire) {
  yield* callAll(fleet)
  yield* fleet.advance(57 * 60_000)
  yield* wire.cut
  for (let seconds = 0; seconds < 5; seconds++) {
    const during = yield* callAll(fleet)
    assert.deepStrictEqual(during.exchanges, none)
    yield* Effect.sleep("1 second")
  }
  yield* wire.mend
  const after = yield* Effect.repeat(callAll(fleet), {
    schedule: Schedule.spaced("500 millis"),
    until: ({ generations }) => generations.size === 1 && !generations.has(1)
  })
  assert.deepStrictEqual(after.generations, new Set([2]))
  assert.strictEqual((yield* fleet.total).refreshes, 1)
  assert.strictEqual((yield* fleet.total).signIns, 1)
  console.log(`${fleet.members.length} processes, five seconds without the store: 0 calls failed, 1 refresh afterwards`)
})

export const onFleet = <A, E, E1>(
  size: number,
  store: Effect.Effect<Setup["store"], E1, Scope.Scope>,
  use: (fleet: Fleet) => Effect.Effect<A, E, Scope.Scope>
) =>
  Effect.flatMap(Effect.flatMap(store, (store) => fleets.make(size, store)), use).pipe(
    Effect.scoped,
    Effect.provide(Authority)
  )
