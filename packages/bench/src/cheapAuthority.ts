/** The authority with hashes that cost next to nothing, on the database that it is started with. */
import * as AuthorityServer from "@effect-tenovos/server/AuthorityServer"
import * as Passwords from "@effect-tenovos/server/Passwords"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const [database = ""] = process.argv.slice(2)

const listening = Layer.effectDiscard(
  AuthorityServer.AuthorityServer.use(({ origin }) => Console.log(`listening on ${origin}`))
)
const server = Layer.unwrap(
  Effect.map(
    Passwords.make({ memoryCost: 8, timeCost: 1 }),
    (passwords) => AuthorityServer.layerNode({ database, port: 0, passwords })
  )
)

NodeRuntime.runMain(Layer.launch(Layer.provide(listening, server)))
