/**
 * An authority that answers by script, for the cases that no healthy one gives. It remembers what it received.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"

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
 * @category layers
 * @since 0.1.0
 */
export const layer = (script: Script): Layer.Layer<ScriptedAuthority | HttpClient.HttpClient> =>
  Layer.effectContext(Effect.gen(function*() {
    const journal = yield* Ref.make<ReadonlyArray<Received>>([])

    const client = HttpClient.make(Effect.fnUntraced(function*(request, url) {
      const body = yield* bodyText(request)
      const received: Received = { method: request.method, url, headers: { ...request.headers }, body }
      const index = yield* Ref.modify(journal, (all) => [all.length, [...all, received]])
      const response = yield* Effect.mapError(
        script(received, index),
        (cause) =>
          new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })
      )
      return HttpClientResponse.fromWeb(request, response)
    }))

    return Context.make(ScriptedAuthority, ScriptedAuthority.of({ received: Ref.get(journal) })).pipe(
      Context.add(HttpClient.HttpClient, client)
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
