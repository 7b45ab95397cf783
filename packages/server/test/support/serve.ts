// A server process to end at any moment: `node serve.ts DATABASE`. It prints where it listens.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as AuthorityServer from "../../src/AuthorityServer.ts"
import * as Seed from "../../src/Seed.ts"

const seed = {
  apiKeys: [Redacted.make("key")],
  users: [{ username: "ada", password: Redacted.make("secret") }]
}

Effect.gen(function*() {
  yield* Seed.apply(seed)
  yield* Console.log((yield* AuthorityServer.AuthorityServer).endpointUrl)
  return yield* Effect.never
}).pipe(
  Effect.provide(AuthorityServer.layerNode({ database: process.argv[2], port: 0 })),
  NodeRuntime.runMain
)
