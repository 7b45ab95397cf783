// Are the files up to date that are made of others, and kept so that a change of them shows in review? `--write` makes them.
//
// - packages/*/src/index.ts: its modules.
// - llms.txt: what there is to read, for readers that are programs.
import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs"
import { basename } from "node:path"
import { parseArgs } from "node:util"

const names = ["core", "server", "testing", "cli"]
const read = (file: string) => readFileSync(file, "utf8").replaceAll("\r\n", "\n")

const modulesOf = (name: string) =>
  globSync(`packages/${name}/src/*.ts`)
    .map((file) => basename(file, ".ts"))
    .filter((module) => /^[A-Z]/.test(module))
    .sort((a, b) => a < b ? -1 : 1)

const index = (name: string) =>
  modulesOf(name).map((module) => `export * as ${module} from "./${module}.ts"\n`).join("")

/** The first sentence of a Markdown page or of a module's header, on one line. */
const summary = (text: string): string => {
  const prose = text.replace(/^(`{3,}).*?^\1/gms, "").split(/\n\s*\n/).map((paragraph) => paragraph.trim())
  const first = prose.find((paragraph) => /^[\w`"[(*]/.test(paragraph)) ?? ""
  const sentence = /^.*?[.:](?=\s|$)/s.exec(first)?.[0] ?? first
  return sentence.replace(/\{@link ([^}]+)\}|\[([^\]]+)\]\([^)]*\)/g, "$1$2").replaceAll("**", "").replace(/\s+/g, " ")
    .replace(/:$/, ".")
}

const header = (file: string) => summary(/^\/\*\*(.*?)\*\//s.exec(read(file))?.[1]?.replace(/^ \* ?/gm, "") ?? "")

// What the guide's contents say of a page is better than how it begins.
const contents = existsSync("docs/README.md") ? read("docs/README.md") : ""
const described = new Map(
  [...contents.matchAll(/^- \[.*?\]\((.*?)\): (.*)$/gm)].map(([, file = "", said = ""]) => [`docs/${file}`, `${said}.`])
)

const page = (file: string) => {
  const text = read(file)
  return `- [${/^# (.*)$/m.exec(text)?.[1] ?? file}](${file}): ${described.get(file) ?? summary(text)}`
}

const pages = (...patterns: ReadonlyArray<string>) =>
  globSync(patterns)
    .map((file) => file.replaceAll("\\", "/"))
    .filter((file) => !/(^|\/)(node_modules|reference|\.[^/]+)\//.test(file))
    .sort()
    .map(page)

const llms = () =>
  [
    `# effect-tenovos`,
    `> ${summary(read("README.md"))}`,
    "## Start",
    pages("README.md", "CONTRIBUTING.md"),
    "## Guide",
    pages("docs/*.md", "docs/{guide,examples,model}/**/*.md"),
    ...names.flatMap((name) => [
      `## @effect-tenovos/${name}`,
      [
        ...pages(`packages/${name}/README.md`),
        `- [All exports](packages/${name}/api.txt): each with its type.`,
        ...modulesOf(name).map((module) => {
          const file = `packages/${name}/src/${module}.ts`
          return `- [${module}](${file}): ${header(file)}`
        })
      ]
    ]),
    "## Optional",
    pages("docs/decisions/*.md")
  ].map((part) => typeof part === "string" ? `${part}\n` : `${part.join("\n")}\n`).join("\n")

const generated: ReadonlyArray<readonly [file: string, text: string]> = [
  ...names.map((name) => [`packages/${name}/src/index.ts`, index(name)] as const),
  ["llms.txt", llms()]
]

const { values } = parseArgs({ options: { write: { type: "boolean", default: false } } })

const stale = generated.filter(([file, text]) => !existsSync(file) || read(file) !== text)
for (const [file, text] of stale) {
  if (values.write) writeFileSync(file, text)
  console.log(values.write ? `wrote ${file}` : `${file} is out of date: pnpm generate`)
}
console.log(`generated: ${generated.length} files, ${stale.length} out of date`)
process.exitCode = stale.length === 0 || values.write ? 0 : 1
