/**
 * Passwords as argon2id hashes, with the parameters that OWASP recommends: 19 MiB, two passes, one lane.
 *
 * They are hashed on threads of their own, one fewer than the machine has cores and at most four, at a lower priority
 * than the rest of the process. Whoever finds all of them busy waits. A hash so cheap that only tests would want it is
 * made at once.
 *
 * Asking for a user who isn't there costs one verification too, so the time of an answer doesn't tell who exists.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { randomBytes } from "node:crypto"
import { availableParallelism } from "node:os"
import * as hashers from "./internal/hashers.ts"

/**
 * What a hash costs, and how many are made at a time. The costs must be the same in all processes on one database.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** The memory that a hash takes, in KiB, from 8 on. Defaults to 19 MiB. */
  readonly memoryCost?: number | undefined
  /** How often a hash passes over its memory. Defaults to 2. */
  readonly timeCost?: number | undefined
  /** How many hashes are at work at a time. Defaults to one fewer than there are cores, from 1 to 4. */
  readonly threads?: number | undefined
  /** How many callers of `tryVerify` and `tryHash` may wait while all threads are at work. Defaults to 256. */
  readonly queue?: number | undefined
}

/**
 * Hashes passwords, and verifies them.
 *
 * @category services
 * @since 0.1.0
 */
export class Passwords extends Context.Service<Passwords, {
  /** The hash to keep, in PHC string format. */
  readonly hash: (password: Redacted.Redacted) => Effect.Effect<string>
  /** The same where it can be done later: nothing, and at once, when the queue is full. */
  readonly tryHash: (password: Redacted.Redacted) => Effect.Effect<Option.Option<string>>
  /** Whether the password belongs to the hash. Without a hash it takes as long, and says no. */
  readonly verify: (hash: Option.Option<string>, password: Redacted.Redacted) => Effect.Effect<boolean>
  /** The same for somebody who can come again: nothing, and at once, when the queue is full. */
  readonly tryVerify: (
    hash: Option.Option<string>,
    password: Redacted.Redacted
  ) => Effect.Effect<Option.Option<boolean>>
  /** Whether the hash was made with other parameters than a new one is. Hash the password anew when you next see it. */
  readonly needsRehash: (hash: string) => boolean
}>()("@effect-tenovos/server/Passwords") {}

/**
 * Hashes on threads of its own, which end when the scope closes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(
  function*(options?: Options): Effect.fn.Return<Passwords["Service"], never, Scope.Scope> {
    const parameters = { memoryCost: options?.memoryCost ?? 19 * 1024, timeCost: options?.timeCost ?? 2 }
    const size = options?.threads ?? Math.max(1, Math.min(4, availableParallelism() - 1))
    const threads = yield* hashers.make(size)
    const places = yield* Semaphore.make(size + (options?.queue ?? 256))

    const hash = Effect.fn("Passwords.hash")(
      (password: Redacted.Redacted) => threads.hash(Redacted.value(password), parameters)
    )

    const tryHash = (password: Redacted.Redacted) => places.withPermitsIfAvailable(1)(hash(password))

    // The form of a hash with these parameters, of no password: nobody finds one for 32 random bytes.
    const nobody = `$argon2id$v=19$m=${parameters.memoryCost},t=${parameters.timeCost},p=1$${unpadded(16)}$${
      unpadded(32)
    }`

    const verify = Effect.fnUntraced(
      function*(stored: Option.Option<string>, password: Redacted.Redacted) {
        const matches = yield* threads.verify(Option.getOrElse(stored, () => nobody), Redacted.value(password))
        return matches && Option.isSome(stored)
      }
    )

    const tryVerify = (stored: Option.Option<string>, password: Redacted.Redacted) =>
      places.withPermitsIfAvailable(1)(verify(stored, password))

    const needsRehash = (stored: string): boolean =>
      !Option.exists(
        hashers.parametersOf(stored),
        ({ memoryCost, timeCost }) => memoryCost === parameters.memoryCost && timeCost === parameters.timeCost
      )

    return Passwords.of({ hash, tryHash, verify, tryVerify, needsRehash })
  }
)

const unpadded = (bytes: number): string => randomBytes(bytes).toString("base64").replace(/=+$/, "")

/**
 * Provides the hashes: see {@link make}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<Passwords> => Layer.effect(Passwords, make(options))
