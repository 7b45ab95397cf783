import { Credentials, Session, SessionStore } from "@effect-tenovos/core"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"

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

  it.effect("gives its lease to one at a time, until the scope closes, and tells who listens", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.makeMemory
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(store.lease, scope)
      const changed = yield* store.listen
      const waiting = yield* Effect.forkChild(changed, { startImmediately: true })

      assert.isTrue(Option.isNone(yield* Effect.scoped(store.lease)))
      assert.isUndefined(waiting.pollUnsafe())
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(waiting)
      const second = yield* store.lease
      assert.isTrue(Option.isSome(first) && Option.isSome(second) && second.value.fence > first.value.fence)
    }))

  it.effect("refuses a commit under a lease that another has followed", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.makeMemory
      const first = yield* Effect.scoped(Effect.map(store.lease, Option.getOrThrow))
      const second = yield* Effect.scoped(Effect.map(store.lease, Option.getOrThrow))

      assert.isFalse(yield* store.commit(session(1), 0, first))
      assert.isTrue(yield* store.commit(session(1), 0, second))
    }))

  it.effect("knows for an hour which credentials were refused", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.makeMemory
      const ada = Credentials.make({ apiKey: Redacted.make("key"), username: "ada", password: Redacted.make("wrong") })
      const lease = yield* Effect.scoped(Effect.map(store.lease, Option.getOrThrow))
      yield* store.commit(session(1), 0, lease)
      yield* store.refuse(ada, "NotAuthorizedException", lease)

      assert.deepStrictEqual(yield* store.read, { generation: 2, session: Option.none() })
      assert.deepStrictEqual(yield* store.refusal({ ...ada }), Option.some("NotAuthorizedException"))
      assert.deepStrictEqual(yield* store.refusal({ ...ada, password: Redacted.make("right") }), Option.none())
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* store.refusal(ada), Option.none())
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
