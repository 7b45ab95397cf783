import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { HttpApiSchemaError } from "effect/http-api/HttpApiError"
import { isHttpServerError } from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { Scope } from "effect/Scope"
import { Address, type Audit } from "../Audit.ts"
import type { Authority } from "../Authority.ts"
import { LimitExceeded, type Limits } from "../Limits.ts"
import { tooLong } from "./body.ts"
import * as masking from "./masking.ts"

// What API Gateway does in front of the operations: it answers what no operation answered, in its own words.

const message = (status: number, text: string) => HttpServerResponse.jsonUnsafe({ message: text }, { status })

const badRequest = message(400, "Bad Request")
const forbidden = message(403, "Forbidden")
const noOperation = message(403, "Missing Authentication Token")
const notFound = message(404, "Not Found")
const fault = message(502, "Internal server error")

const isLimitExceeded = Schema.is(LimitExceeded)

const tooMany = ({ message, retryAfter }: LimitExceeded) =>
  HttpServerResponse.jsonUnsafe({ message }, {
    status: 429,
    headers: { "retry-after": String(Math.max(1, Math.ceil(Duration.toSeconds(retryAfter)))) }
  })

interface Services {
  readonly audit: Audit["Service"]
  readonly authority: Authority["Service"]
  readonly limits: Limits["Service"]
}

/** The tenant of an API key, with which one more request has come. */
export const admission = ({ audit, authority, limits }: Services) =>
  Effect.fnUntraced(function*(apiKey: Redacted.Redacted) {
    const tenant = yield* authority.tenantOf(apiKey)
    if (Option.isNone(tenant)) {
      yield* audit.note({ event: "api-key", outcome: "refused", reason: "unknown key" })
      return tenant
    }
    yield* Effect.tapError(
      limits.request(apiKey, tenant.value),
      () => audit.note({ event: "limit", outcome: "refused", reason: "requests", tenant: tenant.value })
    )
    return tenant
  })

export const gateway = (
  app: Effect.Effect<HttpServerResponse.HttpServerResponse, unknown, HttpServerRequest.HttpServerRequest | Scope>,
  services: Services
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest | Scope> => {
  const admit = admission(services)
  const { limits } = services

  const unmatched = Effect.fnUntraced(function*(request: HttpServerRequest.HttpServerRequest) {
    if (!/^\/v1(?:[/?#;]|$)/.test(request.url)) return notFound
    const apiKey = Redacted.make(request.headers["x-api-key"] ?? "")
    return Option.isSome(yield* admit(apiKey)) ? noOperation : forbidden
  }, Effect.catchTag("LimitExceeded", (error) => Effect.succeed(tooMany(error))))

  const answer = Effect.fnUntraced(function*(cause: Cause.Cause<unknown>) {
    // A client that went away, or a server that stops.
    if (Cause.hasInterruptsOnly(cause)) {
      return yield* Effect.failCause(Cause.fromReasons<never>(cause.reasons.filter(Cause.isInterruptReason)))
    }
    for (const reason of cause.reasons) {
      if (reason._tag === "Interrupt") continue
      const problem = reason._tag === "Fail" ? reason.error : reason.defect
      if (HttpServerResponse.isHttpServerResponse(problem)) return problem
      if (isLimitExceeded(problem)) return tooMany(problem)
      if (isHttpServerError(problem)) {
        if (problem.reason._tag === "RouteNotFound") return yield* unmatched(problem.reason.request)
        if (problem.reason._tag === "RequestParseError") {
          return problem.reason.reason === "BodyTooLarge" ? tooLong : badRequest
        }
      }
      if (HttpApiSchemaError.is(problem) && problem.kind !== "Body") return badRequest
    }
    yield* Effect.logError("A request could not be answered", cause)
    return fault
  })

  return Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    const response = yield* Effect.catchCause(app, answer).pipe(
      // What looks for the API key of an unmatched path can fail too.
      Effect.catchCause(answer),
      Effect.provideService(Address, limits.sourceOf(request))
    )
    if (yield* LogLevel.isEnabled("Debug")) {
      yield* Effect.logDebug("Answered").pipe(
        Effect.annotateLogs({
          method: request.method,
          path: masking.text(pathOf(request.url)),
          status: response.status
        })
      )
    }
    return yield* stamp(response)
  })
}

/** The headers of every answer. */
export const stamp = (response: HttpServerResponse.HttpServerResponse) =>
  Effect.map(Clock.currentTimeMillis, (now) =>
    HttpServerResponse.setHeaders(response, {
      "cache-control": "no-store",
      // The authority's clock, also when that isn't the machine's: clients measure their offset by it.
      date: new Date(now).toUTCString()
    }))

/** A query may hold what a program put there by mistake. */
export const pathOf = (url: string): string => url.replace(/[?#;].*$/s, "")
