import { assert, describe, it } from "@effect/vitest"
import { globSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { emptyFolder, fromSource, tenovos, tenovosWith } from "./support/tenovos.ts"

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

  it("keeps what V8 has compiled of a run that went well, and makes it anew when it is damaged", async () => {
    const cache = emptyFolder()
    const compiled = join(cache, "tenovos", "compiled")
    const kept = () => globSync("*/quickServe-*", { cwd: compiled }).map((name) => join(compiled, name))
    const start = async () => {
      const args = ["serve", "--port", "0", "--database", ":memory:"]
      const serving = tenovosWith(cache, { XDG_CACHE_HOME: cache }, ...args)
      await serving.listening
      serving.stop("SIGTERM")
      assert.strictEqual((await serving.result()).code, 0)
    }

    const failed = await tenovosWith(cache, { XDG_CACHE_HOME: cache }, "serve", "--database", cache).result()
    assert.notStrictEqual(failed.code, 0)
    assert.deepStrictEqual(kept(), [])

    await start()
    const [file = "", ...others] = kept()
    assert.deepStrictEqual(others, [])
    const [bytes, { mode, mtimeMs }] = [readFileSync(file), statSync(file)]
    assert.strictEqual(mode & 0o777, 0o600)

    await start()
    assert.strictEqual(statSync(file).mtimeMs, mtimeMs)

    // V8 would end the process.
    writeFileSync(file, Buffer.from(bytes).fill(0x5a, bytes.length / 2))
    await start()
    assert.notDeepEqual(readFileSync(file).subarray(bytes.length / 2), Buffer.alloc(bytes.length / 2, 0x5a))
    await start()
  })

  it("knows its version", async () => {
    const { code, stdout } = await tenovos(emptyFolder(), "--version").result()

    assert.strictEqual(code, 0)
    assert.match(stdout, /^tenovos v\d+\.\d+\.\d+/)
    // So do its sources, which run as they are.
    assert.deepInclude(await fromSource(emptyFolder(), "--version").result(), { code, stdout })
  })
})
