// Is what npm would publish right? Packs each public package and looks into the tarball: publint, attw, and what is in it.
import { spawnSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { publint } from "publint"
import { formatMessage } from "publint/utils"

const packages = ["core", "server", "testing", "cli"]
const temporary = mkdtempSync(join(tmpdir(), "package-"))
const findings: Array<string> = []

const run = (command: string, ...args: ReadonlyArray<string>): { readonly ok: boolean; readonly output: string } => {
  const { error, status, stderr, stdout } = spawnSync(command, args, { encoding: "utf8" })
  return { ok: status === 0, output: error?.message ?? stdout + stderr }
}

for (const name of packages) {
  const found = (finding: string) => findings.push(`${name}: ${finding}`)
  const tarball = join(temporary, `${name}.tgz`)

  const pack = run("pnpm", "--dir", `packages/${name}`, "pack", "--out", tarball)
  if (!pack.ok) {
    found(pack.output)
    continue
  }

  const { messages, pkg } = await publint({ pack: { tarball: Uint8Array.from(readFileSync(tarball)).buffer } })
  for (const message of messages) found(`publint: ${formatMessage(message, pkg, { color: false })}`)

  const attw = run("attw", tarball, "--profile", "esm-only", "--no-color", "--no-emoji")
  if (!attw.ok) found(`attw: ${attw.output}`)

  run("tar", "-xzf", tarball, "-C", temporary)
  const contents = join(temporary, "package")
  const files = readdirSync(contents, { recursive: true, encoding: "utf8" })
  for (const file of ["LICENSE", "README.md", "dist/index.js", "dist/index.d.ts"]) {
    if (!files.includes(file)) found(`${file} is missing`)
  }
  for (const file of files) {
    if (/(^|\/)(test|typetest)\/|\.(test|tst)\.|tsbuildinfo$/.test(file)) found(`${file} does not belong there`)
  }
  const protocol = /"(workspace|catalog):.*"/.exec(readFileSync(join(contents, "package.json"), "utf8"))
  if (protocol !== null) found(`package.json still says ${protocol[0]}`)
  rmSync(contents, { recursive: true })
}

rmSync(temporary, { recursive: true })
for (const finding of findings) console.error(finding)
console.log(`package: ${packages.length} tarballs, ${findings.length} findings`)
process.exitCode = findings.length === 0 ? 0 : 1
