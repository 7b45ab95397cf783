import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"

/** Does something with each request, as it is sent: below whatever a program has put on it. */
export const tap = (f: (request: HttpClientRequest.HttpClientRequest) => Effect.Effect<void>) =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.map(
      HttpClient.HttpClient,
      HttpClient.transform((response, request) => Effect.andThen(f(request), response))
    )
  )
