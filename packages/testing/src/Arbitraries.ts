/**
 * Random values of the domain, for fast-check. What is found to break a property shrinks to what can be read: a plain
 * value, or a line of text.
 *
 * Tokens and answers are good or bad at a time, which is given. Set a `TestClock` to it: in 1970, where that begins, no
 * token can have ended.
 *
 * Effect's own `Arbitrary` needs nothing of this: `Arbitrary.schema(Session.Session)` and `Arbitrary.schema(Fault.Rule)`
 * come with the schemas.
 *
 * @since 0.1.0
 */
import { type Credentials, Session } from "@effect-tenovos/core"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as fc from "fast-check"
import { LifeHistory, Step } from "./LifeHistory.ts"
import type { Answer, Steps } from "./ScriptedAuthority.ts"
import type { Failure } from "./TestTenovos.ts"

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

// -----------------------------------------------------------------------------
// Tokens
// -----------------------------------------------------------------------------

/**
 * - `wellFormed`: a JWT of the right claims, which lives on for a second to an hour.
 * - `expired`: one that has ended, just now or within an hour.
 * - `foreign`: a JWT of somebody else: of another issuer, or for another use.
 * - `broken`: what is no JWT, and can be sent in no header, or says nothing.
 *
 * No authority has signed any of them: a real one refuses them all.
 *
 * @category models
 * @since 0.1.0
 */
export interface Tokens {
  readonly wellFormed: fc.Arbitrary<Redacted.Redacted>
  readonly expired: fc.Arbitrary<Redacted.Redacted>
  readonly foreign: fc.Arbitrary<Redacted.Redacted>
  readonly broken: fc.Arbitrary<Redacted.Redacted>
}

/**
 * Tokens as they are at this time.
 *
 * @category arbitraries
 * @since 0.1.0
 */
export const tokensAt = (now: DateTime.Utc): Tokens => {
  const second = Math.floor(DateTime.toEpochMillis(now) / 1000)
  const jwt = (claims: fc.Arbitrary<object>) =>
    fc.tuple(claims, part(8, 8)).map(([claims, signature]) =>
      Redacted.make(`${base64url({ kid: "key", alg: "RS256" })}.${base64url(claims)}.${signature}`)
    )
  const living = (least: number, most: number) =>
    fc.integer({ min: least, max: most }).map((left) => ({ ...claims, iat: second, exp: second + left }))
  return {
    wellFormed: jwt(living(1, 3600)),
    expired: jwt(living(-3600, 0)),
    foreign: jwt(
      fc.tuple(
        living(1, 3600),
        fc.constantFrom({ iss: "https://elsewhere.example" }, { token_use: "id" }, { client_id: "another" })
      ).map(([claims, other]) => ({ ...claims, ...other }))
    ),
    broken: fc.constantFrom("", " ", ".", "..", "a.b", "a.b.c", "eyJ.eyJ.x", "a\nb", "\u0000", "🗝️", "null").map((
      text
    ) => Redacted.make(text))
  }
}

const claims = {
  sub: "00000000-0000-4000-8000-000000000000",
  token_use: "access",
  iss: "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_test",
  client_id: "client",
  username: "ada"
}

const base64url = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url")

// -----------------------------------------------------------------------------
// Answers
// -----------------------------------------------------------------------------

/**
 * Answers to a sign-in or a refresh.
 *
 * - `valid`: with all that the contract names.
 * - `lenient`: with less, or in another form, but good for a session.
 * - `hostile`: good for none: refusals, pages of gateways, bodies that are cut off or of a wrong form, tokens that have
 *   ended or can't be sent, an endpoint to which no header may go, and connections that end.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answers {
  readonly valid: fc.Arbitrary<Answer>
  readonly lenient: fc.Arbitrary<Answer>
  readonly hostile: fc.Arbitrary<Answer>
}

/**
 * Answers as they are at this time.
 *
 * @category arbitraries
 * @since 0.1.0
 */
export const answersAt = (now: DateTime.Utc): Answers => {
  const millis = DateTime.toEpochMillis(now)
  const tokens = tokensAt(now)
  const text = (token: fc.Arbitrary<Redacted.Redacted>) => token.map((token) => Redacted.value(token))
  const whole = fc.record({
    authorization: text(tokens.wellFormed),
    refreshToken: text(token),
    accessToken: text(tokens.wellFormed),
    expireEpoch: fc.integer({ min: 60, max: 3600 }).map((seconds) => millis + seconds * 1000)
  }, { noNullPrototype: true })
  const around = {
    endpointUrl: "https://api.example/v1",
    clientId: "client",
    userPoolId: "us-east-1_test",
    username: "ada",
    password: ""
  }
  const session = (session: object) => ({ ...around, session })
  return {
    valid: whole.map((all) => ({ body: session(all) })),
    lenient: whole.chain((all) =>
      fc.constantFrom<object>(
        { session: { accessToken: all.accessToken } },
        { session: { accessToken: "opaque", expireEpoch: String(all.expireEpoch) } },
        session({ ...all, expireEpoch: Math.floor(all.expireEpoch / 1000) }),
        session({ ...all, expireEpoch: null, refreshToken: "", authorization: "" }),
        session({ ...all, refreshToken: null, unknown: [{}] }),
        { ...session(all), password: "not empty", endpointUrl: 7, clientId: null, more: {} }
      ).map((body) => ({ body }))
    ),
    hostile: fc.oneof(
      fc.tuple(
        fc.constantFrom(400, 401, 403, 429, 500, 502, 504),
        fc.constantFrom<unknown>(
          { status: "error", message: "Invalid Authentication Parameters" },
          { message: "Forbidden" },
          "<html></html>",
          "",
          [],
          undefined
        )
      ).map(([status, body]) => ({ status, body })),
      fc.constantFrom<unknown>(
        "<html></html>",
        "",
        "{\"session\":{\"acc",
        "null",
        [],
        7,
        {},
        { session: null },
        {
          session: {}
        },
        { session: { accessToken: "" } },
        { session: { accessToken: 7 } },
        { session: { accessToken: "a\nb" } }
      ).map((
        body
      ) => ({ body })),
      text(tokens.expired).map((accessToken) => ({ body: { session: { accessToken } } })),
      fc.tuple(whole, fc.constantFrom("http://api.example/v1", "https://ada:secret@api.example/v1"))
        .map(([all, endpointUrl]) => ({ body: { ...session(all), endpointUrl } })),
      fc.constant<Answer>("drop")
    )
  }
}

// -----------------------------------------------------------------------------
// What goes wrong
// -----------------------------------------------------------------------------

/**
 * A failure of `TestTenovos`.
 *
 * @category arbitraries
 * @since 0.1.0
 */
export const failure: fc.Arbitrary<Failure> = fc.oneof(
  fc.constantFrom<Failure>("drop", "lostAnswer", "rateLimit", "html", "truncate"),
  fc.constantFrom(500, 502, 503, 504)
)

/**
 * Up to six answers that may pass, for `TestTenovos.layerScripted`: after them the authority is in good health.
 *
 * @category arbitraries
 * @since 0.1.0
 */
export const faultScript: fc.Arbitrary<Steps> = fc.array(
  fc.oneof(
    { withCrossShrink: true },
    fc.constant<Answer>("drop"),
    fc.constantFrom(408, 500, 502, 503, 504).map((status) => ({ status })),
    fc.constantFrom("1", "7").map((seconds) => ({ status: 429, headers: { "retry-after": seconds } })),
    fc.constant({ status: 502, body: "<html></html>" })
  ),
  { maxLength: 6 }
)

// -----------------------------------------------------------------------------
// Histories
// -----------------------------------------------------------------------------

const durations = (...inputs: ReadonlyArray<Duration.Input>): ReadonlyArray<Duration.Duration> =>
  inputs.map((input) => Duration.fromInputUnsafe(input))

const waits = durations(
  "30 seconds",
  "5 minutes",
  "30 minutes",
  "59 minutes",
  "1 hour",
  "4 hours",
  "1 day",
  "30 days"
)

/** One of these, which shrinks to those before it; with `constantFrom` it would to the first, or not at all. */
const ordered = <A>(...[first, ...others]: readonly [A, ...Array<A>]): fc.Arbitrary<A> =>
  fc.nat(others.length).map((i) => others[i - 1] ?? first)

const clocks = [
  Duration.minutes(1),
  ...durations("5 minutes", "1 hour", "1 day", "-1 minute", "-5 minutes", "-1 hour", "-1 day")
] as const

const wait = (longest: Duration.Duration): fc.Arbitrary<Step> =>
  ordered(Duration.seconds(1), ...waits.filter(Duration.isLessThanOrEqualTo(longest)))
    .map((duration) => Step.Wait({ duration }))

const others: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.constant(Step.Heal()) },
  {
    weight: 2,
    arbitrary: fc.tuple(failure, fc.constantFrom(1, 2, undefined)).map(([failure, next]) =>
      Step.Fail({ failure, next })
    )
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(...durations("1 second", "4 seconds", "20 seconds")).map((duration) =>
      Step.Delay({ duration })
    )
  },
  {
    weight: 2,
    arbitrary: ordered(...clocks).map((by) => Step.SetClock({ by }))
  },
  { weight: 1, arbitrary: fc.constantFrom(Step.Revoke(), Step.Lock(), Step.Unlock()) }
)

/**
 * A whole life: up to twenty steps, and clocks that agree or differ by a minute to a day. It prints as a line, and shrinks
 * to the few steps that matter. No wait is longer than `longest`, of a second or more: a client that renews without being
 * asked has much to do in a month.
 *
 * @category arbitraries
 * @since 0.1.0
 */
export const historyUpTo = (longest: Duration.Input): fc.Arbitrary<LifeHistory> =>
  fc.record({
    clockOffset: ordered(Duration.zero, ...clocks),
    // What shrinks to nothing is left out, at any place.
    steps: fc.array(
      fc.option(
        fc.oneof(fc.constant(Step.Call()), wait(Duration.fromInputUnsafe(longest)), others),
        { nil: undefined, freq: 100 }
      ),
      { maxLength: 20, size: "max" }
    ).map((steps) => steps.filter((step) => step !== undefined))
  }).map((fields) => new LifeHistory(fields))

/**
 * The same with waits of up to thirty days, the life of a refresh token.
 *
 * @category arbitraries
 * @since 0.1.0
 */
export const history: fc.Arbitrary<LifeHistory> = historyUpTo("30 days")
