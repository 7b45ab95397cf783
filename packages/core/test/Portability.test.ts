import { assert, describe, it } from "@effect/vitest"
import { build } from "esbuild"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { createContext, runInContext } from "node:vm"

const root = fileURLToPath(new URL("..", import.meta.url))

/** A program that signs in, makes a call and tells the status of its answer. */
const program = `
  import { TenovosAuth, TenovosClient } from "./src/index.ts"
  import * as Effect from "effect/Effect"
  import * as FetchHttpClient from "effect/http/FetchHttpClient"
  import * as Layer from "effect/Layer"
  import * as Redacted from "effect/Redacted"

  globalThis.result = TenovosClient.TenovosClient.use((client) => client.get("/asset/1")).pipe(
    Effect.map((response) => response.status),
    Effect.provide(TenovosClient.layer.pipe(
      Layer.provide(TenovosAuth.layer({ apiKey: Redacted.make("k"), username: "u", password: Redacted.make("p") })),
      Layer.provide(FetchHttpClient.layer)
    )),
    Effect.runPromise
  )
`

const bundle = (platform: "browser" | "neutral", conditions: Array<string>) =>
  build({
    stdin: { contents: program, resolveDir: root },
    bundle: true,
    write: false,
    metafile: true,
    format: "iife",
    logLevel: "silent",
    platform,
    conditions,
    absWorkingDir: root
  })

/** What a browser and a worker have in common; neither has `process`, `Buffer` or `require`. */
const webGlobals = {
  AbortController,
  AbortSignal,
  Headers,
  ReadableStream,
  Request,
  Response,
  TextDecoder,
  TextEncoder,
  URL,
  URLSearchParams,
  atob,
  btoa,
  clearTimeout,
  console,
  crypto,
  performance,
  queueMicrotask,
  setTimeout
}

describe("core", () => {
  it("depends on effect alone", () => {
    const manifest = JSON.parse(readFileSync(`${root}package.json`, "utf8"))

    assert.isUndefined(manifest.dependencies)
    assert.deepStrictEqual(Object.keys(manifest.peerDependencies), ["effect"])
  })

  for (
    const [runtime, platform, conditions] of [
      ["a browser", "browser", ["browser", "import"]],
      ["a worker", "neutral", ["workerd", "worker", "import"]]
    ] as const
  ) {
    it(`bundles for ${runtime}, out of itself and effect, and runs there`, async () => {
      const { metafile, outputFiles } = await bundle(platform, [...conditions])
      const strangers = Object.keys(metafile.inputs).filter((path) =>
        !path.startsWith("src/") && !path.includes("/node_modules/effect/") && path !== "<stdin>"
      )
      const requested: Array<string> = []
      const context = createContext({
        ...webGlobals,
        fetch: (url: URL, init: RequestInit) => {
          requested.push(`${init.method} ${url}`)
          return Promise.resolve(Response.json({ session: { accessToken: "a", refreshToken: "r" } }))
        }
      })
      runInContext(outputFiles[0]?.text ?? "", context)

      assert.deepStrictEqual(strangers, [])
      assert.strictEqual(await context["result"], 200)
      assert.deepStrictEqual(requested, [
        "POST https://api.tenovos.io/v1/auth/token",
        "GET https://api.tenovos.io/v1/asset/1"
      ])
    })
  }
})
