/** For a program with an HTTP client of its own: it takes the headers, and nothing else. */
import { TenovosAuth } from "@effect-tenovos/core"
import { Config, Console, Effect, Layer } from "effect"
import { FetchHttpClient } from "effect/http"

const program = Effect.gen(function*() {
  const auth = yield* TenovosAuth.TenovosAuth
  const { endpointUrl } = yield* auth.session
  const headers = yield* auth.headers

  const response = yield* Effect.promise(() => fetch(`${endpointUrl}/security/template`, { headers }))
  yield* Console.log(response.status, "with", `${headers}`)
})

const options = Config.all({
  endpointUrl: Config.String("TENOVOS_ENDPOINT_URL"),
  apiKey: Config.Redacted("TENOVOS_API_KEY"),
  username: Config.String("TENOVOS_USERNAME"),
  password: Config.Redacted("TENOVOS_PASSWORD")
})

await program.pipe(
  Effect.provide(TenovosAuth.layerConfig(options).pipe(Layer.provide(FetchHttpClient.layer))),
  Effect.runPromise
)
