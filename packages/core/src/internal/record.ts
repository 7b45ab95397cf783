import * as Aead from "effect/crypto/Aead"
import * as Digest from "effect/crypto/Digest"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Session } from "../Session.ts"
import type * as SessionEncryption from "../SessionEncryption.ts"

// A record as the text that is stored: a line that says how to read the rest, and the rest. Any byte of it that is another
// is noticed, by a digest or by the encryption.

/** Credentials that the authority refused, by what can't be turned back into them. */
const Refused = Schema.Struct({
  salt: Schema.String,
  hash: Schema.String,
  message: Schema.String,
  until: Schema.Int
})

export const Content = Schema.Struct({
  session: Schema.NullOr(Session),
  /** Milliseconds that were left of the access token's life when this was written. */
  life: Schema.optionalKey(Schema.Int),
  refused: Schema.optionalKey(Refused)
})
export type Content = typeof Content.Type

/** A text that is no record. `isForeign` where it may well be one, for who has the key. */
export class Unreadable extends Data.TaggedError("Unreadable")<{
  readonly message: string
  readonly isForeign: boolean
}> {}

/** What a record is written for, and is good for nowhere else. */
export interface Address {
  readonly place: string
  readonly generation: number
}

const utf8 = new TextEncoder()
const Json = Schema.fromJsonString(Schema.toCodecJson(Content))
const services = Layer.mergeAll(
  Digest.layerWebCrypto,
  Layer.provideMerge(Aead.layerWebCrypto, SecureRandom.layerWebCrypto)
)

export const make = Effect.fnUntraced(function*(keys: ReadonlyArray<SessionEncryption.Key>) {
  const aead = yield* Aead.Aead
  const digest = yield* Digest.Digest
  const random = yield* SecureRandom.SecureRandom

  const bound = ({ generation, place }: Address, header: string) => utf8.encode(`${header}\n${generation}\n${place}`)

  const plainHeader = (text: string) =>
    Effect.map(
      digest.digest(Digest.sha256, utf8.encode(text)),
      (hash) => `tenovos-session 1 plain ${Base64Url.encode(hash)}`
    )

  const encode = (content: Content, address: Address) =>
    Effect.gen(function*() {
      const json = yield* Schema.encodeEffect(Json)(content)
      const [key] = keys
      if (key === undefined) return `${yield* plainHeader(json)}\n${json}`
      const nonce = yield* random.randomBytes(12)
      const header = `tenovos-session 1 ${key.id} ${Base64Url.encode(nonce)}`
      const sealed = yield* aead.encrypt(key.secret, utf8.encode(json), { nonce, aad: bound(address, header) })
      return `${header}\n${Base64Url.encode(sealed)}`
    }).pipe(Effect.orDie) // Content of its own type can be encoded, and a key of its own length encrypts.

  const decode = (text: string, address: Address): Effect.Effect<Content, Unreadable> =>
    Effect.gen(function*() {
      const [header = "", body = "", ...rest] = text.split("\n")
      const [name, version, how = "", nonceText = "", ...more] = header.split(" ")
      if (name !== "tenovos-session" || rest.length + more.length > 0) return yield* corrupt
      if (version !== "1") return yield* foreign("it is of a later version")
      if (how === "plain") {
        if (keys.length > 0) return yield* new Unreadable({ message: "it is not encrypted", isForeign: false })
        return (yield* plainHeader(body)) === header ? yield* Schema.decodeEffect(Json)(body) : yield* corrupt
      }
      const key = keys.find(({ id }) => id === how)
      if (key === undefined) {
        return yield* /^[\w-]{11}$/.test(how)
          ? foreign(`it is encrypted with the key ${how}, which is not at hand`)
          : corrupt
      }
      const nonce = Result.getOrUndefined(Base64Url.decode(nonceText))
      const sealed = Result.getOrUndefined(Base64Url.decode(body))
      // Some characters of a wrong text come to the same bytes.
      if (nonce?.length !== 12 || sealed === undefined || Base64Url.encode(sealed) !== body) return yield* corrupt
      const json = yield* aead.decrypt(key.secret, sealed, { nonce, aad: bound(address, header) })
      return yield* Schema.decodeEffect(Json)(new TextDecoder().decode(json))
    }).pipe(Effect.catchTags({ CryptoError: () => corrupt, SchemaError: () => corrupt }))

  return { encode, decode }
}, Effect.provide(services))

const corrupt = Effect.fail(new Unreadable({ message: "it is damaged", isForeign: false }))
const foreign = (message: string) => Effect.fail(new Unreadable({ message, isForeign: true }))
