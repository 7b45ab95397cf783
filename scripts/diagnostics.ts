// Does Effect's own linter find nothing, in any file of any project that tsconfig.json names?
import { spawnSync } from "node:child_process"
import { globSync } from "node:fs"
import { resolve } from "node:path"

interface Report {
  readonly diagnostics: ReadonlyArray<{ file: string; line: number; column: number; name: string; message: string }>
  readonly files: ReadonlyArray<{ file: string }>
}

const { error, stderr, stdout } = spawnSync(
  "effect-tsgo",
  ["diagnostics", "--strict", "--format", "json", "--list-files", "--project", "tsconfig.json"],
  { encoding: "utf8", maxBuffer: Infinity }
)
if (error !== undefined) throw error
if (!stdout.startsWith("{")) throw new Error(stdout + stderr)

const report: Report = JSON.parse(stdout)
const checked = new Set(report.files.map(({ file }) => resolve(file)))

// A file that no project includes would pass every check unseen.
const missed = globSync(["packages/*/{src,test}/**/*.ts", "docs/examples/{,test/}*.ts", "scripts/*.ts"])
  .filter((file) => !checked.has(resolve(file)))

for (const file of missed) console.error(`${file}: belongs to no project`)
for (const { column, file, line, message, name } of report.diagnostics) {
  console.error(`${file}:${line}:${column} ${name}: ${message}`)
}
console.log(`effect diagnostics: ${checked.size} files, ${report.diagnostics.length + missed.length} findings`)
process.exitCode = checked.size > 0 && report.diagnostics.length + missed.length === 0 ? 0 : 1
