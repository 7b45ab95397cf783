import { AuthError, SessionStore, TenovosAuth } from "@effect-tenovos/core"
import { ScriptedAuthority } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { TestClock } from "effect/testing"

// What those do who share a store that loses its answers, or all that it had.

const failure = new AuthError.AuthError({ reason: new AuthError.StoreFailure({ operation: "commit" }) })

const session = TenovosAuth.TenovosAuth.use((auth) => auth.session)

const make = Effect.gen(function*() {
  const control = {
    store: yield* SessionStore.makeMemory,
    /** Writes are done, and are said to have failed. */
    isMute: false,
    isReachable: true,
    /** Done before the authority answers. */
    amid: Effect.void,
    received: [] as Array<string>
  }
  const reached = <A, R>(
    operation: (store: SessionStore.SessionStore["Service"]) => Effect.Effect<A, AuthError.AuthError, R>
  ) => Effect.suspend(() => control.isReachable ? operation(control.store) : Effect.fail(failure))
  const layer = TenovosAuth.layer(
    {
      endpointUrl: "https://api.example/v1",
      apiKey: Redacted.make("key"),
      username: "ada",
      password: Redacted.make("secret")
    },
    Layer.succeed(SessionStore.SessionStore, {
      ...control.store,
      read: reached((store) => store.read),
      commit: (...args) =>
        Effect.tap(
          reached((store) => store.commit(...args)),
          () => control.isMute ? Effect.fail(failure) : Effect.void
        ),
      clear: (generation) => reached((store) => store.clear(generation)),
      lease: reached((store) => store.lease)
    })
  ).pipe(
    Layer.provideMerge(
      ScriptedAuthority.layer((request, index) =>
        Effect.gen(function*() {
          control.received.push(
            request.method === "DELETE" ? "expire" : request.body.includes("refreshToken") ? "refresh" : "authorize"
          )
          yield* control.amid
          const now = yield* Clock.currentTimeMillis
          return Response.json({
            username: "ada",
            session: { accessToken: `access-${index}`, refreshToken: `refresh-${index}`, expireEpoch: now + 3_600_000 }
          })
        })
      )
    )
  )
  return { control, layer }
})

describe("a write that was done and said to have failed", () => {
  it.effect("leaves a refresh token that others may have, so it is not spent without the lease", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        yield* session
        control.isMute = true
        yield* TestClock.adjust("1 hour")
        yield* session
        assert.strictEqual((yield* control.store.read).generation, 2)
        control.isReachable = false
        yield* TestClock.adjust("1 hour")
        yield* session
        assert.deepStrictEqual(control.received, ["authorize", "refresh", "authorize"])
      }).pipe(Effect.provide(layer))
    }))

  it.effect("is seen in a store that can be read, though it gives no lease", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        yield* session
        control.isMute = true
        yield* TestClock.adjust("1 hour")
        yield* session
        control.store = { ...control.store, lease: Effect.fail(failure) }
        yield* TestClock.adjust("1 hour")
        yield* session

        assert.deepStrictEqual(control.received, ["authorize", "refresh", "authorize"])
      }).pipe(Effect.provide(layer))
    }))
})

describe("a store that loses all amid an exchange", () => {
  it.effect("is given the session again, since nobody has signed out", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        yield* session
        const empty = yield* SessionStore.makeMemory
        control.amid = Effect.sync(() => {
          control.store = empty
        })
        yield* TestClock.adjust("1 hour")
        assert.strictEqual((yield* session).generation, 2)
        yield* TestClock.adjust("10 seconds")

        assert.strictEqual((yield* empty.read).generation, 2)
        assert.deepStrictEqual(control.received, ["authorize", "refresh"])
      }).pipe(Effect.provide(layer))
    }))
})
