/**
 * Passwords as argon2id hashes, with the parameters that OWASP recommends: 19 MiB, two passes, one lane.
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
import { randomBytes } from "node:crypto"

// The package's default algorithm is argon2id; its enum can't be used with isolated modules.
const parameters = { memoryCost: 19 * 1024, timeCost: 2, parallelism: 1 }

/**
 * @category services
 * @since 0.1.0
 */
export class Passwords extends Context.Service<Passwords, {
  /** The hash to keep, in PHC string format. */
  readonly hash: (password: Redacted.Redacted) => Effect.Effect<string>
  /** Whether the password belongs to the hash. Without a hash it takes as long, and says no. */
  readonly verify: (hash: Option.Option<string>, password: Redacted.Redacted) => Effect.Effect<boolean>
}>()("@effect-tenovos/server/Passwords") {}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Passwords["Service"]> = Effect.gen(function*() {
  const hash = Effect.fn("Passwords.hash")(function*(password: Redacted.Redacted) {
    return yield* Effect.promise((signal) => argon2.hash(Redacted.value(password), parameters, signal))
  })
  const nobody = yield* hash(Redacted.make(randomBytes(32).toString("base64")))

  const verify = Effect.fn("Passwords.verify")(
    function*(stored: Option.Option<string>, password: Redacted.Redacted) {
      const candidate = Option.getOrElse(stored, () => nobody)
      const matches = yield* Effect.promise((signal) =>
        argon2.verify(candidate, Redacted.value(password), undefined, signal)
      )
      return matches && Option.isSome(stored)
    }
  )

  return Passwords.of({ hash, verify })
})

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Passwords> = Layer.effect(Passwords, make)
