import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { schema } from "../../../server/test/support/databases.ts"
import type {} from "../../../server/test/support/postgres.ts"
import { emptyFolder, tenovos } from "../support/tenovos.ts"

describe("tenovos serve on PostgreSQL", () => {
  it.live("keeps users, keys and sessions from one start to the next", () =>
    Effect.gen(function*() {
      const database = yield* schema
      const folder = emptyFolder()
      yield* Effect.promise(async () => {
        const start = () => tenovos(folder, "serve", "--port", "0", "--database", database, "--json")
        const listening = async (server: ReturnType<typeof start>) => {
          while (!server.stdout().includes("\n")) await new Promise(setImmediate)
          return JSON.parse(server.stdout())
        }
        const first = start()
        const { credentials, endpointUrl } = await listening(first)
        const send = async (url: string, body: unknown) => {
          const response = await fetch(`${url}/auth/token`, {
            method: "POST",
            headers: { "x-api-key": credentials.TENOVOS_API_KEY, "content-type": "application/json" },
            body: JSON.stringify(body)
          })
          return { status: response.status, body: await response.json() }
        }
        const user = { username: credentials.TENOVOS_USERNAME, password: credentials.TENOVOS_PASSWORD }
        const signedIn = await send(endpointUrl, user)
        const refreshed = await send(endpointUrl, signedIn.body)
        first.stop("SIGTERM")
        assert.deepInclude(await first.result(), { code: 0, stderr: "" })

        const second = start()
        const { endpointUrl: next } = await listening(second)
        const again = await send(next, refreshed.body)
        const { session } = refreshed.body
        const used = await fetch(`${next}/security/template`, {
          headers: {
            "x-api-key": credentials.TENOVOS_API_KEY,
            accesstoken: session.accessToken,
            authorization: session.authorization
          }
        })
        const renewed = await send(next, user)

        assert.deepStrictEqual([signedIn, refreshed, again, used, renewed].map(({ status }) => status), [
          200,
          200,
          200,
          200,
          200
        ])
        second.stop("SIGTERM")
        assert.deepInclude(await second.result(), { code: 0, stderr: "" })
      })
    }))
})
