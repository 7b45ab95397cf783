import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { STATUS_CODES } from "node:http"
import type { Authority } from "../Authority.ts"
import type { Control, World } from "../Control.ts"
import type { Fault, Operation } from "../Fault.ts"
import type { Claims } from "../Journal.ts"
import { isJson, ReadAhead, readText } from "./body.ts"
import { CommonClock } from "./commonClock.ts"
import { pathOf, stamp } from "./gateway.ts"
import * as masking from "./masking.ts"

// Stands in front of an application that is under control: gives each request the clock of its tenant, lets the faults
// happen that were ordered, and keeps the journal.

type App<E = never, R = never> = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  E,
  HttpServerRequest.HttpServerRequest | R
>

/** Ends the connection without an answer. */
export type Sever<E> = (
  request: HttpServerRequest.HttpServerRequest
) => Effect.Effect<HttpServerResponse.HttpServerResponse, E>

export const make = <E, E2, R>(
  app: App<E, R>,
  options: {
    readonly control: Control["Service"]
    readonly authority: Authority["Service"]
    readonly sever: Sever<E2>
  }
): App<E | E2, R> =>
  Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    if (!/^\/v1(?:[/?#;]|$)/.test(request.url)) {
      return yield* Effect.provideService(app, Clock.Clock, options.control.all.clock)
    }
    const apiKey = Redacted.make(request.headers["x-api-key"] ?? "")
    const tenant = Option.getOrNull(yield* options.authority.tenantOf(apiKey))
    const world = yield* options.control.world(tenant)
    return yield* handle(app, request, tenant, world, options.sever).pipe(
      Effect.provideService(Clock.Clock, world.clock),
      Effect.provideService(CommonClock, options.control.all.clock)
    )
  })

const handle = Effect.fnUntraced(function*<E, E2, R>(
  app: App<E, R>,
  request: HttpServerRequest.HttpServerRequest,
  tenant: string | null,
  world: World,
  sever: Sever<E2>
) {
  const at = yield* Clock.currentTimeMillis
  const started = yield* Clock.monotonicTimeNanos
  const text = yield* Effect.cached(readText(request))
  // Nobody reads the body of a stranger, and what can't be read fails again where the application reads it.
  const isRead = tenant !== null && request.method !== "GET" && isJson(request)
  const body = isRead ? yield* Effect.catchCause(text, () => Effect.succeed("")) : ""
  const path = pathOf(request.url)
  const operation = operationOf(request.method, path, body)
  const verdict = yield* world.take(operation)

  const note = Effect.fnUntraced(
    function*(status: number | null, answer: HttpServerResponse.HttpServerResponse | undefined) {
      const answered = answer === undefined ? "" : textOf(answer)
      const issued = answer?.status === 200 && operation !== "call" && operation !== "expire"
        ? claimsOf(answered)
        : undefined
      const access = issued?.access ??
        (answer?.status === 200 ? payloadOf(request.headers["accesstoken"]) : undefined)
      const session = access?.["origin_jti"]
      yield* world.record({
        tenant,
        at: new Date(at).toISOString(),
        milliseconds: Number((yield* Clock.monotonicTimeNanos) - started) / 1e6,
        operation,
        method: request.method,
        path: masking.text(path),
        status,
        fault: Option.getOrNull(Option.map(verdict.fault, ({ kind }) => kind)),
        delay: verdict.delay,
        received: { headers: masking.headers(request.headers), body: masking.body(body) },
        answered: masking.body(answered),
        session: typeof session === "string" ? session : null
      }, issued)
    }
  )

  const carriedOut = Effect.provideService(app, ReadAhead, isRead ? text : undefined)
  const answer = Effect.gen(function*() {
    if (verdict.delay > 0) yield* Effect.sleep(verdict.delay)
    if (Option.isNone(verdict.fault)) {
      const answer = yield* carriedOut
      yield* note(answer.status, answer)
      return answer
    }
    const fault = verdict.fault.value
    switch (fault.kind) {
      case "drop":
        yield* note(null, undefined)
        return yield* sever(request)
      case "lostAnswer":
        yield* note(null, yield* carriedOut)
        return yield* sever(request)
      case "truncate": {
        const answer = yield* carriedOut
        yield* note(answer.status, answer)
        return truncated(answer)
      }
      default: {
        const answer = yield* answerOf(fault, operation)
        yield* note(answer.status, undefined)
        return answer
      }
    }
  })
  return yield* Effect.onInterrupt(answer, () => note(null, undefined))
})

const operationOf = (method: string, path: string, body: string): Operation => {
  if (path !== "/v1/auth/token") return "call"
  if (method === "DELETE") return "expire"
  if (method !== "POST") return "call"
  const json = decodeJson(body)
  const isRefresh = Option.exists(json, (json) => Predicate.hasProperty(json, "session") && json.session !== null)
  return isRefresh ? "refresh" : "authorize"
}

const decodeJson = Schema.decodeOption(Schema.fromJsonString(Schema.Unknown))

const textOf = ({ body }: HttpServerResponse.HttpServerResponse): string =>
  body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : ""

const decodeIssued = Schema.decodeOption(Schema.fromJsonString(Schema.Struct({
  session: Schema.Struct({ authorization: Schema.String, accessToken: Schema.String })
})))

const claimsOf = (answer: string): Claims | undefined => {
  const session = Option.getOrUndefined(decodeIssued(answer))?.session
  const id = payloadOf(session?.authorization)
  const access = payloadOf(session?.accessToken)
  return id === undefined || access === undefined ? undefined : { id, access }
}

const decodePayload = Schema.decodeOption(Schema.fromJsonString(Schema.JsonObject))

/** What a token says: only of one that this authority has just made or accepted. */
const payloadOf = (token: string | undefined): Schema.JsonObject | undefined =>
  Option.getOrUndefined(decodePayload(Buffer.from(token?.split(".")[1] ?? "", "base64url").toString("utf8")))

type Answered = Exclude<Fault, { readonly kind: "latency" | "drop" | "lostAnswer" | "truncate" }>

const answerOf = (fault: Answered, operation: Operation) => {
  switch (fault.kind) {
    case "status":
      return stamp(HttpServerResponse.jsonUnsafe(fault.body ?? bodyOf(fault.status, operation), fault))
    case "rateLimit":
      return stamp(HttpServerResponse.jsonUnsafe({ message: "Too Many Requests" }, { status: 429 })).pipe(
        Effect.map(HttpServerResponse.setHeader("retry-after", String(fault.retryAfter ?? 1)))
      )
    case "html": {
      const status = fault.status ?? 502
      const title = `${status} ${STATUS_CODES[status] ?? ""}`.trim()
      const page =
        `<html>\n<head><title>${title}</title></head>\n<body><center><h1>${title}</h1></center></body>\n</html>\n`
      return stamp(HttpServerResponse.html(page).pipe(HttpServerResponse.setStatus(status)))
    }
  }
}

/** What the operations, and the gateway in front of them, say with a status. */
const bodyOf = (status: number, operation: Operation) => {
  if (operation !== "call" && (status === 400 || status === 401)) {
    const message = operation === "expire" && status === 401
      ? "Failed to Expire Session and Logout 1"
      : "Invalid Authentication Parameters"
    return { status: "error", message }
  }
  return { message: gatewayMessages[status] ?? STATUS_CODES[status] ?? "Error" }
}

const gatewayMessages: Readonly<Record<number, string>> = {
  500: "Internal server error",
  502: "Internal server error",
  504: "Endpoint request timed out"
}

/** The first half of an answer, as if it were all of it. */
const truncated = (answer: HttpServerResponse.HttpServerResponse): HttpServerResponse.HttpServerResponse =>
  answer.body._tag === "Uint8Array"
    ? HttpServerResponse.setBody(
      answer,
      HttpBody.uint8Array(
        answer.body.body.subarray(0, Math.floor(answer.body.body.length / 2)),
        answer.body.contentType
      )
    )
    : answer

/** On a socket of Node. */
export const severSocket: Sever<never> = (request) =>
  Effect.sync(() => {
    NodeHttpServerRequest.toServerResponse(request).destroy()
    return HttpServerResponse.empty()
  })

/** Without a socket. */
export const severInMemory: Sever<Severed> = () => Effect.fail(new Severed())

/** The connection ended without an answer. */
export class Severed extends Data.TaggedError("Severed") {}
