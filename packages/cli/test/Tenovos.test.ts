import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { assertNoSecrets, assertRefused, atTerminal, authority, noTerminal, secrets, user } from "./support/user.ts"

const commands = ["login", "token", "status", "refresh", "request", "run", "logout", "doctor", "serve"]

describe("tenovos", { timeout: 60_000 }, () => {
  const { url } = authority()

  it("shows with each command how it is used", async () => {
    const pages = await Promise.all(commands.map((command) => user(url()).run([command, "--help"])))

    for (const [index, { code, stderr, stdout }] of pages.entries()) {
      assert.deepStrictEqual([code, stderr], [0, ""])
      assert.match(stdout, new RegExp(`EXAMPLES[^]*tenovos ${commands[index]}`))
    }
  })

  for (const shell of ["bash", "zsh", "fish"]) {
    it(`completes in ${shell}`, async () => {
      const { code, stdout } = await user(url()).run(["--completions", shell])

      assert.strictEqual(code, 0)
      for (const command of commands) assert.include(stdout, command)
      const parsed = spawnSync(shell, ["-n"], { input: stdout, encoding: "utf8" })
      // A shell that isn't here can't tell.
      if (parsed.error === undefined) assert.deepInclude(parsed, { status: 0, stderr: "" })
    })
  }

  it.skipIf(noTerminal !== undefined)(
    `colours its help at a terminal alone [${noTerminal ?? "python3's"}]`,
    async () => {
      const escape = "\u001b["
      const coloured = atTerminal(user(url()), ["--help"], { NO_COLOR: undefined })
      const plain = atTerminal(user(url()), ["--help"], { NO_COLOR: "1" })

      assert.deepStrictEqual([await coloured.ended(), await plain.ended()], [0, 0])
      assert.include(coloured.screen(), escape)
      assert.notInclude(plain.screen(), escape)
      assert.notInclude((await user(url()).run(["--help"], { env: { NO_COLOR: undefined } })).stdout, escape)
    }
  )

  it("refuses a command that is none", async () => {
    assertRefused(await user(url()).run(["tokne"]), 2, /tokne/)
  })

  it("shows no secret at any level of logging", async () => {
    const ada = user(url())
    const login = ["login", "--username", "ada", "--password-stdin"]
    const levels = ["all", "trace", "debug", "info", "warn", "error", "fatal", "none"]
    const results = [
      await ada.run([...login, "--log-level", "all"], { stdin: secrets.password }),
      await ada.run([...login, "--log-level", "all"], { stdin: `${secrets.password}, but wrong` })
    ]
    results.push(
      ...await Promise.all([
        ...levels.map((level) => ada.run(["status", "--log-level", level])),
        ...["all", "debug", "info"].map((level) => ada.run(["request", "GET", "/asset/1", "--log-level", level])),
        ada.run(["refresh", "--log-level", "all"]),
        ada.run(["doctor", "--log-level", "all"]),
        ada.run(["run", "--log-level", "all", "--", "true"])
      ])
    )
    results.push(await ada.run(["logout", "--log-level", "all"]))

    assert.strictEqual(results[0]?.code, 0)
    assert.strictEqual(results[1]?.code, 1)
    for (const { stderr, stdout } of results) assertNoSecrets(stdout + stderr)
    const { stderr, stdout } = await ada.run(["token", "--log-level", "all"])
    assertNoSecrets(stdout + stderr)
  })
})
