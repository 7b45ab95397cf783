/**
 * The keys that encrypt a session where it is stored.
 *
 * A key is 32 random bytes, as `openssl rand -base64 32` prints them. The first of the keys encrypts; the others are those
 * before it, which are still good to read with: what they have encrypted is encrypted anew with the next write. The
 * algorithm is AES-256-GCM. A record names its key, and is bound to the place and the generation that it was written for.
 *
 * Provide a layer of this module to the layer of a store. Without it, stores keep plain text; with it, they do not trust
 * plain text.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Aead from "effect/crypto/Aead"
import * as Digest from "effect/crypto/Digest"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Base64Url from "effect/encoding/Base64Url"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/**
 * A key for AES-256-GCM, and its name.
 *
 * @category models
 * @since 0.1.0
 */
export interface Key {
  /** Names it in what it has encrypted, and tells nothing else about it. */
  readonly id: string
  readonly secret: Aead.Key<Aead.AesGcm>
}

/**
 * The keys at hand, the newest first. None by default.
 *
 * @category references
 * @since 0.1.0
 */
export const Keys: Context.Reference<ReadonlyArray<Key>> = Context.Reference<ReadonlyArray<Key>>(
  "@effect-tenovos/core/SessionEncryption/Keys",
  { defaultValue: () => [] }
)

/**
 * The key of a text: 32 bytes in base64, as `openssl rand -base64 32` prints them. Fails with {@link MalformedKey}
 * for any other.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (text: Redacted.Redacted): Effect.Effect<Key, MalformedKey> =>
  Effect.gen(function*() {
    const bytes = Result.getOrUndefined(Base64.decode(Redacted.value(text).trim()))
    if (bytes?.length !== 32) return yield* new MalformedKey()
    const label = new TextEncoder().encode("effect-tenovos store key")
    const digest = yield* Digest.Digest.use((digest) =>
      digest.digest(Digest.sha256, new Uint8Array([...label, ...bytes]))
    )
    return { id: Base64Url.encode(digest.slice(0, 8)), secret: yield* Aead.key(Aead.aes256Gcm, bytes) }
  }).pipe(
    Effect.provide(Digest.layerWebCrypto),
    // Only a length that is not 32 could be refused.
    Effect.catchTag("CryptoError", Effect.die)
  )

/**
 * Keys that the program gets as it likes, as from a key management service: the newest first.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E, R>(
  keys: Effect.Effect<ReadonlyArray<Redacted.Redacted>, E, R>
): Layer.Layer<never, MalformedKey | E, R> =>
  Layer.effect(Keys, Effect.flatMap(keys, (texts) => Effect.forEach(texts, make)))

/**
 * The key of the environment's `TENOVOS_STORE_KEY`, and while it is being changed the one before in
 * `TENOVOS_STORE_KEY_PREVIOUS`. Without them, none.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: Layer.Layer<never, MalformedKey | Config.ConfigError> = Layer.suspend(() =>
  layer(Effect.map(
    Effect.all([
      Config.option(Config.Redacted("TENOVOS_STORE_KEY")),
      Config.option(Config.Redacted("TENOVOS_STORE_KEY_PREVIOUS"))
    ]),
    // The one before is only to read with.
    ([key, previous]) => Option.isNone(key) ? [] : [key, previous].flatMap(Option.toArray)
  ))
)

/**
 * The keys of a file, one on each line, the newest first. A file without any is malformed: it may be filled in later.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFile = (
  path: string
): Layer.Layer<never, MalformedKey | PlatformError.PlatformError, FileSystem.FileSystem> =>
  layer(Effect.gen(function*() {
    const text = yield* FileSystem.FileSystem.use((files) => files.readFileString(path))
    const lines = text.split("\n").filter((line) => line.trim() !== "")
    return lines.length === 0 ? yield* new MalformedKey() : lines.map((line) => Redacted.make(line))
  }))

/**
 * What was given isn't 32 bytes in base64.
 *
 * @category errors
 * @since 0.1.0
 */
export class MalformedKey extends Schema.TaggedError<MalformedKey>(
  "@effect-tenovos/core/SessionEncryption/MalformedKey"
)("MalformedKey", {}) {
  override get message(): string {
    return "A store's key is not 32 bytes in base64: make one with `openssl rand -base64 32`"
  }
}
