/** For a program with an HTTP client of its own: it takes the headers, and nothing else. */
import { TenovosAuth } from "@effect-tenovos/core"
import { Config, Console, Effect, Layer } from "effect"
import { FetchHttpClient } from "effect/http"

const program = Effect.gen(function*() {
  const auth = yield* TenovosAuth.TenovosAuth
  const { headers, session } = yield* auth.serve()

  // `fetch` would take the headers along to wherever it is redirected.
  const response = yield* Effect.tryPromise(() =>
    fetch(`${session.endpointUrl}/security/template`, { headers, redirect: "error" })
  )
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
