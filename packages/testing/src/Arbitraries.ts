/**
 * Random values of the domain, for fast-check.
 *
 * @since 0.1.0
 */
import { type Credentials, Session } from "@effect-tenovos/core"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as fc from "fast-check"

/**
 * A secret that is long and odd enough to be found wherever it is printed.
 *
 * @category arbitraries
 * @since 0.1.0
 */
export const secret: fc.Arbitrary<Redacted.Redacted> = fc.string({
  unit: "grapheme-ascii",
  minLength: 12,
  maxLength: 60
})
  .filter((text) => text.trim() === text)
  .map((text) => Redacted.make(text))

/**
 * A token in the form of a JWT: three parts of base64url.
 *
 * @category arbitraries
 * @since 0.1.0
 */
export const token: fc.Arbitrary<Redacted.Redacted> = fc.tuple(part(20, 60), part(20, 200), part(40, 80)).map((parts) =>
  Redacted.make(parts.join("."))
)

function part(minLength: number, maxLength: number): fc.Arbitrary<string> {
  return fc.string({
    unit: fc.constantFrom(..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
    minLength,
    maxLength
  })
}

/**
 * Credentials of any user, at any endpoint.
 *
 * @category arbitraries
 * @since 0.1.0
 */
export const credentials: fc.Arbitrary<Credentials.Credentials> = fc.record({
  endpointUrl: fc.webUrl({ validSchemes: ["http", "https"] }),
  apiKey: secret,
  username: fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 }),
  password: secret
}, { noNullPrototype: true })

/**
 * Any session: of any age, with and without the parts that may be missing.
 *
 * @category arbitraries
 * @since 0.1.0
 */
export const session: fc.Arbitrary<Session.Session> = fc.record({
  endpointUrl: fc.webUrl({ validSchemes: ["http", "https"] }),
  accessToken: token,
  idToken: token,
  refreshToken: token,
  issuedAt: instant(),
  expiresAt: instant(),
  authenticatedAt: instant(),
  clockOffset: fc.integer({ min: -86_400_000, max: 86_400_000 }).map(Duration.millis),
  generation: fc.integer({ min: 1, max: 2 ** 31 }),
  username: fc.string({ unit: "grapheme" }),
  clientId: fc.string(),
  userPoolId: fc.string(),
  subject: fc.uuid(),
  email: fc.emailAddress()
}, {
  requiredKeys: [
    "endpointUrl",
    "accessToken",
    "issuedAt",
    "expiresAt",
    "authenticatedAt",
    "clockOffset",
    "generation"
  ],
  noNullPrototype: true
}).map((fields) => new Session.Session(fields))

function instant(): fc.Arbitrary<DateTime.Utc> {
  return fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(4_102_444_800_000) }).map((date) =>
    DateTime.makeUnsafe(date.getTime())
  )
}
