// Does the documentation hold? Every TypeScript fence compiles, and those that say so run; every command line works and prints
// what is shown; links lead somewhere; names, tables and diagrams say what the code says; and the site can be built.
// What the words after a fence's backticks do is told in CONTRIBUTING.md.
import { spawnSync } from "node:child_process"
import * as commands from "./docs/commands.ts"
import * as compile from "./docs/compile.ts"
import * as facts from "./docs/facts.ts"
import * as links from "./docs/links.ts"
import * as modules from "./docs/modules.ts"
import { failures, pages } from "./docs/pages.ts"
import { installTools } from "./docs/shell.ts"
import * as tools from "./docs/tools.ts"

const bundle = spawnSync(process.execPath, ["scripts/bundle.ts"], { stdio: "inherit" })
if (bundle.status !== 0) process.exit(1)

const compiled = compile.write()
installTools()
const linked = links.check()
const stated = facts.check()

// What takes one core each, two at a time.
const [only] = process.argv.slice(2)
const [, [ran, lines]] = only !== undefined
  ? [undefined, ["nothing else", await commands.run(only)] as const]
  : await Promise.all([
    tools.spelling().then(tools.site).then(compile.compile),
    modules.run().then(async (ran) => [ran, await commands.run()] as const)
  ])

for (const failure of failures) console.error(failure)
console.log(
  `docs: ${pages.length} pages, ${compiled} fences, ${ran}, ${lines} command lines, ${linked} links, ${stated} facts, ` +
    `${failures.length} failures`
)
process.exitCode = failures.length === 0 ? 0 : 1
