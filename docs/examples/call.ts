import { TenovosAuth, TenovosClient } from "@effect-tenovos/core"
import { Console, Effect, Layer } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"

// Every request of this client leaves with the headers of a valid session.
const program = Effect.gen(function*() {
  const client = (yield* TenovosClient.TenovosClient).pipe(HttpClient.filterStatusOk)
  const response = yield* client.get("/security/template")
  yield* Console.log(response.status, yield* response.json)
}).pipe(
  // Each way to fail is a typed reason, with a sentence that says what to do next.
  Effect.tapErrorTag("AuthError", ({ reason }) => Console.error(reason._tag, reason.message, reason.advice))
)

// Credentials come from TENOVOS_API_KEY, TENOVOS_USERNAME, TENOVOS_PASSWORD and TENOVOS_ENDPOINT_URL.
const Tenovos = TenovosClient.layer.pipe(
  Layer.provide(TenovosAuth.layerConfig()),
  Layer.provide(FetchHttpClient.layer)
)

await Effect.runPromise(Effect.provide(program, Tenovos))
