/** What the library adds to a bundle for a browser and to the start of a program. */
import * as Effect from "effect/Effect"
import { build } from "esbuild"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { compile } from "./compile.ts"
import { atMost, type Figure, plain, round, takeTurns } from "./figure.ts"

const root = fileURLToPath(new URL("..", import.meta.url))
const core = fileURLToPath(new URL("../../core", import.meta.url))
const rounds = 15

/** The smallest program that signs in once. */
const byHand = `
  import * as Effect from "effect/Effect"
  import * as FetchHttpClient from "effect/http/FetchHttpClient"
  import * as HttpClient from "effect/http/HttpClient"
  import * as HttpClientRequest from "effect/http/HttpClientRequest"
  import * as HttpClientResponse from "effect/http/HttpClientResponse"
  import * as Schema from "effect/Schema"

  const Answer = Schema.Struct({
    session: Schema.Struct({ accessToken: Schema.String, refreshToken: Schema.String, expireEpoch: Schema.Number })
  })

  globalThis.program = HttpClient.execute(
    HttpClientRequest.post("https://api.tenovos.io/v1/auth/token", {
      headers: { "x-api-key": "key" }
    }).pipe(HttpClientRequest.bodyJsonUnsafe({ username: "ada", password: "secret" }))
  ).pipe(
    Effect.flatMap(HttpClientResponse.schemaBodyJson(Answer)),
    Effect.provide(FetchHttpClient.layer)
  )
`

/** A program whose requests are authorised. */
const ours = (path: string) => `
  import * as TenovosAuth from "${path}/TenovosAuth${path.startsWith("@") ? "" : ".js"}"
  import * as TenovosClient from "${path}/TenovosClient${path.startsWith("@") ? "" : ".js"}"
  import * as Effect from "effect/Effect"
  import * as FetchHttpClient from "effect/http/FetchHttpClient"
  import * as Layer from "effect/Layer"
  import * as Redacted from "effect/Redacted"

  globalThis.program = TenovosClient.TenovosClient.use((client) => client.get("/asset/1")).pipe(
    Effect.provide(TenovosClient.layer.pipe(
      Layer.provide(
        TenovosAuth.layer({ apiKey: Redacted.make("key"), username: "ada", password: Redacted.make("secret") })
      ),
      Layer.provide(FetchHttpClient.layer)
    ))
  )
`

const gzipped = (contents: string, external: Array<string> = []) =>
  Effect.promise(() =>
    build({
      stdin: { contents, resolveDir: root },
      bundle: true,
      minify: true,
      external,
      write: false,
      format: "esm",
      platform: "browser",
      logLevel: "silent"
    })
  ).pipe(Effect.map(({ outputFiles: [file] }) => gzipSync(file?.contents ?? "", { level: 9 }).length / 1000))

/** Milliseconds until a program has been imported, in a process of its own, as that process counts them. */
const imported = (contents: string) =>
  Effect.sync(() => {
    const { stderr, stdout } = spawnSync(
      process.execPath,
      ["--input-type=module", "--eval", `${contents}; process.stdout.write(String(performance.now()))`],
      { cwd: core, encoding: "utf8" }
    )
    if (stdout === "") throw new Error(stderr)
    return Number(stdout)
  })

export const run: Effect.Effect<ReadonlyArray<Figure>, unknown> = Effect.gen(function*() {
  const smallest = yield* gzipped(byHand)
  const whole = yield* gzipped(ours("@effect-tenovos/core"))
  const own = yield* gzipped(ours("@effect-tenovos/core"), ["effect/*"])
  yield* compile(core)

  // Each says for itself how long it took.
  const time = yield* takeTurns(rounds, {
    empty: imported(""),
    byHand: imported(byHand),
    ours: imported(ours("./dist"))
  })
  return [
    atMost("gzip over the smallest program", whole - smallest, 12, "kB"),
    plain("of that the library's own code", `${round(own)} kB`),
    plain("the smallest program that signs in", `${round(smallest)} kB`),
    plain("a program with TenovosClient", `${round(whole)} kB`),
    atMost("import, in that of the smallest program", Number((time("ours") / time("byHand")).toFixed(2)), 1.2, "times"),
    plain("import of the smallest program", `${round(time("byHand"))} ms`),
    plain("import of TenovosClient", `${round(time("ours"))} ms`),
    plain("start of an empty program", `${round(time("empty"))} ms`)
  ]
})
