import { AuthError, RefreshPolicy, Session, SessionStore, TenovosAuth } from "@effect-tenovos/core"
import { ScriptedAuthority } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { healthy, kindOf, options, received, session, settled } from "./support/scripted.ts"

// What those do who share a store: one keeper of a session under test, and others played by hand.

/** A memory store whose operations fail, or are refused, as the test wants. */
const make = Effect.gen(function*() {
  const store = yield* SessionStore.makeMemory
  const broken = new Set<AuthError.StoreFailure["operation"]>()
  /** How many leases have followed that of who commits, and whether the authority wants no refresh token. */
  const control = { lost: 0, isRefused: false }
  const script: ScriptedAuthority.Script = (request, index) =>
    control.isRefused && kindOf(request) === "refresh"
      ? Effect.succeed(Response.json({ message: "Invalid Refresh Token" }, { status: 401 }))
      : healthy(request, index)
  const behind = <A, R>(
    operation: AuthError.StoreFailure["operation"],
    effect: Effect.Effect<A, AuthError.AuthError, R>
  ) =>
    Effect.suspend(() =>
      broken.has(operation)
        ? Effect.fail(new AuthError.AuthError({ reason: new AuthError.StoreFailure({ operation }) }))
        : effect
    )
  const place = Layer.succeed(SessionStore.SessionStore, {
    ...store,
    read: behind("read", store.read),
    commit: (session, expected, lease) =>
      behind("commit", store.commit(session, expected, lease && { fence: lease.fence - control.lost })),
    lease: behind("lease", store.lease)
  })
  const layerStored = TenovosAuth.layerStored({
    apiKey: options.apiKey,
    policy: RefreshPolicy.standard.pipe(RefreshPolicy.withRetry(Schedule.recurs(0)))
  }, place)
  const layer = TenovosAuth.layer(options, place).pipe(
    Layer.provideMerge(ScriptedAuthority.layer(script))
  )
  /** The lease of somebody else, and how that one gives it back. */
  const otherLease = Effect.gen(function*() {
    const scope = yield* Scope.make()
    const lease = Option.getOrThrow(yield* Scope.provide(store.lease, scope))
    return { lease, release: Scope.close(scope, Exit.void) }
  })
  return { store, broken, control, layer, layerStored, otherLease }
})

const after = (self: Session.Session, accessToken: string) =>
  new Session.Session({ ...self, accessToken: Redacted.make(accessToken), generation: self.generation + 1 })

describe("who waits for somebody else's exchange", () => {
  it.effect("adopts what that one has stored, before the lease is free", () =>
    Effect.gen(function*() {
      const { layer, otherLease, store } = yield* make
      yield* Effect.gen(function*() {
        const first = yield* session
        const { lease, release } = yield* otherLease
        yield* TestClock.adjust("58 minutes")
        yield* session
        yield* settled
        assert.deepStrictEqual(yield* received, ["authorize"])

        const renewed = new Session.Session({
          ...after(first, "renewed"),
          expiresAt: Session.refreshTokenExpiresAt(first).pipe(Option.getOrThrow)
        })
        assert.isTrue(yield* store.commit(renewed, first.generation, lease))
        yield* settled

        assert.strictEqual(Redacted.value((yield* session).accessToken), "renewed")
        assert.deepStrictEqual(yield* received, ["authorize"])
        yield* release
      }).pipe(Effect.provide(layer))
    }))

  it.effect("takes its turn when that one gave up", () =>
    Effect.gen(function*() {
      const { layer, otherLease } = yield* make
      const { release } = yield* otherLease
      yield* Effect.gen(function*() {
        const caller = yield* Effect.forkChild(session, { startImmediately: true })
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual(yield* received, [])
        yield* release
        yield* Fiber.join(caller)

        assert.deepStrictEqual(yield* received, ["authorize"])
      }).pipe(Effect.provide(layer))
    }))

  it.effect("does not wait for ever", () =>
    Effect.gen(function*() {
      const { layer, otherLease } = yield* make
      yield* otherLease
      yield* Effect.gen(function*() {
        const caller = yield* Effect.forkChild(Effect.flip(session), { startImmediately: true })
        yield* TestClock.adjust("10 minutes")

        assert.strictEqual((yield* Fiber.join(caller)).reason._tag, "StoreFailure")
        assert.deepStrictEqual(yield* received, [])
      }).pipe(Effect.provide(layer))
    }))

  it.effect("ends the wait when it signs out", () =>
    Effect.gen(function*() {
      const { layer, otherLease } = yield* make
      yield* otherLease
      yield* Effect.gen(function*() {
        const caller = yield* Effect.forkChild(Effect.flip(session), { startImmediately: true })
        yield* settled
        const outcome = yield* TenovosAuth.TenovosAuth.use((auth) => auth.signOut)

        assert.strictEqual(outcome._tag, "NoSession")
        assert.strictEqual((yield* Fiber.join(caller)).reason._tag, "SessionExpired")
      }).pipe(Effect.provide(layer))
    }))
})

describe("who lost the lease amid an exchange", () => {
  it.effect("serves what it got, and stores it when nobody else brought anything", () =>
    Effect.gen(function*() {
      const { control, layer, store } = yield* make
      yield* Effect.gen(function*() {
        const first = yield* session
        yield* TestClock.adjust("1 hour")
        control.lost = 1

        assert.strictEqual(Redacted.value((yield* session).accessToken), "access-1")
        assert.strictEqual((yield* store.read).generation, first.generation)
        control.lost = 0
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* store.read).generation, first.generation + 1)
        assert.deepStrictEqual(yield* received, ["authorize", "refresh"])
      }).pipe(Effect.provide(layer))
    }))
})

describe("a store that can't be written", () => {
  it.effect("has no refresh token spent, while the session lives", () =>
    Effect.gen(function*() {
      const { broken, layer } = yield* make
      yield* Effect.gen(function*() {
        const first = yield* session
        broken.add("lease")
        for (const minutes of [56, 1, 1, 1]) {
          yield* TestClock.adjust(`${minutes} minutes`)
          assert.strictEqual(yield* session, first)
        }
        yield* settled

        assert.deepStrictEqual(yield* received, ["authorize"])
      }).pipe(Effect.provide(layer))
    }))

  it.effect("has the credentials given for the next session, whose refresh token is nobody else's", () =>
    Effect.gen(function*() {
      const { broken, layer } = yield* make
      yield* Effect.gen(function*() {
        yield* session
        broken.add("lease").add("commit")
        for (let hours = 0; hours < 3; hours++) {
          yield* TestClock.adjust("1 hour")
          yield* session
        }

        assert.deepStrictEqual(yield* received, ["authorize", "authorize", "refresh", "refresh"])
      }).pipe(Effect.provide(layer))
    }))
})

describe("whose session is in no store", () => {
  it.effect("signs in when its refresh token is refused", () =>
    Effect.gen(function*() {
      const { broken, control, layer } = yield* make
      yield* Effect.gen(function*() {
        broken.add("commit").add("lease")
        yield* session
        control.isRefused = true
        yield* TestClock.adjust("1 hour")

        assert.strictEqual(Redacted.value((yield* session).accessToken), "access-2")
        assert.deepStrictEqual(yield* received, ["authorize", "refresh", "authorize"])
      }).pipe(Effect.provide(layer))
    }))
})

describe("who signs out", () => {
  const ends = (refreshToken: string) =>
    Effect.gen(function*() {
      const { layer, otherLease, store } = yield* make
      return yield* Effect.gen(function*() {
        const first = yield* session
        const { lease } = yield* otherLease
        const stored = new Session.Session({
          ...after(first, "renewed"),
          authenticatedAt: DateTime.add(first.authenticatedAt, { seconds: 1 }),
          refreshToken: Redacted.make(refreshToken)
        })
        yield* store.commit(stored, first.generation, lease)
        yield* TenovosAuth.TenovosAuth.use((auth) => auth.signOut)
        return (yield* received).filter((kind) => kind === "expire").length
      }).pipe(Effect.provide(layer))
    })

  it.effect("ends what is stored once, where it has come of the session in hand", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* ends("refresh-0"), 1)
    }))

  it.effect("ends another sign-in's session, too", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* ends("other"), 2)
    }))
})

describe("who asks for a renewal", () => {
  const renewed = TenovosAuth.TenovosAuth.use((auth) => auth.sessionWith({ forceRefresh: true }))

  it.effect("is not given what was stored before, unless somebody else has just renewed it", () =>
    Effect.gen(function*() {
      const { layer, otherLease, store } = yield* make
      yield* Effect.gen(function*() {
        const get = <A>(effect: Effect.Effect<A, AuthError.AuthError, TenovosAuth.TenovosAuth>) =>
          Effect.provide(
            effect,
            Layer.fresh(TenovosAuth.layer(options, Layer.succeed(SessionStore.SessionStore, slow)))
          )
        // So that who asks for a renewal finds another caller who waits already.
        const slow = { ...store, read: Effect.andThen(Effect.yieldNow, store.read) }
        const first = yield* session
        assert.strictEqual((yield* get(renewed)).generation, 2)
        assert.strictEqual((yield* get(Effect.all([session, renewed], { concurrency: 2 })))[1].generation, 3)
        assert.deepStrictEqual(yield* received, ["authorize", "refresh", "refresh"])

        const { lease, release } = yield* otherLease
        const caller = yield* Effect.forkChild(get(renewed), { startImmediately: true })
        yield* settled
        yield* store.commit(new Session.Session({ ...after(first, "renewed"), generation: 4 }), 3, lease)
        assert.strictEqual(Redacted.value((yield* Fiber.join(caller)).accessToken), "renewed")
        yield* release
        assert.deepStrictEqual(yield* received, ["authorize", "refresh", "refresh"])
      }).pipe(Effect.provide(layer))
    }))
})

describe("who has no credentials", () => {
  it.effect("keeps alive what somebody else has signed in for, and says when it is over", () =>
    Effect.gen(function*() {
      const { broken, layer, layerStored } = yield* make
      const get = Effect.provide(session, Layer.fresh(layerStored))
      yield* Effect.gen(function*() {
        assert.strictEqual((yield* Effect.flip(get)).reason._tag, "SessionExpired")
        yield* session
        assert.strictEqual((yield* get).generation, 1)
        yield* TestClock.adjust("1 hour")
        broken.add("lease")
        assert.strictEqual((yield* Effect.flip(get)).reason._tag, "StoreFailure")
        broken.clear()
        assert.strictEqual((yield* get).generation, 2)
        yield* TestClock.adjust("31 days")
        assert.strictEqual((yield* Effect.flip(get)).reason._tag, "SessionExpired")

        assert.deepStrictEqual(yield* received, ["authorize", "refresh"])
      }).pipe(Effect.provide(layer))
    }))
})
