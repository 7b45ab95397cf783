// Does each rule in CONTRIBUTING.md have a test of the title that stands there?
import { existsSync, readFileSync } from "node:fs"

const last = 11
const rows = readFileSync("CONTRIBUTING.md", "utf8").matchAll(/^\| (\d+)\. [^|]*\|([^|]*)\|\s*$/gm)
const findings: Array<string> = []
const rules: Array<number> = []

for (const { 1: rule, 2: tests = "" } of rows) {
  let file = ""
  let titles = 0
  for (const { 1: link, 2: title } of tests.matchAll(/\]\(([^)]+)\)|"([^"]+)"/g)) {
    if (link !== undefined) file = link
    else if (title !== undefined) {
      titles++
      const isThere = existsSync(file) && readFileSync(file, "utf8").includes(`(${JSON.stringify(title)},`)
      if (!isThere) findings.push(`rule ${rule}: ${file || "no file"} has no test "${title}"`)
    }
  }
  if (titles === 0) findings.push(`rule ${rule}: no test`)
  rules.push(Number(rule))
}
if (rules.join() !== Array.from({ length: last }, (_, index) => index + 1).join()) {
  findings.push(`the rules are ${rules.join(", ") || "missing"}, and not 1 to ${last}`)
}

for (const finding of findings) console.error(`CONTRIBUTING.md: ${finding}`)
console.log(`rules: ${rules.length} rules, ${findings.length} findings`)
process.exitCode = findings.length === 0 ? 0 : 1
