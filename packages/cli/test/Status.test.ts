import { assert, describe, it } from "@effect/vitest"
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { assertDocumented, assertNoSecrets, assertRefused, assertUsage, authority, user } from "./support/user.ts"

describe("tenovos status", { timeout: 60_000 }, () => {
  const { control, signedIn, url } = authority()

  it("says who, where, and for how long, without a secret and without a request", async () => {
    const ada = await signedIn()
    const before = (await control("journal")).length

    const text = await ada.run(["status"])
    const json = await ada.run(["status", "--json"])

    assert.deepInclude(text, { code: 0, stderr: "" })
    assert.match(text.stdout, /^user: +ada$/m)
    assert.match(text.stdout, /^access token: +59m .* left, until /m)
    assert.match(text.stdout, /^refresh token: +29d .* left, until /m)
    assertDocumented("status", json.stdout)
    assertNoSecrets(text.stdout + json.stdout)
    assert.strictEqual((await control("journal")).length, before)
  })

  it("ends with 3 where there is no session", async () => {
    const nobody = user(url())

    const text = await nobody.run(["status"])
    const json = await nobody.run(["status", "--json"], { env: { TENOVOS_API_KEY: undefined } })

    assert.deepInclude(text, { code: 3, stderr: "" })
    assert.include(text.stdout, "run `tenovos login`")
    assert.deepInclude(JSON.parse(json.stdout), { session: "none", accessToken: null, username: null })
  })

  it("tells that the configuration file is damaged, and nothing that is in it", async () => {
    const ada = user(url())
    mkdirSync(dirname(ada.config), { recursive: true })
    writeFileSync(ada.config, "{\"profiles\":{\"default\":{\"apiKey\":[\"canary-key-5b1d0c7e93a2\"]}}}")

    const result = await ada.run(["status"])

    assertRefused(result, 2, /config\.json is damaged/)
    assertNoSecrets(result.stderr)
  })

  it("tells that there is no home", async () => {
    assertRefused(await user(url()).run(["status"], { env: { HOME: undefined } }), 2, /Set HOME/)
  })

  it("tells that the store is none", async () => {
    const ada = user(url())
    mkdirSync(join(ada.sessions, ".."), { recursive: true })
    writeFileSync(ada.sessions, "a file")

    assertRefused(await ada.run(["status"]), 1, /The session store failed to read: .*is not a folder/)
  })

  it("refuses bad values", () =>
    assertUsage(user(url()), [
      [["status", "--jsno"], /Unrecognized flag: --jsno in command tenovos status\. Did you mean this\? --json/],
      [["status", "--profile", ""], /profile's name/]
    ]))
})
