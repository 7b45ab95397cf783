import { Passwords } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { execFileSync } from "node:child_process"
import { work } from "./fixtures/hashes.ts"

const right = Redacted.make("correct horse")
const wrong = Redacted.make("wrong")

describe("Passwords", () => {
  it.effect("knows a password again, and no other", () =>
    Effect.gen(function*() {
      const passwords = yield* Passwords.make()
      const hash = Option.some(yield* passwords.hash(right))

      assert.isTrue(yield* passwords.verify(hash, right))
      for (const other of ["wrong", "", "correct horse ", "correct horse\0", "Correct horse"]) {
        assert.isFalse(yield* passwords.verify(hash, Redacted.make(other)))
      }
    }))

  it.effect("hashes the same password differently each time, with the parameters of OWASP", () =>
    Effect.gen(function*() {
      const passwords = yield* Passwords.make()

      const first = yield* passwords.hash(right)
      const second = yield* passwords.hash(right)

      assert.notStrictEqual(first, second)
      assert.match(first, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
    }))

  it.effect("wants a hash anew when its parameters are not those of a new one, and reads it all the same", () =>
    Effect.gen(function*() {
      const passwords = yield* Passwords.make({ memoryCost: 32, timeCost: 2 })
      const verdict = Effect.fnUntraced(function*(options: Passwords.Options) {
        const hash = yield* (yield* Passwords.make(options)).hash(right)
        assert.isTrue(yield* passwords.verify(Option.some(hash), right))
        return passwords.needsRehash(hash)
      })

      assert.isFalse(yield* verdict({ memoryCost: 32, timeCost: 2 }))
      assert.isTrue(yield* verdict({ memoryCost: 31, timeCost: 2 }))
      assert.isTrue(yield* verdict({ memoryCost: 32, timeCost: 1 }))
      assert.isTrue(yield* verdict({ memoryCost: 64, timeCost: 2 }))
      assert.isTrue(yield* verdict({ memoryCost: 64, timeCost: 1 }))
      assert.isTrue(passwords.needsRehash("$argon2i$v=19$m=9999,t=9,p=1$c2FsdHNhbHQ$aGFzaA"))
    }))

  it.live("has as many at work as it has threads, also when their callers have gone", () =>
    Effect.gen(function*() {
      const passwords = yield* Passwords.make({ threads: 2 })
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
    }))

  it.live("answers at once, and without a hash, when the queue is full", () =>
    Effect.gen(function*() {
      const passwords = yield* Passwords.make({ threads: 2, queue: 6 })
      const hash = Option.some(yield* passwords.hash(right))
      const tryVerify = passwords.tryVerify(hash, right)
      work.total = 0

      const others = yield* Effect.replicateEffect(Effect.forkChild(tryVerify), 8)
      yield* Effect.yieldNow
      const refused = yield* tryVerify
      const notHashed = yield* passwords.tryHash(right)
      const { now, total } = work
      yield* Fiber.interruptAll(others)
      const accepted = yield* tryVerify
      const hashed = yield* passwords.tryHash(right)

      assert.isTrue(Option.isNone(refused))
      assert.isTrue(Option.isNone(notHashed))
      assert.deepStrictEqual([now, total], [2, 8])
      assert.deepStrictEqual(accepted, Option.some(true))
      assert.isTrue(yield* passwords.verify(hashed, right))
    }))

  it.live("dies of what isn't a hash, without repeating it, and goes on with the next", () =>
    Effect.gen(function*() {
      const passwords = yield* Passwords.make({ threads: 1, memoryCost: 8, timeCost: 1 })

      const exit = yield* Effect.exit(passwords.verify(Option.some("canary-of-a-hash"), right))
      const hash = yield* passwords.hash(right)

      assert.isTrue(Exit.isFailure(exit))
      assert.notInclude(String(exit), "canary")
      assert.isTrue(yield* passwords.verify(Option.some(hash), right))
    }))

  it("lets a process end that waits for no hash, and none end before its hash", () => {
    const program = `
      import { Passwords } from "@effect-tenovos/server"
      import { Effect, Redacted, Scope } from "effect"
      const passwords = await Effect.runPromise(Scope.provide(Passwords.make(), Scope.makeUnsafe()))
      const hash = () => Effect.runPromise(passwords.hash(Redacted.make("x")))
      console.log((await hash()).length)
      console.log((await hash()).length)
    `

    const printed = execFileSync(process.execPath, ["--input-type=module", "--eval", program], {
      cwd: import.meta.dirname,
      encoding: "utf8",
      timeout: 20_000
    })

    assert.strictEqual(printed, "97\n97\n")
  })

  // Processor time, and by turns: on a busy machine the clock on the wall says nothing.
  it.live("works as hard to say no to somebody who isn't there, with whatever parameters", () =>
    Effect.gen(function*() {
      for (const options of [{}, { memoryCost: 19 * 1024, timeCost: 6 }]) {
        const passwords = yield* Passwords.make(options)
        const hash = Option.some(yield* passwords.hash(right))
        const cost = Effect.fnUntraced(function*(hash: Option.Option<string>) {
          const before = process.cpuUsage()
          assert.isFalse(yield* passwords.verify(hash, wrong))
          const { system, user } = process.cpuUsage(before)
          return system + user
        })

        let known = Infinity
        let unknown = Infinity
        for (let i = 0; i < 10; i++) {
          known = Math.min(known, yield* cost(hash))
          unknown = Math.min(unknown, yield* cost(Option.none()))
        }

        assert.isAbove(unknown / known, 0.75)
        assert.isBelow(unknown / known, 1.33)
      }
    }))
})
