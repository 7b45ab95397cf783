// Is what npm would publish right? Packs each public package and looks into the tarball: publint, attw, what is in it, and
// whether the command works as npm installs it.
import { execFile } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { publint } from "publint"
import { formatMessage } from "publint/utils"

const packages = ["core", "server", "testing", "cli"]
const temporary = mkdtempSync(join(tmpdir(), "package-"))
const findings: Array<string> = []

const run = (command: string, ...args: ReadonlyArray<string>) =>
  new Promise<{ readonly ok: boolean; readonly output: string }>((resolve) =>
    execFile(
      command,
      args,
      { maxBuffer: Infinity },
      (error, stdout, stderr) => resolve({ ok: error === null, output: stdout + stderr || String(error) })
    )
  )

const tarballOf = (name: string) => join(temporary, `${name}.tgz`)

const pack = async (name: string) => {
  const { ok, output } = await run("pnpm", "--dir", `packages/${name}`, "pack", "--out", tarballOf(name))
  if (!ok) findings.push(`${name}: ${output}`)
  return ok
}

const inspect = async (name: string) => {
  const found = (finding: string) => findings.push(`${name}: ${finding}`)
  const tarball = tarballOf(name)

  const { messages, pkg } = await publint({ pack: { tarball: Uint8Array.from(readFileSync(tarball)).buffer } })
  for (const message of messages) found(`publint: ${formatMessage(message, pkg, { color: false })}`)

  const attw = await run("attw", tarball, "--profile", "esm-only", "--no-color", "--no-emoji")
  if (!attw.ok) found(`attw: ${attw.output}`)

  const contents = mkdtempSync(join(temporary, `${name}-`))
  await run("tar", "-xzf", tarball, "-C", contents, "--strip-components=1")
  const files = readdirSync(contents, { recursive: true, encoding: "utf8" })
  for (const file of ["LICENSE", "README.md", "dist/index.js", "dist/index.d.ts"]) {
    if (!files.includes(file)) found(`${file} is missing`)
  }
  for (const file of files) {
    if (/(^|\/)(test|typetest)\/|\.(test|tst)\.|tsbuildinfo$/.test(file)) found(`${file} does not belong there`)
  }
  const protocol = /"(workspace|catalog):.*"/.exec(readFileSync(join(contents, "package.json"), "utf8"))
  if (protocol !== null) found(`package.json still says ${protocol[0]}`)
}

/** One after the other, beside what npm and the command do. */
const inspectAll = async () => {
  for (const name of packages) await inspect(name)
}

const install = async () => {
  const { ok, output } = await run(process.execPath, "scripts/install.ts", ...["core", "server", "cli"].map(tarballOf))
  if (!ok) findings.push(output)
  return output
}

try {
  const packed = await Promise.all(packages.map(pack))
  if (packed.every((ok) => ok)) {
    const [output] = await Promise.all([install(), inspectAll()])
    process.stdout.write(output)
  }
} finally {
  rmSync(temporary, { recursive: true })
}
for (const finding of findings) console.error(finding)
console.log(`package: ${packages.length} tarballs, ${findings.length} findings`)
process.exitCode = findings.length === 0 ? 0 : 1
