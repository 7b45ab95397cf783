/**
 * The key that encrypts an authority's private keys in its database, so that a copy of the database is not enough to
 * sign tokens.
 *
 * It is 32 random bytes, as `openssl rand -base64 32` prints them, and never in the database itself. What it has
 * encrypted names it by a digest and is bound to its place, so a wrong key, and a row put in another's place, are
 * noticed.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { createHmac, createSecretKey, type KeyObject } from "node:crypto"
import * as jose from "./internal/jose.ts"

/**
 * A key for AES-256-GCM, and its name.
 *
 * @category models
 * @since 0.1.0
 */
export interface MasterKey {
  /** Names it in what it has encrypted, and tells nothing else about it. */
  readonly id: string
  readonly secret: KeyObject
}

/**
 * The master key, and the one that it replaces.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** 32 bytes in base64 or hex. Without it private keys are kept as they are. */
  readonly masterKey?: Redacted.Redacted | undefined
  /** The one before, in a start that changes it: what it has encrypted is encrypted anew. */
  readonly previousMasterKey?: Redacted.Redacted | undefined
}

/**
 * The options as the environment has them: `TENOVOS_MASTER_KEY` and `TENOVOS_MASTER_KEY_PREVIOUS`.
 *
 * @category options
 * @since 0.1.0
 */
export const config: Config.Config<Options> = Config.map(
  Config.all({
    masterKey: Config.option(Config.Redacted("TENOVOS_MASTER_KEY")),
    previousMasterKey: Config.option(Config.Redacted("TENOVOS_MASTER_KEY_PREVIOUS"))
  }),
  ({ masterKey, previousMasterKey }) => ({
    masterKey: Option.getOrUndefined(masterKey),
    previousMasterKey: Option.getOrUndefined(previousMasterKey)
  })
)

/**
 * The master keys at hand, with which to open what is encrypted. The first one encrypts. None by default.
 *
 * @category references
 * @since 0.1.0
 */
export const MasterKeys: Context.Reference<ReadonlyArray<MasterKey>> = Context.Reference<ReadonlyArray<MasterKey>>(
  "@effect-tenovos/server/MasterKey/MasterKeys",
  { defaultValue: () => [] }
)

/**
 * The key of a text: 32 bytes in base64 or hex. Fails with {@link MalformedMasterKey} for any other.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (text: Redacted.Redacted): Effect.Effect<MasterKey, MalformedMasterKey> =>
  Effect.suspend(() => {
    const bytes = decode(Redacted.value(text).trim())
    if (bytes?.length !== 32) return Effect.fail(new MalformedMasterKey())
    const id = createHmac("sha256", bytes).update("effect-tenovos master key").digest("base64url").slice(0, 11)
    return Effect.succeed({ id, secret: createSecretKey(bytes) })
  })

const decode = (text: string): Buffer | undefined => {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, "hex")
  // Node's decoder passes over what isn't base64, and takes both alphabets.
  return /^[\w+/-]{43}=?$/.test(text) ? Buffer.from(text, "base64") : undefined
}

/**
 * Encrypts a text for one place: a compact JWE of AES-256-GCM, whose header, authenticated with it, names both.
 *
 * @category combinators
 * @since 0.1.0
 */
export const seal = (self: MasterKey, place: string, plaintext: string): string =>
  jose.seal(self.secret, { alg: "dir", enc: "A256GCM", kid: self.id, place }, plaintext)

/**
 * The text, when this key encrypted it for this place.
 *
 * @category combinators
 * @since 0.1.0
 */
export const open = (self: MasterKey, place: string, sealed: string): Option.Option<string> =>
  jose.unseal(self.secret, { alg: "dir", enc: "A256GCM", kid: self.id, place }, sealed)

/**
 * The id of the key that encrypted it.
 *
 * @category getters
 * @since 0.1.0
 */
export const idOf = (sealed: string): string | undefined => Option.getOrUndefined(jose.kidOf(sealed))

/**
 * Provides the master keys of the options to {@link MasterKeys}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<never, MalformedMasterKey> =>
  Layer.effect(
    MasterKeys,
    Effect.forEach(
      [options?.masterKey, options?.previousMasterKey].filter((text) => text !== undefined),
      make
    )
  )

/**
 * What was given isn't 32 bytes in base64 or hex.
 *
 * @category errors
 * @since 0.1.0
 */
export class MalformedMasterKey extends Schema.TaggedError<MalformedMasterKey>(
  "@effect-tenovos/server/MasterKey/MalformedMasterKey"
)("MalformedMasterKey", {}) {
  override get message(): string {
    return "The master key is not 32 bytes in base64 or hex: make one with `openssl rand -base64 32`"
  }
}
