/**
 * An `HttpClient` for the Tenovos API: every request leaves with the headers of a valid session.
 *
 * Relative URLs are taken from the session's endpoint. The headers go to the origin of that endpoint and nowhere else:
 * a request to another origin, or a redirect to one, goes without them. Redirects are followed here, up to ten of them,
 * because `fetch` would take the headers along; in a browser, which hides redirects, they are returned as they are.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import type { AuthError } from "./AuthError.ts"
import { secretHeaders, sendSecretly } from "./internal/secrecy.ts"
import { TenovosAuth } from "./TenovosAuth.ts"

/**
 * @category services
 * @since 0.1.0
 */
export class TenovosClient extends Context.Service<
  TenovosClient,
  HttpClient.HttpClient.With<HttpClientError | AuthError>
>()("@effect-tenovos/core/TenovosClient") {}

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
    const decorate = Effect.fnUntraced(function*(request: HttpClientRequest.HttpClientRequest) {
      // Endpoint and headers of one session: those of another may be meant for another origin.
      const { headers, session: { endpointUrl } } = yield* auth.serve()
      const url = isAbsolute(request.url) ? request.url : HttpClientRequest.prependUrl(request, endpointUrl).url
      if (URL.parse(url)?.origin !== URL.parse(endpointUrl)?.origin) return request
      return HttpClientRequest.makeWith(
        request.method,
        url,
        request.urlParams,
        request.hash,
        secretHeaders(request.headers, headers),
        request.body
      )
    })
    // Decorated after all that others map, and below the redirects, which therefore never see the headers.
    return HttpClient.makeWith(
      (request: Effect.Effect<HttpClientRequest.HttpClientRequest, E | AuthError, R>) =>
        request.pipe(
          Effect.flatMap(decorate),
          Effect.flatMap((decorated) => client.postprocess(Effect.succeed(decorated))),
          sendSecretly
        ),
      client.preprocess
    ).pipe(HttpClient.followRedirects(10))
  })

const isAbsolute = (url: string): boolean => /^[a-z][a-z0-9+.-]*:/i.test(url)

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<TenovosClient, never, TenovosAuth | HttpClient.HttpClient> = Layer.effect(
  TenovosClient,
  Effect.flatMap(HttpClient.HttpClient, authorize)
)
