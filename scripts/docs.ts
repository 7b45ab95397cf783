// Does the documentation hold? Every TypeScript fence compiles, and those that say so run; every command line works and prints
// what is shown; links lead somewhere; names, tables and diagrams say what the code says; and the site can be built.
// What the words after a fence's backticks do is told in CONTRIBUTING.md.
import { spawnSync } from "node:child_process"
import * as commands from "./docs/commands.ts"
import * as compile from "./docs/compile.ts"
import * as drawings from "./docs/drawings.ts"
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

// With a page as argument, its commands alone.
const [only] = process.argv.slice(2)

// What takes one core each, two at a time.
const [drawn, ran, lines] = only !== undefined
  ? ["nothing drawn", 0, await commands.run(only)]
  : await Promise.all([
    tools.spelling().then(tools.site).then(drawings.check).then(async (drawn) => {
      await compile.compile()
      return drawn
    }),
    modules.run(),
    commands.run()
  ])

for (const failure of failures) console.error(failure)
console.log(
  `docs: ${pages.length} pages, ${compiled} fences, ${ran} that run, ${lines} command lines, ${drawn}, ${linked} links, ${stated} facts, ` +
    `${failures.length} failures`
)
process.exitCode = failures.length === 0 ? 0 : 1
