/**
 * An `HttpClient` for the Tenovos API: every request leaves with the headers of a valid session.
 *
 * Relative URLs are taken from the session's endpoint. The headers go to the origin of that endpoint and nowhere else:
 * a request to another origin, or a redirect to one, goes without them. Redirects are followed here, up to ten of them,
 * because `fetch` would take the headers along; in a browser, which hides redirects, they are returned as they are.
 *
 * When the API answers 401, the session is renewed, unless that has happened since the request left, and the request is
 * sent once more. A 403 renews nothing.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpTraceContext from "effect/http/HttpTraceContext"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import { AuthError, NotReplayable } from "./AuthError.ts"
import * as metrics from "./internal/metrics.ts"
import { secretHeaders, sendSecretly } from "./internal/secrecy.ts"
import { type Served, TenovosAuth } from "./TenovosAuth.ts"

/**
 * The client. Its requests fail with `AuthError` where no session can be had, beside what an `HttpClient` fails
 * with.
 *
 * @category services
 * @since 0.1.0
 */
export class TenovosClient extends Context.Service<
  TenovosClient,
  HttpClient.HttpClient.With<HttpClientError | AuthError>
>()("@effect-tenovos/core/TenovosClient") {}

/**
 * How the requests of an effect are authorised: with a session, and how long it must live on at least; or not at all.
 *
 * @category services
 * @since 0.1.0
 */
export const Authorization = Context.Reference<
  { readonly _tag: "Session"; readonly minimumLife?: Duration.Duration | undefined } | { readonly _tag: "None" }
>("@effect-tenovos/core/TenovosClient/Authorization", { defaultValue: () => ({ _tag: "Session" }) })

/**
 * Sends the requests of this effect without the headers, and to relative URLs of no endpoint.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withoutAuthorization: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = Effect
  .provideService(Authorization, { _tag: "None" })

/**
 * Sends the requests of this effect with a session that lives on for at least so long: for an upload that takes a while,
 * and whose body can't be sent twice.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withMinimumLife: {
  (minimumLife: Duration.Input): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(effect: Effect.Effect<A, E, R>, minimumLife: Duration.Input): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(effect: Effect.Effect<A, E, R>, minimumLife: Duration.Input): Effect.Effect<A, E, R> =>
    Effect.provideService(effect, Authorization, {
      _tag: "Session",
      minimumLife: Duration.fromInputUnsafe(minimumLife)
    })
)

/**
 * Whether requests to the session's endpoint carry the trace headers of the current span. Defaults to `false`: the API is
 * a third party. Requests to `/auth/token` never carry them.
 *
 * @category services
 * @since 0.1.0
 */
export const TracePropagation = Context.Reference<boolean>("@effect-tenovos/core/TenovosClient/TracePropagation", {
  defaultValue: () => false
})

/**
 * Authorises the requests of a client of one's own.
 *
 * @category combinators
 * @since 0.1.0
 */
export const authorize = <E, R>(
  client: HttpClient.HttpClient.With<E, R>
): Effect.Effect<HttpClient.HttpClient.With<E | AuthError, R>, never, TenovosAuth> =>
  Effect.map(TenovosAuth, (auth) => {
    const send = (request: HttpClientRequest.HttpClientRequest) => client.postprocess(Effect.succeed(request))

    const authorized = Effect.fnUntraced(function*(
      request: HttpClientRequest.HttpClientRequest
    ): Effect.fn.Return<HttpClientResponse.HttpClientResponse, E | AuthError, R> {
      const authorization = yield* Authorization
      if (authorization._tag === "None") return yield* send(request)

      const trace = (yield* TracePropagation)
        ? Option.match(yield* Effect.option(Effect.currentSpan), {
          onNone: () => ({}),
          onSome: HttpTraceContext.toHeaders
        })
        : {}
      const served = yield* auth.serve(authorization)
      const own = decorate(request, served, trace)
      if (own === undefined) return yield* send(request)

      const response = yield* send(own)
      if (response.status !== 401) return response

      yield* auth.invalidate(served.session)
      if (!isReplayable(request.body)) return yield* new AuthError({ reason: new NotReplayable() })
      const again = yield* auth.serve(authorization)
      if (again.session.generation === served.session.generation) return response
      yield* Metric.update(metrics.replays, 1)
      return yield* send(decorate(request, again, trace) ?? request)
    }, sendSecretly)

    // Decorated after all that others map, and below the redirects, which therefore never see the headers.
    return HttpClient.makeWith(
      (request: Effect.Effect<HttpClientRequest.HttpClientRequest, E | AuthError, R>) =>
        Effect.flatMap(request, authorized),
      client.preprocess
    ).pipe(HttpClient.followRedirects(10))
  })

/** The request with its headers, if it goes to the session's origin. */
const decorate = (
  request: HttpClientRequest.HttpClientRequest,
  { headers, session: { endpointUrl } }: Served,
  trace: Readonly<Record<string, string>>
): HttpClientRequest.HttpClientRequest | undefined => {
  const url = isAbsolute(request.url) ? request.url : HttpClientRequest.prependUrl(request, endpointUrl).url
  return originOf(url) === originOf(endpointUrl)
    ? HttpClientRequest.makeWith(
      request.method,
      url,
      request.urlParams,
      request.hash,
      secretHeaders(request.headers, trace, headers),
      request.body
    )
    : undefined
}

const isAbsolute = (url: string): boolean => /^[a-z][a-z0-9+.-]*:/i.test(url)

const originOf = (url: string): string | undefined => URL.canParse(url) ? new URL(url).origin : undefined

const isReplayable = (body: HttpBody.HttpBody): boolean => {
  switch (body._tag) {
    case "Empty":
    case "Uint8Array":
    case "FormData":
      return true
    // What a raw body is, its transport knows; text and bytes can be read again.
    case "Raw":
      return typeof body.body === "string" || body.body instanceof Uint8Array || body.body instanceof ArrayBuffer
    case "Stream":
      return false
  }
}

/**
 * Provides the program's `HttpClient`, authorised by its `TenovosAuth`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<TenovosClient, never, TenovosAuth | HttpClient.HttpClient> = Layer.effect(
  TenovosClient,
  Effect.flatMap(HttpClient.HttpClient, authorize)
)
