/**
 * The real authority without a socket, with one user. It follows the clock of the test.
 *
 * @since 0.1.0
 */
import type { Credentials } from "@effect-tenovos/core"
import * as Authority from "@effect-tenovos/server/Authority"
import * as AuthorityServer from "@effect-tenovos/server/AuthorityServer"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

/**
 * The one user of {@link layer}, and its API key.
 *
 * @category constants
 * @since 0.1.0
 */
export const credentials: Credentials.Credentials = {
  endpointUrl: "https://tenovos.test/v1",
  apiKey: Redacted.make("test-api-key"),
  username: "ada",
  password: Redacted.make("test-password")
}

/**
 * An `HttpClient` whose every request the authority answers, and the authority itself.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options?: AuthorityServer.Options
): Layer.Layer<HttpClient.HttpClient | Authority.Authority> =>
  Layer.effectDiscard(Effect.gen(function*() {
    const authority = yield* Authority.Authority
    yield* authority.addApiKey(credentials.apiKey)
    yield* authority.addUser({ username: credentials.username, password: credentials.password })
  })).pipe(
    Layer.provideMerge(AuthorityServer.layerHttpClient({ endpointUrl: credentials.endpointUrl, ...options })),
    // A database in memory that was just made can't be of another version, or out of reach.
    Layer.orDie
  )
