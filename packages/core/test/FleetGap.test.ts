import {
  AuthError,
  Credentials,
  RefreshPolicy,
  SessionStore,
  SessionStoreKeyValue,
  TenovosAuth
} from "@effect-tenovos/core"
import { ScriptedAuthority } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import { assertEquals } from "@effect/vitest/utils"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { healthy, kindOf, options, received } from "./support/scripted.ts"

// The stored refresh token may be spent, where whoever had the lease did not give it back, or could not store what came.

type Answer = (
  kind: ReturnType<typeof kindOf>
) => Effect.Effect<Response, ScriptedAuthority.Dropped> | undefined

const isHealthy: Answer = () => undefined

/** Processes that share a place, on which leases last for ten seconds, and an authority that can be made to fail. */
const make = Effect.gen(function*() {
  const control: { answer: typeof isHealthy; commit: Effect.Effect<void, AuthError.AuthError> } = {
    /** Instead of what a healthy authority would say. */
    answer: isHealthy,
    /** What is done to the store of a process before it commits. */
    commit: Effect.void
  }
  const values = yield* Layer.build(KeyValueStore.layerMemory)
  const open = Effect.provideContext(SessionStoreKeyValue.make(), values)
  const store = yield* open
  const place = Layer.effect(
    SessionStore.SessionStore,
    Effect.map(open, (own) => ({
      ...own,
      commit: (...args) => Effect.andThen(Effect.suspend(() => control.commit), own.commit(...args))
    }))
  )
  const authority = yield* Layer.build(
    ScriptedAuthority.layer((request, index) =>
      Effect.suspend(() => control.answer(kindOf(request)) ?? healthy(request, index))
    )
  )
  const policy = RefreshPolicy.standard.pipe(RefreshPolicy.withRetry(Schedule.recurs(0)))
  const layer = TenovosAuth.layer({ ...options, policy }, place)
  const start = (built = layer) =>
    Effect.map(Layer.build(Layer.fresh(built)), Context.get(TenovosAuth.TenovosAuth)).pipe(
      Effect.provideContext(authority)
    )
  /** Takes the lease as a process does that is killed after it. */
  const dieWithLease = (store: SessionStore.SessionStore["Service"]) =>
    Effect.gen(function*() {
      const clock = yield* Clock.Clock
      const lease = Scope.provide(store.lease, Scope.makeUnsafe())
      const frozen = Object.create(clock, { sleep: { value: () => Effect.never } })
      return Option.getOrThrow(yield* Effect.provideService(lease, Clock.Clock, frozen))
    })
  return {
    control,
    store,
    start,
    startStored: start(TenovosAuth.layerStored({ apiKey: options.apiKey, policy }, place)),
    dieWithLease,
    received: Effect.provideContext(received, authority)
  }
})

const refusal = Effect.sync(() => Response.json({ status: "error", message: "No" }, { status: 401 }))

describe("a lease that was not given back", () => {
  it.effect("has the next holder sign in, once, and end the session that is replaced", () =>
    Effect.gen(function*() {
      const { dieWithLease, received, start, store } = yield* make
      const [one, other] = [yield* start(), yield* start()]
      yield* one.session
      yield* other.session
      yield* dieWithLease(store)
      // Callers wait, and the session is good for a moment yet.
      yield* TestClock.adjust("3590 seconds")
      assert.strictEqual((yield* one.session).generation, 2)
      assert.strictEqual((yield* other.session).generation, 2)

      // Others may serve it up to its last moment.
      assert.deepStrictEqual(yield* received, ["authorize", "authorize"])
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* received, ["authorize", "authorize", "expire"])
      yield* TestClock.adjust("1 hour")
      yield* one.session
      assert.deepStrictEqual((yield* received).slice(3), ["refresh"])
    }))

  it.effect("has no refresh token spent while the authority can't take credentials", () =>
    Effect.gen(function*() {
      const { control, dieWithLease, received, start, store } = yield* make
      const auth = yield* start()
      yield* auth.session
      yield* dieWithLease(store)
      control.answer = () => Effect.sync(() => new Response(null, { status: 503 }))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* Effect.flip(auth.session)).reason._tag, "Unavailable")

      assert.notInclude(yield* received, "refresh")
    }))

  it.effect("leaves who has no credentials only the refresh token", () =>
    Effect.gen(function*() {
      const { control, dieWithLease, received, start, startStored, store } = yield* make
      yield* (yield* start()).session
      const auth = yield* startStored
      yield* auth.session
      yield* dieWithLease(store)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* auth.session).generation, 2)

      yield* dieWithLease(store)
      yield* TestClock.adjust("1 hour")
      control.answer = () => refusal
      assert.strictEqual((yield* Effect.flip(auth.session)).reason._tag, "SessionExpired")
      assert.deepStrictEqual(yield* received, ["authorize", "refresh", "refresh"])
    }))

  it.effect("leaves the refresh token to who is refused, and who does not ask again", () =>
    Effect.gen(function*() {
      const { control, dieWithLease, received, start, store } = yield* make
      const auth = yield* start()
      yield* auth.session
      control.answer = (kind) => kind === "authorize" ? refusal : undefined
      for (const generation of [2, 3]) {
        yield* dieWithLease(store)
        yield* TestClock.adjust("1 hour")
        assert.strictEqual((yield* auth.session).generation, generation)
      }

      assert.deepStrictEqual(yield* received, ["authorize", "authorize", "refresh", "refresh"])
      yield* dieWithLease(store)
      yield* TestClock.adjust("1 hour")
      control.answer = () => refusal
      assert.strictEqual((yield* Effect.flip(auth.session)).reason._tag, "Unauthorized")
      assert.isTrue(Option.isSome(yield* store.refusal(Credentials.make(options))))
    }))

  it.effect("leaves it to nobody when a sign-out comes before the refusal", () =>
    Effect.gen(function*() {
      const { control, dieWithLease, received, start, store } = yield* make
      const auth = yield* start()
      yield* auth.session
      yield* dieWithLease(store)
      yield* TestClock.adjust("1 hour")
      const [asked, answered] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      control.answer = (kind) =>
        kind === "authorize"
          ? Deferred.succeed(asked, undefined).pipe(Effect.andThen(Deferred.await(answered)), Effect.andThen(refusal))
          : undefined
      yield* Effect.forkChild(Effect.exit(auth.session), { startImmediately: true })
      yield* Deferred.await(asked)
      const ending = yield* Effect.forkChild(auth.signOut, { startImmediately: true })
      yield* Deferred.succeed(answered, undefined)
      yield* Fiber.join(ending)

      assert.deepStrictEqual(yield* received, ["authorize", "authorize", "expire"])
    }))
})

describe("who has spent the refresh token", () => {
  it.effect("and could not store what came, has the next sign in, and ends its own then", () =>
    Effect.gen(function*() {
      const { control, received, start } = yield* make
      const [one, other] = [yield* start(), yield* start()]
      yield* one.session
      yield* other.session
      yield* TestClock.adjust("1 hour")
      control.commit = Effect.fail(
        new AuthError.AuthError({ reason: new AuthError.StoreFailure({ operation: "commit" }) })
      )
      const unstored = yield* one.session
      control.commit = Effect.void
      assert.strictEqual((yield* other.session).generation, 2)
      assert.deepStrictEqual(yield* received, ["authorize", "refresh", "authorize"])

      assert.strictEqual(yield* one.session, unstored)
      const adopted = yield* one.events.pipe(
        Stream.filter(({ _tag }) => _tag === "Adopted"),
        Stream.runHead,
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(adopted)
      assertEquals((yield* one.session).accessToken, (yield* other.session).accessToken)
      assert.deepStrictEqual(yield* received, ["authorize", "refresh", "authorize"])
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* received, ["authorize", "refresh", "authorize", "expire"])
    }))

  it.effect("and is closed before the answer, has the next sign in", () =>
    Effect.gen(function*() {
      const { control, received, start } = yield* make
      const scope = yield* Scope.make()
      const one = yield* Scope.provide(start(), scope)
      const other = yield* start()
      yield* one.session
      yield* TestClock.adjust("1 hour")
      const asked = yield* Deferred.make<void>()
      control.answer = (kind) =>
        kind === "refresh" ? Effect.andThen(Deferred.succeed(asked, undefined), Effect.never) : undefined
      yield* Effect.forkChild(Effect.exit(one.session), { startImmediately: true })
      yield* Deferred.await(asked)
      yield* Scope.close(scope, Exit.void)
      yield* other.session

      assert.deepStrictEqual(yield* received, ["authorize", "refresh", "authorize"])
    }))

  it.effect("and got no answer, may spend it again, as may the next", () =>
    Effect.gen(function*() {
      const { control, received, start } = yield* make
      const [one, other] = [yield* start(), yield* start()]
      yield* one.session
      yield* TestClock.adjust("1 hour")
      control.answer = () => Effect.fail(new ScriptedAuthority.Dropped())
      yield* Effect.flip(one.session)
      control.answer = isHealthy
      yield* other.session

      assert.deepStrictEqual(yield* received, ["authorize", "refresh", "refresh"])
    }))
})
