import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import {
  constants,
  createCipheriv,
  type KeyObject,
  publicEncrypt,
  randomBytes,
  sign as signCallback,
  verify as verifySync
} from "node:crypto"

// Compact JWS and JWE in the forms that Cognito makes: RS256 with a header of `kid` and `alg`, and RSA-OAEP with
// A256GCM. Nothing else is read or written, so no header chooses an algorithm.

interface SigningKey {
  readonly kid: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

/** Signs on libuv's threads, since an RSA signature takes about a millisecond. */
export const sign = (key: SigningKey, claims: object): Effect.Effect<string> => {
  const input = `${encode({ kid: key.kid, alg: "RS256" })}.${encode(claims)}`
  return Effect.callback<string>((resume) => {
    signCallback("RSA-SHA256", Buffer.from(input), key.privateKey, (error, signature) => {
      resume(error === null ? Effect.succeed(`${input}.${signature.toString("base64url")}`) : Effect.die(error))
    })
  })
}

/** The claims of a token that this key signed, whatever its age. */
export const verify = (key: SigningKey, token: string): Option.Option<unknown> => {
  const [header, claims, signature, ...more] = token.split(".")
  if (header === undefined || claims === undefined || signature === undefined || more.length > 0) return Option.none()
  // Node's decoder passes over what isn't base64url.
  if (![header, claims, signature].every((part) => /^[\w-]+$/.test(part))) return Option.none()
  return Option.filter(decodeHeader(header), ({ alg, kid }) =>
    alg === "RS256" && kid === key.kid &&
    verifySync("RSA-SHA256", Buffer.from(`${header}.${claims}`), key.publicKey, Buffer.from(signature, "base64url")))
    .pipe(Option.flatMap(() => decodeJson(claims)))
}

/** Encrypts as RFC 7516 says: a fresh key and nonce for each token, and the header as additional data. */
export const encrypt = (publicKey: KeyObject, plaintext: string): Effect.Effect<string> =>
  Effect.sync(() => {
    const header = encode({ cty: "JWT", enc: "A256GCM", alg: "RSA-OAEP" })
    const key = randomBytes(32)
    const nonce = randomBytes(12)
    const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(Buffer.from(header))
    const ciphertext = Buffer.concat([cipher.update(plaintext, "utf8"), cipher.final()])
    const wrapped = publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha1" }, key)
    return [header, ...[wrapped, nonce, ciphertext, cipher.getAuthTag()].map((part) => part.toString("base64url"))]
      .join(".")
  })

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url")

const decodeJson = (part: string): Option.Option<unknown> =>
  Schema.decodeOption(Schema.fromJsonString(Schema.Unknown))(Buffer.from(part, "base64url").toString("utf8"))

const decodeHeader = (part: string) =>
  Option.flatMap(
    decodeJson(part),
    Schema.decodeUnknownOption(Schema.Struct({ alg: Schema.String, kid: Schema.String }))
  )
