/**
 * Passwords as argon2id hashes, with the parameters that OWASP recommends: 19 MiB, two passes, one lane.
 *
 * At most two are at work at a time: they share libuv's four threads with the signatures. The others wait.
 *
 * Asking for a user who isn't there costs one verification too, so the time of an answer doesn't tell who exists.
 *
 * @since 0.1.0
 */
import * as argon2 from "@node-rs/argon2"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Semaphore from "effect/Semaphore"
import { randomBytes } from "node:crypto"

// The package's default algorithm is argon2id; its enum can't be used with isolated modules.
const parameters = { memoryCost: 19 * 1024, timeCost: 2, parallelism: 1 }

const atWork = 2
const waiting = 256

/**
 * @category services
 * @since 0.1.0
 */
export class Passwords extends Context.Service<Passwords, {
  /** The hash to keep, in PHC string format. */
  readonly hash: (password: Redacted.Redacted) => Effect.Effect<string>
  /** Whether the password belongs to the hash. Without a hash it takes as long, and says no. */
  readonly verify: (hash: Option.Option<string>, password: Redacted.Redacted) => Effect.Effect<boolean>
  /** The same for somebody who can come again: nothing, and at once, when 256 such callers wait already. */
  readonly tryVerify: (
    hash: Option.Option<string>,
    password: Redacted.Redacted
  ) => Effect.Effect<Option.Option<boolean>>
}>()("@effect-tenovos/server/Passwords") {}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Passwords["Service"]> = Effect.gen(function*() {
  const workers = yield* Semaphore.make(atWork)
  const places = yield* Semaphore.make(atWork + waiting)
  // A thread that has begun goes on when its caller is gone, so its place isn't free before it ends.
  const work = <A>(run: () => Promise<A>) => workers.withPermit(Effect.uninterruptible(Effect.promise(run)))

  const hash = Effect.fn("Passwords.hash")(function*(password: Redacted.Redacted) {
    return yield* work(() => argon2.hash(Redacted.value(password), parameters))
  })
  const nobody = yield* hash(Redacted.make(randomBytes(32).toString("base64")))

  const verify = Effect.fn("Passwords.verify")(
    function*(stored: Option.Option<string>, password: Redacted.Redacted) {
      const candidate = Option.getOrElse(stored, () => nobody)
      const matches = yield* work(() => argon2.verify(candidate, Redacted.value(password)))
      return matches && Option.isSome(stored)
    }
  )

  const tryVerify = Effect.fn("Passwords.tryVerify")(
    (stored: Option.Option<string>, password: Redacted.Redacted) =>
      places.withPermitsIfAvailable(1)(verify(stored, password))
  )

  return Passwords.of({ hash, verify, tryVerify })
})

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Passwords> = Layer.effect(Passwords, make)
