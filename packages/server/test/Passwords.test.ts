import { Passwords } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { vi } from "vitest"

// The real one, and how many of its verifications are under way.
const work = vi.hoisted(() => ({ now: 0, most: 0, total: 0 }))
vi.mock(import("@node-rs/argon2"), async (original) => {
  const real = await original()
  return {
    ...real,
    verify: async (...args) => {
      work.total++
      work.most = Math.max(work.most, ++work.now)
      return real.verify(...args).finally(() => work.now--)
    }
  }
})

const right = Redacted.make("correct horse")
const wrong = Redacted.make("wrong")

describe("Passwords", () => {
  it.effect("knows a password again, and no other", () =>
    Effect.gen(function*() {
      const passwords = yield* Passwords.Passwords
      const hash = Option.some(yield* passwords.hash(right))

      assert.isTrue(yield* passwords.verify(hash, right))
      for (const other of ["wrong", "", "correct horse ", "correct horse\0", "Correct horse"]) {
        assert.isFalse(yield* passwords.verify(hash, Redacted.make(other)))
      }
    }).pipe(Effect.provide(Passwords.layer)))

  it.effect("hashes the same password differently each time, with the parameters of OWASP", () =>
    Effect.gen(function*() {
      const passwords = yield* Passwords.Passwords

      const first = yield* passwords.hash(right)
      const second = yield* passwords.hash(right)

      assert.notStrictEqual(first, second)
      assert.match(first, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
    }).pipe(Effect.provide(Passwords.layer)))

  it.live("has two at work at a time, also when their callers have gone", () =>
    Effect.gen(function*() {
      const passwords = yield* Passwords.Passwords
      const hash = Option.some(yield* passwords.hash(right))
      work.most = 0

      const gone = yield* Effect.forEach([1, 2, 3, 4], () => Effect.forkChild(passwords.verify(hash, right)))
      yield* Effect.yieldNow
      yield* Effect.forkChild(Fiber.interruptAll(gone))
      const stayed = yield* Effect.forEach([1, 2, 3, 4], () => passwords.verify(hash, right), {
        concurrency: "unbounded"
      })

      assert.deepStrictEqual(stayed, [true, true, true, true])
      assert.strictEqual(work.most, 2)
    }).pipe(Effect.provide(Passwords.layer)))

  it.live("answers at once, and without a hash, when 256 wait", () =>
    Effect.gen(function*() {
      const passwords = yield* Passwords.Passwords
      const hash = Option.some(yield* passwords.hash(right))
      const tryVerify = passwords.tryVerify(hash, right)
      work.total = 0

      const others = yield* Effect.replicateEffect(Effect.forkChild(tryVerify), 258)
      yield* Effect.yieldNow
      const refused = yield* tryVerify
      const { now, total } = work
      yield* Fiber.interruptAll(others)
      const accepted = yield* tryVerify

      assert.isTrue(Option.isNone(refused))
      assert.deepStrictEqual([now, total], [2, 2])
      assert.deepStrictEqual(accepted, Option.some(true))
    }).pipe(Effect.provide(Passwords.layer)))

  // Processor time, and by turns: on a busy machine the clock on the wall says nothing.
  it.live("works as hard to say no to somebody who isn't there", () =>
    Effect.gen(function*() {
      const passwords = yield* Passwords.Passwords
      const hash = Option.some(yield* passwords.hash(right))
      const work = Effect.fnUntraced(function*(hash: Option.Option<string>) {
        const before = process.cpuUsage()
        assert.isFalse(yield* passwords.verify(hash, wrong))
        const { system, user } = process.cpuUsage(before)
        return system + user
      })

      let known = Infinity
      let unknown = Infinity
      for (let i = 0; i < 10; i++) {
        known = Math.min(known, yield* work(hash))
        unknown = Math.min(unknown, yield* work(Option.none()))
      }

      assert.isAbove(unknown / known, 0.75)
      assert.isBelow(unknown / known, 1.33)
    }).pipe(Effect.provide(Passwords.layer)))
})
