import { TenovosAuth, TenovosClient } from "@effect-tenovos/core"
import { Console, Effect, Layer } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"

// Every request of this client leaves with the headers of a valid session.
const program = Effect.gen(function*() {
  const client = (yield* TenovosClient.TenovosClient).pipe(HttpClient.filterStatusOk)
  const response = yield* client.get("/security/template")
  yield* Console.log(response.status, yield* response.json)
})

// Credentials come from TENOVOS_API_KEY, TENOVOS_USERNAME, TENOVOS_PASSWORD and TENOVOS_ENDPOINT_URL.
const Tenovos = TenovosClient.layer.pipe(
  Layer.provide(TenovosAuth.layerConfig()),
  Layer.provide(FetchHttpClient.layer)
)

await program.pipe(
  Effect.provide(Tenovos),
  // Each way to fail is a typed reason, with a sentence that says what to do next.
  Effect.catchTag(
    ["AuthError", "ConfigError"],
    ({ message }) => Effect.andThen(Console.error(message), Effect.sync(() => process.exitCode = 1))
  ),
  Effect.runPromise
)
