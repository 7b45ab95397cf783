/** oauth2-mock-server with a key of the usual size. */
import { OAuth2Server } from "oauth2-mock-server"

const server = new OAuth2Server()
await server.issuer.keys.generate("RS256")
await server.start(0, "127.0.0.1")
process.stdout.write(`listening on http://127.0.0.1:${server.address().port}\n`)
