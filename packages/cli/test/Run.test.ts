import { assert, describe, it } from "@effect/vitest"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { assertRefused, authority, secrets, user } from "./support/user.ts"

describe("tenovos run", { timeout: 60_000 }, () => {
  const { signedIn, url } = authority()

  it("gives the headers to the program, and to nobody else", async () => {
    const ada = await signedIn()
    const token = (await ada.run(["token"])).stdout.trim()
    const program = `
      const { TENOVOS_ENDPOINT_URL, TENOVOS_API_KEY, TENOVOS_ACCESS_TOKEN, TENOVOS_ID_TOKEN } = process.env
      const headers = { "x-api-key": TENOVOS_API_KEY, accesstoken: TENOVOS_ACCESS_TOKEN, authorization: TENOVOS_ID_TOKEN }
      const { status } = await fetch(TENOVOS_ENDPOINT_URL + "/security/template", { headers })
      console.log(status, TENOVOS_ACCESS_TOKEN)
      console.log(process.ppid)
      process.stdin.resume()
    `
    const { child, result } = ada.start(["run", "--", process.execPath, "--input-type=module", "-e", program], {
      env: { TENOVOS_ENDPOINT_URL: url() }
    })

    const { code, stderr, stdout } = await result()
    assert.deepStrictEqual([code, stderr], [0, ""])
    assert.deepStrictEqual(stdout.split("\n").slice(0, 2), [`200 ${token}`, String(child.pid)])
  })

  it("has no token in its own arguments and environment", { skip: process.platform !== "linux" }, async () => {
    const ada = await signedIn()
    const token = (await ada.run(["token"])).stdout.trim()
    const { child } = ada.start(["run", "--", "sh", "-c", "echo ready; while :; do sleep 0.05; done"])
    const own = (file: string) => readFileSync(`/proc/${child.pid}/${file}`, "utf8")
    const its = (file: string) => readFileSync(`/proc/${own(`task/${child.pid}/children`).trim()}/${file}`, "utf8")
    await once(child.stdout, "data")

    assert.include(its("environ"), token)
    assert.notInclude(own("environ") + own("cmdline") + its("cmdline"), token)
    process.kill(Number(own(`task/${child.pid}/children`)), "SIGKILL")
  })

  it("ends as the program ends, and passes signals on", async () => {
    const ada = await signedIn()
    const waiting = "trap 'echo stopped; exit 5' TERM; echo ready; while :; do sleep 0.05; done"

    const seven = await ada.run(["run", "--", "sh", "-c", "exit 7"])
    const killed = await ada.run(["run", "--", "sh", "-c", "kill -KILL $$"])
    const { child, result } = ada.start(["run", "--", "sh", "-c", waiting])
    await once(child.stdout, "data")
    child.kill("SIGTERM")

    assert.deepStrictEqual([seven.code, killed.code], [7, 137])
    assert.deepStrictEqual((await result()).code, 5)
  })

  it("passes flags on that are its own too", async () => {
    const ada = await signedIn()

    const { stdout } = await ada.run(["run", "--", "echo", "--help", "--profile", "x", "--", "-v"])

    assert.strictEqual(stdout, "--help --profile x -- -v\n")
  })

  it("tells that there is no such program, no session, and nothing to run", async () => {
    const ada = await signedIn()

    assertRefused(await ada.run(["run", "--", "no-such-program"]), 127, /no program no-such-program/)
    assertRefused(await ada.run(["run", "--", ada.home]), 126, /can't be run: EACCES/)
    assertRefused(await user(url()).run(["run", "--", "true"]), 3, /Run `tenovos login`/)
    assertRefused(await ada.run(["run"]), 2, /COMMAND/)
    assertRefused(await ada.run(["run", "--profil", "x", "--", "true"]), 2, /Unrecognized flag: --profil/)
  })

  it("needs no login where the environment has the credentials", async () => {
    const env = { TENOVOS_USERNAME: "ada", TENOVOS_PASSWORD: secrets.password }

    const { code, stdout } = await user(url()).run(["run", "--", "sh", "-c", "echo $TENOVOS_ACCESS_TOKEN"], { env })

    assert.strictEqual(code, 0)
    assert.match(stdout, /^eyJ/)
  })
})
