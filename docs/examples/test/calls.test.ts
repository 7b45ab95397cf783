import { Authority, AuthorityServer } from "@effect-tenovos/server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { run } from "./support/run.ts"

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
