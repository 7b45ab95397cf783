/**
 * The three calls of the contract: one attempt each, bounded in time, its outcome a session or a typed reason.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Headers from "effect/http/Headers"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type { HttpMethod } from "effect/http/HttpMethod"
import * as UrlParams from "effect/http/UrlParams"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Stream from "effect/Stream"
import type { Reason } from "./AuthError.ts"
import {
  AuthError,
  BadRequest,
  CredentialsRejected,
  Forbidden,
  InvalidResponse,
  RateLimited,
  SessionExpired,
  Unauthorized,
  Unavailable
} from "./AuthError.ts"
import type { Credentials } from "./Credentials.ts"
import { Authentication } from "./internal/contract.ts"
import { toSession } from "./internal/receipt.ts"
import { scrub, secretBody, secretHeaders, sendSecretly } from "./internal/secrecy.ts"
import { makeSteady } from "./internal/steady.ts"
import type { Session } from "./Session.ts"

/**
 * How the calls are made.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** The customer's API key, sent with every call. */
  readonly apiKey: Redacted.Redacted
  /**
   * Whether a sign-in also sends the credentials as Basic authentication. The contract declares it, and the service
   * does not ask for it. Defaults to `false`.
   */
  readonly basicAuthentication?: boolean | undefined
  /** Time limit of a sign-in. Defaults to 35 seconds: the gateway gives up at 29. */
  readonly authorizeTimeout?: Duration.Input | undefined
  /** Time limit of a refresh. Defaults to 10 seconds. */
  readonly refreshTimeout?: Duration.Input | undefined
  /** Time limit of an expiry. Defaults to 10 seconds. */
  readonly expireTimeout?: Duration.Input | undefined
}

/**
 * The three calls of the contract: one attempt each, which fails with `AuthError`.
 *
 * @category services
 * @since 0.1.0
 */
export class TokenEndpoint extends Context.Service<TokenEndpoint, {
  /** Signs in: a new session for a user name and a password. */
  readonly authorize: (credentials: Omit<Credentials, "apiKey">) => Effect.Effect<Session, AuthError>
  /** Renews: the same session with a new access token, and with a new refresh token where the authority gave one. */
  readonly refresh: (session: Session) => Effect.Effect<Session, AuthError>
  /** Ends a session before its time. */
  readonly expire: (session: Session) => Effect.Effect<void, AuthError>
}>()("@effect-tenovos/core/TokenEndpoint") {}

/**
 * The calls, through the program's `HttpClient`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(
  function*(options: Options): Effect.fn.Return<TokenEndpoint["Service"], never, HttpClient.HttpClient> {
    const client = yield* HttpClient.HttpClient
    const apiKey = Redacted.value(options.apiKey)
    const authorizeTimeout = Duration.fromInputUnsafe(options.authorizeTimeout ?? "35 seconds")
    const refreshTimeout = Duration.fromInputUnsafe(options.refreshTimeout ?? "10 seconds")
    const expireTimeout = Duration.fromInputUnsafe(options.expireTimeout ?? "10 seconds")

    /** One attempt, as far as a successful answer. */
    const send = Effect.fnUntraced(function*(attempt: Attempt): Effect.fn.Return<Answer, AuthError> {
      const steady = makeSteady(yield* Clock.Clock)
      const begunAt = steady()
      const [response, text] = yield* client.execute(toRequest(attempt, apiKey)).pipe(
        Effect.flatMap((response) => Effect.map(readText(response), (text) => [response, text] as const)),
        sendSecretly,
        Effect.mapError((error) => error._tag === "AuthError" ? error : unsent(error, [apiKey, ...attempt.secrets])),
        Effect.timeoutOrElse({
          duration: attempt.timeout,
          orElse: () => failed(new Unavailable({ problem: "Timeout" }))
        })
      )
      const receivedAt = yield* Clock.currentTimeMillis
      // The local clock may have been set meanwhile: what counts is how it stands at the receipt.
      const sentAt = receivedAt - (steady() - begunAt)
      if (response.status < 200 || response.status >= 300) {
        return yield* failed(refusal(response, text, [apiKey, ...attempt.secrets], receivedAt))
      }
      return { attempt, response, text, sentAt, receivedAt }
    })

    return TokenEndpoint.of({
      authorize: Effect.fn("TokenEndpoint.authorize")(function*({ endpointUrl, password, username }) {
        const plain = Redacted.value(password)
        const basic = Base64.encode(`${username}:${plain}`)
        const answer = yield* send({
          method: "POST",
          endpointUrl,
          headers: options.basicAuthentication === true ? { authorization: `Basic ${basic}` } : {},
          body: { username, password: plain },
          secrets: [plain, basic],
          timeout: authorizeTimeout
        })
        return yield* decodeSession(answer, undefined)
      }),

      refresh: Effect.fn("TokenEndpoint.refresh")(function*(session) {
        if (session.refreshToken === undefined) return yield* failed(new SessionExpired())
        const { accessToken, refreshToken } = plainTokens(session)
        const answer = yield* send({
          method: "POST",
          endpointUrl: session.endpointUrl,
          headers: {},
          body: { session: { refreshToken, accessToken } },
          secrets: [refreshToken, accessToken],
          timeout: refreshTimeout
        })
        return yield* decodeSession(answer, session)
      }),

      expire: Effect.fn("TokenEndpoint.expire")(function*(session) {
        const { clientId, endpointUrl, userPoolId, username } = session
        const tokens = plainTokens(session)
        const answer = yield* send({
          method: "DELETE",
          endpointUrl,
          headers: { accesstoken: tokens.accessToken },
          body: { endpointUrl, clientId, userPoolId, username, session: tokens },
          secrets: Object.values(tokens),
          timeout: expireTimeout
        })
        const { session: { accessToken } } = yield* decodeAnswer(answer)
        if (Redacted.value(accessToken) !== "") {
          return yield* failed(invalid(answer, "session.accessToken", "an empty string"))
        }
      })
    })
  }
)

/**
 * Provides the calls, through the program's `HttpClient`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<TokenEndpoint, never, HttpClient.HttpClient> =>
  Layer.effect(TokenEndpoint, make(options))

// -----------------------------------------------------------------------------
// Request
// -----------------------------------------------------------------------------

interface Attempt {
  readonly method: HttpMethod
  readonly endpointUrl: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: unknown
  /** The plain texts in it, which the answer may repeat. */
  readonly secrets: ReadonlyArray<string>
  readonly timeout: Duration.Duration
}

const toRequest = (attempt: Attempt, apiKey: string): HttpClientRequest.HttpClientRequest => {
  const body = secretBody(HttpBody.jsonUnsafe(attempt.body))
  return HttpClientRequest.makeWith(
    attempt.method,
    `${attempt.endpointUrl.replace(/\/+$/, "")}/auth/token`,
    UrlParams.empty,
    Option.none(),
    secretHeaders(attempt.headers, {
      "x-api-key": apiKey,
      accept: "application/json",
      "content-type": body.contentType,
      // Node sends no body with a DELETE that does not state its length.
      "content-length": String(body.contentLength)
    }),
    body
  )
}

const plainTokens = (session: Session) => ({
  authorization: session.idToken === undefined ? "" : Redacted.value(session.idToken),
  accessToken: Redacted.value(session.accessToken),
  refreshToken: session.refreshToken === undefined ? "" : Redacted.value(session.refreshToken)
})

// -----------------------------------------------------------------------------
// Answer
// -----------------------------------------------------------------------------

interface Answer {
  readonly attempt: Attempt
  readonly response: HttpClientResponse.HttpClientResponse
  readonly text: string
  /** Local time, in milliseconds. */
  readonly sentAt: number
  /** Local time, in milliseconds. */
  readonly receivedAt: number
}

/** A session takes some kilobytes. What is larger is none, and not read to its end. */
const maxBytes = 1_048_576

const readText = (
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<string, AuthError | HttpClientError.HttpClientError> =>
  Effect.suspend(() => {
    const decoder = new TextDecoder()
    let size = 0
    return response.stream.pipe(
      Stream.mapEffect((bytes) => {
        size += bytes.length
        return size <= maxBytes
          ? Effect.sync(() => decoder.decode(bytes, { stream: true }))
          : failed(new InvalidResponse({ status: response.status, path: "", expected: "at most 1 MiB" }))
      }),
      Stream.mkString,
      Effect.map((text) => text + decoder.decode()),
      Effect.catchReason("HttpClientError", "EmptyBodyError", () => Effect.succeed(""))
    )
  })

const invalid = ({ response }: Answer, path: string, expected: string): InvalidResponse =>
  new InvalidResponse({ status: response.status, path, expected })

const decodeJson = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Unknown))
const decodeAuthentication = Schema.decodeUnknownResult(Authentication)

const decodeAnswer = (answer: Answer): Effect.Effect<Authentication, AuthError> =>
  decodeJson(answer.text).pipe(
    Result.mapError(() => invalid(answer, "", "a JSON object")),
    Result.flatMap((json) =>
      Result.mapError(decodeAuthentication(json), ({ issue }) => {
        const path = firstPath(issue)
        return invalid(answer, path, path === "session.accessToken" ? "a non-empty string" : "an object")
      })
    ),
    Result.mapError((reason) => new AuthError({ reason })),
    Effect.fromResult
  )

const decodeSession = Effect.fnUntraced(function*(
  answer: Answer,
  previous: Session | undefined
): Effect.fn.Return<Session, AuthError> {
  const { attempt, receivedAt, response, sentAt } = answer
  return yield* toSession(yield* decodeAnswer(answer), {
    status: response.status,
    sentAt,
    receivedAt,
    date: Option.map(DateTime.make(response.headers["date"] ?? ""), DateTime.toEpochMillis),
    endpointUrl: attempt.endpointUrl,
    previous
  }).pipe(
    Result.mapError((reason) => new AuthError({ reason })),
    Effect.fromResult
  )
})

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** Where the first issue is, as `session.accessToken`. Issues never hold the values. */
const firstPath = (issue: SchemaIssue.Issue): string => formatIssue(issue).issues[0]?.path?.map(String).join(".") ?? ""

const failed = (reason: Reason) => Effect.fail(new AuthError({ reason }))

/**
 * What kept a request from being answered. The client's error holds the request, and what the transport says may repeat
 * a part of it, so only the words go along.
 */
const unsent = ({ reason }: HttpClientError.HttpClientError, secrets: ReadonlyArray<string>): AuthError =>
  reason._tag === "InvalidUrlError"
    ? new AuthError({ reason: new CredentialsRejected({ message: "The endpoint URL is no absolute URL" }) })
    : new AuthError({
      reason: new Unavailable({ problem: "Transport" }),
      cause: new Error(scrub(words(reason.cause), secrets))
    })

const words = (cause: unknown): string =>
  cause instanceof Error
    ? [`${cause.name}: ${cause.message}`, ...(cause.cause === undefined ? [] : [words(cause.cause)])].join(", by ")
    : "unknown"

const decodeMessage = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ message: Schema.String })))

/** The statuses of the operation, and of the gateway in front of it, whose pages may be anything. */
const refusal = (
  { headers, status }: HttpClientResponse.HttpClientResponse,
  text: string,
  secrets: ReadonlyArray<string>,
  receivedAt: number
): Reason => {
  const message = Option.map(decodeMessage(text), ({ message }) => printable(scrub(message, secrets)).slice(0, 500))
  const retryAfter = headers["retry-after"] === undefined
    ? {}
    : Result.match(Headers.parseRetryAfter(headers["retry-after"]), {
      onFailure: () => ({}),
      onSuccess: (value) => ({ retryAfter: Headers.retryAfterDelay(value, receivedAt) })
    })
  // Without the contract's body it is not the authority that refuses, but something on the way.
  const refused = (f: (message: string) => Reason) =>
    Option.match(message, { onNone: () => strange(status), onSome: f })
  switch (status) {
    case 400:
      return refused((message) => new BadRequest({ message }))
    case 401:
      return refused((message) => new Unauthorized({ message }))
    case 403:
      return refused((message) => new Forbidden({ message }))
    case 429:
      return new RateLimited(retryAfter)
    default:
      return status === 408 || status >= 500
        ? new Unavailable({ problem: "Status", status, ...retryAfter })
        : strange(status)
  }
}

/** Messages end up in terminals. */
const printable = (text: string): string => text.replace(/\p{Cc}+/gu, " ")

const strange = (status: number): InvalidResponse =>
  new InvalidResponse({ status, path: "", expected: "an answer of the API" })
