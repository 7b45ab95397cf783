import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { preload } from "./support/preload.ts"
import { run } from "./support/run.ts"

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
