import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import {
  constants,
  createCipheriv,
  createDecipheriv,
  type KeyObject,
  publicEncrypt,
  randomBytes,
  sign as signCallback,
  verify as verifySync
} from "node:crypto"

// Compact JWS and JWE in the forms that Cognito makes: RS256 with a header of `kid` and `alg`, and RSA-OAEP with
// A256GCM. Nothing else is read, so no header chooses an algorithm.

interface SigningKey {
  readonly kid: string
  readonly privateKey: KeyObject
}

/** Signs on libuv's threads, since an RSA signature takes about a millisecond. */
export const sign = (key: SigningKey, claims: object): Promise<string> => {
  const input = `${encode({ kid: key.kid, alg: "RS256" })}.${encode(claims)}`
  return new Promise((resolve, reject) => {
    signCallback("RSA-SHA256", Buffer.from(input), key.privateKey, (error, signature) => {
      if (error === null) resolve(`${input}.${signature.toString("base64url")}`)
      else reject(error)
    })
  })
}

/** A JWT that something else vouches for (RFC 7519, section 6). `verify` refuses it. */
export const unsecured = (claims: object): string => `${encode({ alg: "none" })}.${encode(claims)}.`

/** The claims of a token that the key of this name signed, whatever its age. */
export const verify = (
  find: (kid: string) => Effect.Effect<Option.Option<{ readonly publicKey: KeyObject }>>,
  token: string
): Effect.Effect<Option.Option<unknown>> => {
  const [header, claims, signature, ...more] = token.split(".")
  if (header === undefined || claims === undefined || signature === undefined || more.length > 0) return none
  // Node's decoder passes over what isn't base64url.
  if (![header, claims, signature].every((part) => /^[\w-]+$/.test(part))) return none
  const named = decodeHeader(header)
  if (Option.isNone(named) || named.value.alg !== "RS256") return none
  return Effect.map(
    find(named.value.kid),
    (key) =>
      Option.filter(
        key,
        ({ publicKey }) =>
          verifySync("RSA-SHA256", Buffer.from(`${header}.${claims}`), publicKey, Buffer.from(signature, "base64url"))
      )
        .pipe(Option.flatMap(() => decodeJson(claims)))
  )
}

const none = Effect.succeed(Option.none<never>())

/** Encrypts as RFC 7516 says: a fresh key and nonce for each token, and the header as additional data. */
export const encrypt = (publicKey: KeyObject, plaintext: string): Effect.Effect<string> =>
  Effect.sync(() => {
    const key = randomBytes(32)
    const wrapped = publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha1" }, key)
    return compact(key, { cty: "JWT", enc: "A256GCM", alg: "RSA-OAEP" }, wrapped, plaintext)
  })

/** The same with a key that both sides have, so that none is sent along. The header has `alg` "dir". */
export const seal = (key: KeyObject, header: object, plaintext: string): string =>
  compact(key, header, Buffer.alloc(0), plaintext)

/** What was sealed with this key and this very header. */
export const unseal = (key: KeyObject, header: object, sealed: string): Option.Option<string> => {
  const [head, wrapped, nonce, ciphertext, tag, ...more] = sealed.split(".")
  if (head !== encode(header) || wrapped !== "" || more.length > 0) return Option.none()
  if (nonce === undefined || ciphertext === undefined || tag === undefined) return Option.none()
  return Option.liftThrowable(() => {
    const decipher = createDecipheriv("aes-256-gcm", key, Buffer.from(nonce, "base64url"), { authTagLength: 16 })
      .setAAD(Buffer.from(head))
      .setAuthTag(Buffer.from(tag, "base64url"))
    return decipher.update(ciphertext, "base64url", "utf8") + decipher.final("utf8")
  })()
}

/** The key that a token, or what was sealed, names in its header. */
export const kidOf = (token: string): Option.Option<string> =>
  Option.map(decodeHeader(token.slice(0, Math.max(0, token.indexOf(".")))), ({ kid }) => kid)

const compact = (key: Buffer | KeyObject, header: object, wrapped: Buffer, plaintext: string): string => {
  const head = encode(header)
  const nonce = randomBytes(12)
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(Buffer.from(head))
  const ciphertext = Buffer.concat([cipher.update(plaintext, "utf8"), cipher.final()])
  return [head, ...[wrapped, nonce, ciphertext, cipher.getAuthTag()].map((part) => part.toString("base64url"))]
    .join(".")
}

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url")

const parse: (text: string) => Option.Option<unknown> = Option.liftThrowable((text: string): unknown =>
  JSON.parse(text)
)

const decodeJson = (part: string): Option.Option<unknown> => parse(Buffer.from(part, "base64url").toString("utf8"))

const decodeHeader = (part: string): Option.Option<{ readonly alg: string; readonly kid: string }> =>
  Option.flatMap(decodeJson(part), (header) =>
    Predicate.hasProperty(header, "alg") && Predicate.isString(header.alg) &&
      Predicate.hasProperty(header, "kid") && Predicate.isString(header.kid)
      ? Option.some({ alg: header.alg, kid: header.kid })
      : Option.none())
