// Builds the site, in docs/.vitepress/dist: the guide, the API reference below /reference/, and for readers that are programs
// llms.txt, whose links lead to the site's pages, and llms-full.txt, the whole text of what it names but for the sources.
import { spawnSync } from "node:child_process"
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"

const site = "docs/.vitepress/dist"

const run = (command: string, ...args: ReadonlyArray<string>): void => {
  const { error, status } = spawnSync(command, args, { stdio: "inherit" })
  if (status !== 0) throw error ?? new Error(`${command} has failed`)
}

run("vitepress", "build", "docs")
run(process.execPath, "packages/reference/main.ts", "--out", `${site}/reference`)

/** Where on the site a file is read: a page without its ending, a module in the reference. */
const address = (file: string): string => {
  const [, name, module] = /^packages\/(\w+)\/src\/(\w+)\.ts$/.exec(file) ?? []
  return module === undefined
    ? `/${file.replace(/^README\.md$/, "overview.md").replace(/^docs\//, "").replace(/(README)?\.md$/, "")}`
    : `/reference/modules/_effect-tenovos_${name}_${module}.html`
}

const index = readFileSync("llms.txt", "utf8")
const files = [...index.matchAll(/\]\(([^)]+)\)/g)].map(([, file = ""]) => file)
writeFileSync(join(site, "llms.txt"), index.replace(/\]\(([^)]+)\)/g, (_, file) => `](${address(file)})`))
writeFileSync(
  join(site, "llms-full.txt"),
  files.filter((file) => !file.endsWith(".ts")).map((file) => `<!-- ${file} -->\n\n${readFileSync(file, "utf8")}`).join(
    "\n"
  )
)
for (const file of files.filter((file) => file.endsWith(".txt"))) {
  mkdirSync(join(site, dirname(file)), { recursive: true })
  copyFileSync(file, join(site, file))
}
