/**
 * An authority that answers by script, for the cases that no healthy one gives. It remembers what it received.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import * as canaries from "./internal/canaries.ts"

/**
 * A request as it arrived. `body` is its text.
 *
 * @category models
 * @since 0.1.0
 */
export interface Received {
  readonly method: string
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/**
 * A connection that ends before there is an answer.
 *
 * @category errors
 * @since 0.1.0
 */
export class Dropped extends Data.TaggedError("Dropped") {}

/**
 * Answers the request that comes as number `index`, from zero.
 *
 * @category models
 * @since 0.1.0
 */
export type Script = (request: Received, index: number) => Effect.Effect<Response, Dropped>

/**
 * An answer as a plain value. `drop` ends the connection instead, and `hang` leaves the request without an answer.
 *
 * @category models
 * @since 0.1.0
 */
export type Answer =
  | {
    /** Defaults to 200. */
    readonly status?: number | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
    /** A string is sent as it is, anything else as JSON. Defaults to nothing. */
    readonly body?: unknown
  }
  | "drop"
  | "hang"

/**
 * What a request is answered, or how that is found out.
 *
 * @category models
 * @since 0.1.0
 */
export type Step = Answer | ((request: Received, index: number) => Answer | Effect.Effect<Answer>)

/**
 * One step for each request, in order.
 *
 * @category models
 * @since 0.1.0
 */
export type Steps = ReadonlyArray<Step>

/**
 * The answer of an authority in good health, which grants whatever is asked: tokens are counted, and live for an hour.
 * A step of its own, or for what a step does not care about.
 *
 * @category constants
 * @since 0.1.0
 */
export const healthy: (request: Received, index: number) => Answer | Effect.Effect<Answer> = (request, index) => {
  if (!request.url.pathname.endsWith("/auth/token")) return { body: {} }
  if (request.method === "DELETE") return { body: { session: { authorization: "", accessToken: "" } } }
  return Effect.map(Clock.currentTimeMillis, (now) => ({
    body: {
      username: "ada",
      session: {
        authorization: `scripted-id-token-${index}`,
        accessToken: `scripted-access-token-${index}`,
        refreshToken: `scripted-refresh-token-${index}`,
        expireEpoch: now + 3_600_000
      }
    }
  }))
}

/**
 * What a test asks of an authority that answers by script.
 *
 * @category services
 * @since 0.1.0
 */
export class ScriptedAuthority extends Context.Service<ScriptedAuthority, {
  /** What was received so far, in order. */
  readonly received: Effect.Effect<ReadonlyArray<Received>>
}>()("@effect-tenovos/testing/ScriptedAuthority") {}

/**
 * Provides the `HttpClient` that reaches the script, and the journal.
 *
 * With steps each request gets the next, and those that come when there are no more a {@link healthy} one. They are
 * answered at once, without a turn of the event loop, and so in order with a `TestClock`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (script: Script | Steps): Layer.Layer<ScriptedAuthority | HttpClient.HttpClient> =>
  typeof script === "function"
    ? layerWith((request, received, index) =>
      script(received, index).pipe(
        Effect.mapError((cause) => transportError(request, cause)),
        Effect.map((response) => HttpClientResponse.fromWeb(request, response))
      )
    )
    : Layer.unwrap(Effect.map(canaries.Planted, (planted) =>
      layerWith((request, received, index) => {
        const step = script[index] ?? healthy
        const found = typeof step === "function" ? step(received, index) : step
        return Effect.isEffect(found)
          ? Effect.flatMap(found, (answer) => respond(request, answer))
          : respond(request, found)
      }, (client) => canaries.watch(client, new Map(), planted))))

const respond = (
  request: HttpClientRequest.HttpClientRequest,
  answer: Answer
): Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError> => {
  if (answer === "hang") return Effect.never
  if (answer === "drop") return Effect.fail(transportError(request, new Dropped()))
  const { body, headers, status = 200 } = answer
  const options = { status, headers: headers ?? {} }
  const response = body === undefined
    ? HttpServerResponse.empty(options)
    : typeof body === "string"
    ? HttpServerResponse.text(body, options)
    : HttpServerResponse.jsonUnsafe(body, options)
  return Effect.succeed(HttpServerResponse.toClientResponse(response, { request }))
}

const transportError = (request: HttpClientRequest.HttpClientRequest, cause: Dropped) =>
  new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })

const layerWith = (
  answer: (
    request: HttpClientRequest.HttpClientRequest,
    received: Received,
    index: number
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>,
  transform: (client: HttpClient.HttpClient) => HttpClient.HttpClient = (client) => client
): Layer.Layer<ScriptedAuthority | HttpClient.HttpClient> =>
  Layer.effectContext(Effect.gen(function*() {
    const journal = yield* Ref.make<ReadonlyArray<Received>>([])

    const client = HttpClient.make(Effect.fnUntraced(function*(request, url) {
      const body = yield* bodyText(request)
      const received: Received = { method: request.method, url, headers: { ...request.headers }, body }
      const index = yield* Ref.modify(journal, (all) => [all.length, [...all, received]])
      return yield* answer(request, received, index)
    }))

    return Context.make(ScriptedAuthority, ScriptedAuthority.of({ received: Ref.get(journal) })).pipe(
      Context.add(HttpClient.HttpClient, transform(client))
    )
  }))

const bodyText = (request: HttpClientRequest.HttpClientRequest): Effect.Effect<string> => {
  switch (request.body._tag) {
    case "Empty":
      return Effect.succeed("")
    case "Uint8Array":
      return Effect.succeed(new TextDecoder().decode(request.body.body))
    default:
      return HttpClientRequest.toWeb(request).pipe(
        Effect.flatMap((web) => Effect.promise(() => web.text())),
        Effect.orDie
      )
  }
}
