import { Authority, AuthorityServer } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"

/** Runs an example as a user would, and waits for its end. */
const run = (example: string, env: Readonly<Record<string, string>> = {}, ...flags: ReadonlyArray<string>) =>
  Effect.promise(async () => {
    const child = spawn(
      process.execPath,
      [...flags, fileURLToPath(new URL(`../${example}`, import.meta.url))],
      { env: { ...process.env, NO_COLOR: "1", ...env } }
    )
    const [[code], stdout, stderr] = await Promise.all([once(child, "exit"), text(child.stdout), text(child.stderr)])
    return { code, stdout, stderr }
  })

/** A file that is loaded before the example, to break what it relies on. */
const preload = (code: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "tenovos-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
    ),
    (folder) => {
      const file = join(folder, "preload.mjs")
      writeFileSync(file, code)
      return ["--import", file]
    }
  )

describe("demo", () => {
  it.live("tells in a dozen lines with times that all steps held, and shows no token", () =>
    Effect.gen(function*() {
      const { code, stderr, stdout } = yield* run("demo.ts")
      const lines = stdout.trimEnd().split("\n")

      assert.strictEqual(code, 0, stderr)
      assert.isAtMost(lines.length, 14)
      for (const line of lines) assert.match(line, /^ *\d+\.\d\d s {2}\S/)
      for (
        const step of [
          "1,000 concurrent calls were answered, with one sign-in",
          "The authority failed to renew it. A call was answered all the same",
          "by a refresh and no sign-in",
          "A wrong password fails with Unauthorized",
          "A sign-in without a user name fails with BadRequest",
          "Signed out, and the authority confirmed it",
          "All steps held"
        ]
      ) assert.include(stdout, step)
      assert.notMatch(stdout + stderr, /eyJ|[\w-]{20,}/)
    }), 120_000)

  for (
    const [step, url] of [
      ["a call that is not answered", "/security/template"],
      ["an exchange that is not answered", "/auth/token"]
    ] as const
  ) {
    it.live(`ends with 1 at ${step}`, () =>
      Effect.gen(function*() {
        const flags = yield* preload(`
          const real = globalThis.fetch
          globalThis.fetch = (url, init) =>
            String(url).endsWith("${url}") ? Promise.resolve(new Response("{}", { status: 404 })) : real(url, init)
        `)
        const { code, stdout } = yield* run("demo.ts", {}, ...flags)

        assert.strictEqual(code, 1)
        assert.notInclude(stdout, "All steps held")
      }), 120_000)
  }
})

describe("against an authority", () => {
  const credentials = Effect.gen(function*() {
    const { endpointUrl } = yield* AuthorityServer.AuthorityServer
    const authority = yield* Authority.Authority
    yield* authority.addApiKey(Redacted.make("a-key"))
    yield* authority.addUser({ username: "ada", password: Redacted.make("a-password") })
    return {
      TENOVOS_ENDPOINT_URL: endpointUrl,
      TENOVOS_API_KEY: "a-key",
      TENOVOS_USERNAME: "ada",
      TENOVOS_PASSWORD: "a-password"
    }
  })

  const provideAuthority = Effect.provide(AuthorityServer.layerNode({ port: 0 }))

  for (const example of ["call.ts", "headers.ts"]) {
    it.live(`${example} makes its call`, () =>
      Effect.gen(function*() {
        const { code, stdout, stderr } = yield* run(example, yield* credentials)

        assert.strictEqual(code, 0, stderr)
        assert.match(stdout, /^200 /)
        assert.notMatch(stdout + stderr, /eyJ/)
      }).pipe(provideAuthority))
  }

  it.live("call.ts says which variable is missing, and fails", () =>
    Effect.gen(function*() {
      const { code, stderr } = yield* run("call.ts", { TENOVOS_USERNAME: "ada" })

      assert.strictEqual(code, 1)
      assert.include(stderr, "TENOVOS_API_KEY")
      assert.notMatch(stderr, /^ +at .*:\d+:\d+/m)
    }))

  it.live("call.ts says what is wrong, and fails", () =>
    Effect.gen(function*() {
      const { code, stderr } = yield* run("call.ts", { ...yield* credentials, TENOVOS_PASSWORD: "wrong-canary" })

      assert.strictEqual(code, 1)
      assert.strictEqual(stderr, "Invalid Authentication Parameters. Check the user name and the password.\n")
      assert.notInclude(stderr, "canary")
    }).pipe(provideAuthority))
})
