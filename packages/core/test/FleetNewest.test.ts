import { type AuthError, Session, SessionStore, TenovosAuth } from "@effect-tenovos/core"
import { ScriptedAuthority } from "@effect-tenovos/testing"
import { assert, describe, it } from "@effect/vitest"
import { assertEquals } from "@effect/vitest/utils"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { type Control, failure, make } from "./support/losing.ts"
import { received, session, settled } from "./support/scripted.ts"
import { session as sessionOf } from "./support/sessions.ts"

// Which of two sessions goes on: that in hand, or that which the store has.

/** What somebody else has stored, for two days. */
const others = (generation: number) =>
  new Session.Session({
    ...sessionOf(generation, "of another"),
    refreshToken: Redacted.make("refresh of another"),
    expiresAt: DateTime.makeUnsafe("1970-01-03")
  })

const forced = TenovosAuth.TenovosAuth.use((auth) => auth.sessionWith({ forceRefresh: true }))

describe("a store that has lost all since", () => {
  it.effect("takes what comes of the session in hand", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        yield* session
        control.store = yield* SessionStore.makeMemory
        yield* TestClock.adjust("1 hour")
        yield* session

        assert.deepStrictEqual(yield* received, ["authorize", "refresh"])
      }).pipe(Effect.provide(layer))
    }))

  it.effect("is believed when it has as new a session, of somebody else", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        yield* session
        control.store = yield* SessionStore.makeMemory
        yield* control.store.commit(others(1), 0)
        yield* TestClock.adjust("1 hour")

        assert.strictEqual(Redacted.value((yield* session).accessToken), "of another")
        assert.deepStrictEqual(yield* received, ["authorize"])
      }).pipe(Effect.provide(layer))
    }))
})

describe("a session that was renewed while the store was out of reach", () => {
  // Its generation is the third, and the store, where another has stored one, is at the second.
  const overtaken = Effect.gen(function*() {
    const made = yield* make
    const { control } = made
    const begin = Effect.gen(function*() {
      yield* session
      yield* TestClock.adjust("1 hour")
      control.isReachable = false
      yield* session
      yield* TestClock.adjust("1 hour")
      yield* session
      assert.deepStrictEqual(yield* received, ["authorize", "authorize", "refresh"])
      yield* control.store.commit(others(2), 1)
      control.isReachable = true
    })
    return { ...made, begin }
  })

  it.effect("is not renewed any more once another was stored, before it gives way and after", () =>
    Effect.gen(function*() {
      const { begin, control, layer } = yield* overtaken
      yield* Effect.gen(function*() {
        yield* begin
        control.status = 503
        const renewal = yield* Effect.forkChild(forced, { startImmediately: true })
        // It is tried to store the one in hand before the authority is asked again.
        yield* TestClock.adjust("3 seconds")
        control.status = 200
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(renewal)

        const all = yield* ScriptedAuthority.ScriptedAuthority.use((authority) => authority.received)
        assert.deepStrictEqual(
          all.slice(3).map(({ body }) => body.includes("refresh of another")),
          [true, true]
        )
      }).pipe(Effect.provide(layer))
    }))
})

describe("a session that was followed by another sign-in", () => {
  for (const isStored of [true, false]) {
    it.effect(`is not ended if its refresh token was refused, and that sign-in is ${isStored ? "" : "not "}stored`, () =>
      Effect.gen(function*() {
        const { control, layer } = yield* make
        yield* Effect.gen(function*() {
          yield* session
          yield* TestClock.adjust("1 minute")
          control.status = 401
          control.isWritable = isStored
          yield* forced
          if (!isStored) yield* control.store.commit(others(2), 1)
          yield* TestClock.adjust("1 hour")

          const ended = isStored ? [] : ["expire"]
          assert.deepStrictEqual(yield* received, ["authorize", "refresh", "authorize", ...ended])
        }).pipe(Effect.provide(layer))
      }))
  }

  it.effect("is ended if it was never stored, and that sign-in is", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        yield* session
        yield* TestClock.adjust("1 hour")
        control.isWritable = false
        yield* session
        // Its write may arrive later, and so its refresh token is not spent without the lease.
        const { store } = control
        control.store = { ...store, lease: Effect.fail(failure) }
        yield* forced
        control.isWritable = true
        control.store = store
        yield* TestClock.adjust("1 hour")

        assert.deepStrictEqual(yield* received, ["authorize", "refresh", "authorize", "expire"])
      }).pipe(Effect.provide(layer))
    }))

  it.effect("is ended with that by a sign-out, although the store can't be reached", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        yield* session
        yield* TestClock.adjust("1 minute")
        control.isReachable = false
        yield* forced
        const outcome = yield* TenovosAuth.TenovosAuth.use((auth) => auth.signOut)

        assert.strictEqual(outcome._tag, "Forgotten")
        assert.deepStrictEqual(yield* received, ["authorize", "authorize", "expire", "expire"])
      }).pipe(Effect.provide(layer))
    }))
})

describe("a session that could not be stored, nor renewed", () => {
  it.effect("is stored when that is possible", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        control.isReachable = false
        const { accessToken } = yield* session
        control.status = 503
        yield* Effect.forkChild(Effect.exit(forced), { startImmediately: true })
        yield* TestClock.adjust("20 minutes")
        control.isReachable = true
        yield* TestClock.adjust("10 minutes")

        const { session: stored } = yield* control.store.read
        assertEquals(Option.map(stored, (session) => session.accessToken), Option.some(accessToken))
      }).pipe(Effect.provide(layer))
    }))
})

describe("a sign-out amid the wait for the lease", () => {
  it.effect("spends no refresh token", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        yield* session
        yield* TestClock.adjust("1 hour")
        const auth = yield* TenovosAuth.TenovosAuth
        control.leased = Effect.asVoid(Effect.forkDetach(auth.signOut, { startImmediately: true }))
        yield* Effect.flip(session)
        yield* settled

        assert.deepStrictEqual(yield* received, ["authorize", "expire"])
      }).pipe(Effect.provide(layer))
    }))
})

describe("a sign-out", () => {
  const signOut = TenovosAuth.TenovosAuth.use((auth) => auth.signOut)

  it.effect("is of nothing that comes after it, although the store can't be reached then", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* Effect.gen(function*() {
        yield* session
        yield* signOut
        control.isReachable = false
        const { accessToken } = yield* session
        control.isReachable = true
        yield* TestClock.adjust("10 seconds")

        const { session: stored } = yield* control.store.read
        assertEquals(Option.map(stored, (session) => session.accessToken), Option.some(accessToken))
      }).pipe(Effect.provide(layer))
    }))

  it.effect("is of what was stored before, although the store was never reached", () =>
    Effect.gen(function*() {
      const { control, layer } = yield* make
      yield* control.store.commit(others(1), 0)
      yield* Effect.gen(function*() {
        control.isReachable = false
        yield* signOut
        control.isReachable = true
        yield* session

        assert.deepStrictEqual(yield* received, ["authorize"])
      }).pipe(Effect.provide(layer))
    }))
})

describe("a store that fails", () => {
  const troubles: Record<string, (control: Control) => void> = {
    "can't be reached": (control) => {
      control.isReachable = false
    },
    "can't be understood": (control) => {
      const read = Effect.map(control.store.read, (stored) => ({ ...stored, unreadable: failure }))
      control.store = { ...control.store, read }
    }
  }
  for (const [how, begin] of Object.entries(troubles)) {
    it.effect(`is told of, with the reason, where it ${how}`, () =>
      Effect.gen(function*() {
        const { control, layer } = yield* make
        yield* Effect.gen(function*() {
          const auth = yield* TenovosAuth.TenovosAuth
          const errors: Array<AuthError.AuthError> = []
          yield* auth.events.pipe(
            Stream.runForEach((event) =>
              Effect.sync(() => event._tag === "StoreFailed" ? errors.push(event.error) : undefined)
            ),
            Effect.forkScoped({ startImmediately: true })
          )
          yield* settled
          begin(control)
          yield* session
          yield* settled

          assert.deepStrictEqual(errors.map((error) => error === failure), [true])
        }).pipe(Effect.provide(layer))
      }))
  }
})
