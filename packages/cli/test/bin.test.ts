import { assert, describe, it } from "@effect/vitest"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { emptyFolder, fromSource, tenovos } from "./support/tenovos.ts"

describe("the published command", () => {
  it("hashes passwords, and has its pages, which stand in other packages", async () => {
    const folder = emptyFolder()
    const seed = { apiKeys: ["key"], users: [{ username: "ada", password: "secret" }] }
    writeFileSync(join(folder, "seed.json"), JSON.stringify(seed))

    const serving = tenovos(folder, "serve", "--dev", "--port", "0", "--database", ":memory:", "--seed", "seed.json")
    const url = await serving.listening
    const signedIn = await fetch(`${url}/auth/token`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-api-key": "key" },
      body: JSON.stringify({ username: "ada", password: "secret" })
    })
    const pages = await Promise.all(
      ["/docs", "/__control/docs", "/__inspector"].map((path) => fetch(new URL(path, url)))
    )
    serving.stop()

    assert.strictEqual(signedIn.status, 200)
    assert.deepStrictEqual(pages.map(({ status }) => status), [200, 200, 200])
    assert.strictEqual((await serving.result()).code, 0)
  })

  it("knows its version", async () => {
    const { code, stdout } = await tenovos(emptyFolder(), "--version").result()

    assert.strictEqual(code, 0)
    assert.match(stdout, /^tenovos v\d+\.\d+\.\d+/)
    // So do its sources, which run as they are.
    assert.deepInclude(await fromSource(emptyFolder(), "--version").result(), { code, stdout })
  })
})
