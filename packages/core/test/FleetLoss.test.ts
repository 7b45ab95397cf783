import { Session, SessionStore, TenovosAuth } from "@effect-tenovos/core"
import { assert, describe, it } from "@effect/vitest"
import { assertEquals } from "@effect/vitest/utils"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { type Control, failure, make } from "./support/losing.ts"
import { received, session, settled } from "./support/scripted.ts"
import { session as sessionOf } from "./support/sessions.ts"

// What those do who share a store that loses its answers, or all that it had.

describe("a write that was done and said to have failed", () => {
  const outages: Record<string, (control: Control) => void> = {
    "can't be reached": (control) => {
      control.isReachable = false
    },
    "can be read, though it gives no lease": (control) => {
      control.store = { ...control.store, lease: Effect.fail(failure) }
    }
  }
  for (const [how, begin] of Object.entries(outages)) {
    it.effect(`leaves a refresh token that others may have, not to be spent when the store ${how}`, () =>
      Effect.gen(function*() {
        const { control, layer } = yield* make
        yield* Effect.gen(function*() {
          yield* session
          control.isMute = true
          yield* TestClock.adjust("1 hour")
          yield* session
          assert.strictEqual((yield* control.store.read).generation, 2)
          begin(control)
          yield* TestClock.adjust("1 hour")
          yield* session

          assert.deepStrictEqual(yield* received, ["authorize", "refresh", "authorize"])
        }).pipe(Effect.provide(layer))
      }))
  }

  it.effect("leaves a gap when its refresh token is spent, and what comes of it can't be stored", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        control.isMute = true
        yield* session
        control.isWritable = false
        yield* TenovosAuth.TenovosAuth.use((auth) => auth.sessionWith({ forceRefresh: true }))

        assert.deepStrictEqual(yield* received, ["authorize", "refresh"])
        assert.isTrue(Option.getOrThrow(yield* Effect.scoped(control.store.lease)).isGap)
      }).pipe(Effect.provide(layer))
    }))
})

describe("a write that has failed, and may arrive later", () => {
  it.effect("leaves a refresh token that is nobody else's only under a later lease", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        yield* session
        const { store } = control
        for (const [isLeased, last] of [[false, "authorize"], [true, "refresh"]] as const) {
          yield* TestClock.adjust("1 hour")
          control.isWritable = false
          yield* session
          // A look without the lease says nothing of what is on its way.
          control.store = isLeased ? store : { ...store, lease: Effect.fail(failure) }
          yield* TestClock.adjust("1 hour")
          yield* session
          assert.strictEqual((yield* received).at(-1), last)
          control.isWritable = true
          control.store = store
          yield* TestClock.adjust("10 minutes")
        }
      }).pipe(Effect.provide(layer))
    }))
})

describe("a session that could not be stored", () => {
  const signOutOf = (store: SessionStore.SessionStore["Service"]) =>
    Effect.orDie(Effect.flatMap(store.read, ({ generation }) => store.clear(generation)))

  /** One that signs in while the store is out of reach, an hour after another was stored. */
  const outage = (control: Control) =>
    Effect.gen(function*() {
      yield* session
      yield* TestClock.adjust("1 hour")
      control.isReachable = false
      return yield* session
    })

  it.effect("is stored where nothing has changed, under the lease", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        yield* outage(control)
        const scope = yield* Scope.make()
        yield* Scope.provide(control.store.lease, scope)
        control.isReachable = true
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* control.store.read).generation, 1)
        yield* Scope.close(scope, Exit.void)
        yield* TestClock.adjust("10 seconds")

        assert.strictEqual((yield* control.store.read).generation, 2)
        assert.deepStrictEqual(yield* received, ["authorize", "authorize"])
      }).pipe(Effect.provide(layer))
    }))

  it.effect("is not stored while its refresh token is being spent", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        yield* outage(control)
        // The store is back amid the exchange, and is tried again meanwhile.
        let amid = 0
        control.amid = Effect.sync(() => control.isReachable = true).pipe(
          Effect.andThen(Effect.sleep("8 seconds")),
          Effect.andThen(Effect.orDie(control.store.read)),
          Effect.map(({ generation }) => amid = generation)
        )
        const auth = yield* TenovosAuth.TenovosAuth
        const renewal = yield* Effect.forkChild(auth.sessionWith({ forceRefresh: true }), { startImmediately: true })
        yield* TestClock.adjust("9 seconds")
        const renewed = yield* Fiber.join(renewal)
        assert.strictEqual(amid, 1)

        yield* TestClock.adjust("1 minute")
        const { session: stored } = yield* control.store.read
        assertEquals(Option.getOrThrow(stored).accessToken, renewed.accessToken)
        assert.deepStrictEqual(yield* received, ["authorize", "authorize", "refresh"])
      }).pipe(Effect.provide(layer))
    }))

  it.effect("is not spent while it is being stored", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        yield* outage(control)
        control.isReachable = true
        const { store } = control
        const [asked, answered] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        control.store = {
          ...store,
          commit: (...args) =>
            Deferred.succeed(asked, undefined).pipe(
              Effect.andThen(Deferred.await(answered)),
              Effect.andThen(store.commit(...args))
            )
        }
        yield* TestClock.adjust("1 second")
        yield* Deferred.await(asked)
        control.isReachable = false
        yield* TenovosAuth.TenovosAuth.use((auth) => auth.sessionWith({ forceRefresh: true }))
        yield* Deferred.succeed(answered, undefined)

        assert.deepStrictEqual(yield* received, ["authorize", "authorize", "authorize"])
      }).pipe(Effect.provide(layer))
    }))

  for (const isDone of [true, false]) {
    it.effect(`stays signed out of where ${isDone ? "the answer of " : ""}its write comes late`, () =>
      Effect.gen(function*() {
        const { control, layer } = yield* make
        yield* Effect.gen(function*() {
          const { accessToken } = yield* outage(control)
          control.isReachable = true
          const { store } = control
          const [asked, answered] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
          const late = Effect.andThen(Deferred.succeed(asked, undefined), Deferred.await(answered))
          control.store = {
            ...store,
            commit: (...args) =>
              isDone ? Effect.tap(store.commit(...args), late) : Effect.andThen(late, store.commit(...args)),
            clear: () => Effect.fail(failure)
          }
          yield* TestClock.adjust("1 second")
          yield* Deferred.await(asked)
          const auth = yield* TenovosAuth.TenovosAuth
          yield* auth.signOut
          yield* Deferred.succeed(answered, undefined)
          yield* settled
          control.store = store
          const next = yield* auth.session

          assert.notStrictEqual(Redacted.value(next.accessToken), Redacted.value(accessToken))
        }).pipe(Effect.provide(layer))
      }))
  }

  it.effect("is ended, and not stored, where somebody has signed out since", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        yield* outage(control)
        yield* signOutOf(control.store)
        control.isReachable = true
        yield* TestClock.adjust("10 seconds")

        assert.isTrue(Option.isNone((yield* control.store.read).session))
        assert.strictEqual((yield* TenovosAuth.TenovosAuth.use((auth) => auth.state))._tag, "SignedOut")
        assert.deepStrictEqual(yield* received, ["authorize", "authorize", "expire"])
      }).pipe(Effect.provide(layer))
    }))

  it.effect("is not stored by the next renewal either", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        const { accessToken } = yield* outage(control)
        yield* signOutOf(control.store)
        control.isReachable = true
        // Sooner than it is tried to store it again, and not in the moment of the sign-in before.
        yield* TestClock.adjust("500 millis")
        const next = yield* TenovosAuth.TenovosAuth.use((auth) => auth.sessionWith({ forceRefresh: true }))

        assert.notStrictEqual(Redacted.value(next.accessToken), Redacted.value(accessToken))
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(yield* received, ["authorize", "authorize", "authorize", "expire"])
      }).pipe(Effect.provide(layer))
    }))

  it.effect("is ended with the stored one, of another sign-in, by a sign-out", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        yield* outage(control)
        control.isReachable = true
        const outcome = yield* TenovosAuth.TenovosAuth.use((auth) => auth.signOut)

        assert.strictEqual(outcome._tag, "Expired")
        assert.deepStrictEqual(yield* received, ["authorize", "authorize", "expire", "expire"])
      }).pipe(Effect.provide(layer))
    }))
})

describe("a sign-out", () => {
  it.effect("ends the session in hand, and that of another sign-in which is stored instead", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        const first = yield* session
        const other = new Session.Session({
          ...sessionOf(2, "of another"),
          authenticatedAt: DateTime.makeUnsafe(1),
          expiresAt: first.expiresAt
        })
        yield* control.store.commit(other, 1)
        yield* TenovosAuth.TenovosAuth.use((auth) => auth.signOut)
        assert.deepStrictEqual(yield* received, ["authorize", "expire", "expire"])

        const next = yield* session
        yield* control.store.commit(new Session.Session({ ...next, generation: 5 }), 4)
        yield* TenovosAuth.TenovosAuth.use((auth) => auth.signOut)
        assert.deepStrictEqual((yield* received).slice(3), ["authorize", "expire"])
      }).pipe(Effect.provide(layer))
    }))
})

describe("an exchange that a write has overtaken", () => {
  /** Amid the exchange this session is stored, and lives for two days. */
  const overtake = (control: Control, accessToken: string) =>
    Effect.gen(function*() {
      const { generation } = yield* control.store.read
      const other = sessionOf(generation + 1, accessToken)
      const expiresAt = DateTime.makeUnsafe("1970-01-03")
      yield* control.store.commit(new Session.Session({ ...other, expiresAt }), generation)
    }).pipe(Effect.orDie)

  it.effect("leaves nobody with a refresh token that others have, too", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        yield* session
        yield* TestClock.adjust("1 hour")
        control.amid = overtake(control, "of another")
        assert.strictEqual(Redacted.value((yield* session).accessToken), "of another")
        control.amid = Effect.void
        control.isReachable = false
        yield* TestClock.adjust("2 days")
        yield* session

        assert.deepStrictEqual(yield* received, ["authorize", "refresh", "authorize"])
      }).pipe(Effect.provide(layer))
    }))

  it.effect("is not undone when it was the session that it has spent", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        const first = yield* session
        control.amid = overtake(control, Redacted.value(first.accessToken))
        const renewed = yield* TenovosAuth.TenovosAuth.use((auth) => auth.sessionWith({ forceRefresh: true }))

        assert.strictEqual(Redacted.value(renewed.accessToken), "access-1")
        yield* TestClock.adjust("10 seconds")
        const { session: stored } = yield* control.store.read
        assert.strictEqual(Redacted.value(Option.getOrThrow(stored).accessToken), "access-1")
      }).pipe(Effect.provide(layer))
    }))
})

describe("a lease that another has followed before the second look", () => {
  it.effect("is not one to exchange under", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        yield* session
        const later = yield* SessionStore.makeMemory
        yield* later.commit(sessionOf(2, "of another"), 0)
        yield* Effect.replicateEffect(Effect.scoped(later.lease), 3)
        control.leased = Effect.sync(() => {
          control.store = later
          control.leased = Effect.void
        })
        yield* TestClock.adjust("1 hour")
        yield* session

        assert.deepStrictEqual(yield* received, ["authorize", "refresh"])
        // It was stored at once, so it came under a lease that was good.
        assert.strictEqual((yield* later.read).generation, 3)
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
        assert.deepStrictEqual(yield* received, ["authorize", "refresh"])
      }).pipe(Effect.provide(layer))
    }))
})
