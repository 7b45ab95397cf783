import { Session, SessionStore } from "@effect-tenovos/core"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

const session = (generation: number) =>
  new Session.Session({
    endpointUrl: "https://api.example/v1",
    accessToken: Redacted.make(`access-${generation}`),
    issuedAt: DateTime.makeUnsafe(0),
    expiresAt: DateTime.makeUnsafe(3_600_000),
    authenticatedAt: DateTime.makeUnsafe(0),
    clockOffset: Duration.zero,
    generation
  })

describe("memory", () => {
  it.effect("holds nothing at first, and then what was committed last", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.makeMemory
      assert.deepStrictEqual(yield* store.read, { generation: 0, session: Option.none() })

      assert.isTrue(yield* store.commit(session(1), 0))
      assert.isTrue(yield* store.commit(session(5), 1))
      assert.deepStrictEqual(yield* store.read, { generation: 5, session: Option.some(session(5)) })
    }))

  it.effect("refuses a write that was overtaken, and one that goes back", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.makeMemory
      yield* store.commit(session(2), 0)

      assert.isFalse(yield* store.commit(session(3), 1))
      assert.isFalse(yield* store.commit(session(2), 2))
      assert.isFalse(yield* store.clear(1))
      assert.strictEqual((yield* store.read).generation, 2)
    }))

  it.effect("raises the generation when it is cleared, so that a late commit is refused", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.makeMemory
      yield* store.commit(session(1), 0)

      assert.isTrue(yield* store.clear(1))
      assert.deepStrictEqual(yield* store.read, { generation: 2, session: Option.none() })
      assert.isFalse(yield* store.commit(session(2), 1))
    }))

  it.effect("gives its lease to one at a time, and takes it back when that one is interrupted", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.makeMemory
      const latch = yield* Latch.make(false)
      const order: Array<string> = []
      const first = yield* Effect.forkChild(
        store.withLease(Effect.andThen(latch.await, Effect.sync(() => order.push("first")))),
        {
          startImmediately: true
        }
      )
      const second = yield* Effect.forkChild(store.withLease(Effect.sync(() => order.push("second"))), {
        startImmediately: true
      })
      assert.deepStrictEqual(order, [])
      yield* Fiber.interrupt(first)
      yield* Fiber.join(second)

      assert.deepStrictEqual(order, ["second"])
    }))

  it.effect("is another one when its layer is fresh, and the same where it is shared", () =>
    Effect.gen(function*() {
      const build = (layer: Layer.Layer<SessionStore.SessionStore>) => Effect.provide(SessionStore.SessionStore, layer)

      assert.notStrictEqual(
        yield* build(Layer.fresh(SessionStore.layerMemory)),
        yield* build(Layer.fresh(SessionStore.layerMemory))
      )
    }))
})
