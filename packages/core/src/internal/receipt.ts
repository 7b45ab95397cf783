import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { ClockSkew, InvalidResponse } from "../AuthError.ts"
import { Session } from "../Session.ts"
import type { Authentication } from "./contract.ts"
import { lenient } from "./contract.ts"
import { isEndpoint } from "./endpoint.ts"
import { isHeaderValue } from "./secrecy.ts"

/** What is known of an answer besides its body. */
export interface Receipt {
  readonly status: number
  /** Local time, in milliseconds. */
  readonly sentAt: number
  /** Local time, in milliseconds. */
  readonly receivedAt: number
  /** The authority's time: the answer's `Date`, in milliseconds. */
  readonly date: Option.Option<number>
  /** Where the request went. */
  readonly endpointUrl: string
  /** The session that was refreshed. */
  readonly previous: Session | undefined
}

/** The session that an answer carries. */
export const toSession = (
  authentication: Authentication,
  receipt: Receipt
): Result.Result<Session, InvalidResponse | ClockSkew> => {
  const { session } = authentication
  const invalid = (path: string, expected: string) =>
    Result.fail(new InvalidResponse({ status: receipt.status, path, expected }))
  if (Redacted.value(session.accessToken) === "") return invalid("session.accessToken", "a non-empty string")
  if (!isHeaderValue(Redacted.value(session.accessToken))) return invalid("session.accessToken", "a header value")

  const endpointUrl = parseUrl(authentication.endpointUrl)
  if (endpointUrl !== undefined && !isEndpoint(endpointUrl.href)) {
    return invalid("endpointUrl", "a URL without credentials, query and fragment")
  }
  if (endpointUrl?.protocol === "http:" && parseUrl(receipt.endpointUrl)?.protocol === "https:") {
    return invalid("endpointUrl", "an https URL")
  }

  const access = readClaims(session.accessToken)
  const id = readClaims(session.authorization)
  const issuedAt = latest(
    seconds(access.iat),
    Option.getOrUndefined(Option.filter(receipt.date, (date) => date <= lastInstant))
  )
  const now = issuedAt ?? receipt.receivedAt
  const expiresAt = earliest(epoch(session.expireEpoch, now, issuedAt), seconds(access.exp)) ?? now + oneHour
  const clockOffset = issuedAt === undefined ? 0 : measureOffset(issuedAt, receipt)
  const remaining = expiresAt - receipt.receivedAt - clockOffset
  if (remaining <= 0) return Result.fail(new ClockSkew({ overSince: Duration.millis(-remaining) }))

  const { previous } = receipt
  const authenticatedAt = seconds(access.auth_time ?? id.auth_time)
  const refreshToken = nonEmpty(session.refreshToken) ?? previous?.refreshToken
  const idToken = sendable(session.authorization) ?? previous?.idToken
  return Result.succeed(
    new Session({
      endpointUrl: endpointUrl?.href ?? receipt.endpointUrl,
      accessToken: session.accessToken,
      ...defined({ idToken, refreshToken }),
      issuedAt: DateTime.makeUnsafe(now),
      expiresAt: DateTime.makeUnsafe(expiresAt),
      // Tells sign-ins apart, so it stays what it was whatever an answer says.
      authenticatedAt: previous?.authenticatedAt ?? DateTime.makeUnsafe(authenticatedAt ?? now),
      clockOffset: Duration.millis(clockOffset),
      generation: (previous?.generation ?? 0) + 1,
      ...defined({
        username: authentication.username ?? id["cognito:username"] ?? access.username ?? previous?.username,
        clientId: authentication.clientId ?? access.client_id ?? id.aud ?? previous?.clientId,
        userPoolId: authentication.userPoolId ?? access.iss?.split("/").at(-1) ?? previous?.userPoolId,
        subject: id.sub ?? access.sub ?? previous?.subject,
        email: id.email ?? previous?.email
      })
    })
  )
}

const oneHour = 3_600_000

/**
 * The authority stamped the answer with a whole second, somewhere between the sending and the receipt. Within what
 * that leaves open the clocks count as equal; beyond it the offset that leaves the shortest life is taken.
 */
const measureOffset = (issuedAt: number, { receivedAt, sentAt }: Receipt): number => {
  const least = issuedAt - receivedAt
  const most = issuedAt + 1000 - sentAt
  return least <= 0 && most >= 0 ? 0 : most
}

// -----------------------------------------------------------------------------
// Claims
// -----------------------------------------------------------------------------

/** The claims that matter here. They are read, not verified: the tokens came over TLS from the authority itself. */
const Claims = Schema.fromJsonString(Schema.Struct({
  iat: lenient(Schema.Finite),
  exp: lenient(Schema.Finite),
  auth_time: lenient(Schema.Finite),
  sub: lenient(Schema.String),
  email: lenient(Schema.String),
  username: lenient(Schema.String),
  "cognito:username": lenient(Schema.String),
  client_id: lenient(Schema.String),
  aud: lenient(Schema.String),
  iss: lenient(Schema.String)
}))

const decodeClaims = Schema.decodeUnknownOption(Claims)

const readClaims = (token: Redacted.Redacted | undefined): typeof Claims.Type =>
  Option.fromNullishOr(token).pipe(
    Option.flatMapNullishOr((token) => Redacted.value(token).split(".")[1]),
    Option.flatMap((payload) => Result.getSuccess(Base64Url.decodeString(payload))),
    Option.flatMap(decodeClaims),
    Option.getOrElse(() => ({}))
  )

// -----------------------------------------------------------------------------
// Lenient values
// -----------------------------------------------------------------------------

/** The end of the year 9999. What is said to come later is no instant. */
const lastInstant = 253_402_300_799_999

/**
 * The contract says milliseconds; a number that makes sense as seconds only is taken as such. One from before the issue,
 * as in the API's own example, says nothing.
 */
const epoch = (value: number | undefined, now: number, issuedAt: number | undefined): number | undefined => {
  if (value === undefined || value <= 0) return undefined
  const millis = Math.floor(Math.abs(value - now) <= Math.abs(value * 1000 - now) ? value : value * 1000)
  return millis > lastInstant || issuedAt !== undefined && millis <= issuedAt ? undefined : millis
}

const seconds = (value: number | undefined): number | undefined =>
  value === undefined || value < 0 || value * 1000 > lastInstant ? undefined : Math.floor(value * 1000)

const earliest = (...instants: ReadonlyArray<number | undefined>): number | undefined =>
  pick(instants, (a, b) => Math.min(a, b))

const latest = (...instants: ReadonlyArray<number | undefined>): number | undefined =>
  pick(instants, (a, b) => Math.max(a, b))

const pick = (instants: ReadonlyArray<number | undefined>, f: (a: number, b: number) => number): number | undefined => {
  const known = instants.filter((instant) => instant !== undefined)
  return known.length === 0 ? undefined : known.reduce(f)
}

const parseUrl = (text: string | undefined): URL | undefined => {
  if (text === undefined || !URL.canParse(text)) return undefined
  const url = new URL(text)
  return url.protocol === "https:" || url.protocol === "http:" ? url : undefined
}

const nonEmpty = (value: Redacted.Redacted | undefined): Redacted.Redacted | undefined =>
  value === undefined || Redacted.value(value) === "" ? undefined : value

const sendable = (value: Redacted.Redacted | undefined): Redacted.Redacted | undefined =>
  value === undefined || !isHeaderValue(Redacted.value(value)) ? undefined : value

type Defined<A> = { [K in keyof A]?: A[K] & ({} | null) }

/** The record without its undefined fields. */
const defined = <A extends Record<string, unknown>>(record: A): Defined<A> => {
  const out: Defined<A> = {}
  for (const key in record) {
    const value = record[key]
    if (value !== undefined) out[key] = value
  }
  return out
}
